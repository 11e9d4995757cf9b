"""Several fields on a side: products of Gaussians, one field as ever, a missing field as if the model had none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers.in_process import run_in_process
from helpers.planted import write_planted
from helpers.running import make_config, run_quick

from recbole_decm.cli.main import main
from recbole_decm.data.features import FeatureMatrix, joined, training_mean
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import CheckpointError, ConfigError, DataError
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.settings import MatcherSettings
from recbole_decm.model.towers import FusedDecoder, FusedEncoder, GaussianEncoder
from recbole_decm.serving import open_recommender
from recbole_decm.serving.videos import open_videos
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.evaluate import evaluate, restored_config
from recbole_decm.training.run import build

VIDEOS, TRACKS = 60, 12


def _encoder(dims=(3, 2), latent=4):
    torch.manual_seed(0)
    encoder = FusedEncoder(dims, latent, 0.0, None).eval()
    for expert in encoder.experts:  # precisions that differ
        torch.nn.init.normal_(expert.logvar.weight)
    return encoder


def test_two_experts_are_the_product_of_their_gaussians():
    encoder = _encoder()
    features = torch.randn(5, 5)
    ours = encoder(features)
    parts = [expert(part) for expert, part in zip(encoder.experts, features.split([3, 2], dim=1), strict=True)]
    precision = sum((-q.logvar).exp() for q in parts)
    torch.testing.assert_close(ours.mean, sum((-q.logvar).exp() * q.mean for q in parts) / precision)
    torch.testing.assert_close(ours.logvar, -precision.log())
    # Against the densities themselves: log N1 + log N2 differs from log N by a constant, wherever it is looked at.
    points = torch.randn(7, 1, 4)
    normal = [torch.distributions.Normal(q.mean, (0.5 * q.logvar).exp()) for q in (*parts, ours)]
    offset = normal[0].log_prob(points) + normal[1].log_prob(points) - normal[2].log_prob(points)
    torch.testing.assert_close(offset, offset[:1].expand_as(offset), rtol=1e-4, atol=1e-4)


def test_a_missing_field_is_the_model_without_it():
    encoder = _encoder()
    features = torch.randn(6, 5)
    features[[1, 4], :3] = torch.nan
    features[2, 3:] = torch.nan
    found, alone = (
        encoder(features),
        [
            expert(part.nan_to_num())
            for expert, part in zip(encoder.experts, features.split([3, 2], dim=1), strict=True)
        ],
    )
    for rows, q in (([1, 4], alone[1]), ([2], alone[0])):
        torch.testing.assert_close(found.mean[rows], q.mean[rows])
        torch.testing.assert_close(found.logvar[rows], q.logvar[rows])


def test_missing_rows_neither_enter_the_statistics_nor_get_gradients():
    encoder = _encoder().train()
    features = torch.randn(8, 5)
    features[5:, :3] = torch.nan
    found = encoder(features)
    torch.testing.assert_close(encoder.experts[0].norm.running_mean, 0.1 * features[:5, :3].mean(dim=0))
    found.mean[5:].sum().backward()
    assert encoder.experts[0].mean.weight.grad.abs().max() == 0 < encoder.experts[1].mean.weight.grad.abs().max()
    assert torch.isfinite(found.logvar).all()


@pytest.mark.parametrize("there", [0, 1])
def test_a_batch_with_hardly_any_row_of_a_field_trains(there):
    encoder, decoder = _encoder().train(), FusedDecoder(4, (3, 2), 0.0)
    features = torch.randn(6, 5)
    features[there:, :3] = torch.nan
    before = encoder.experts[0].norm.running_mean.clone()
    found = encoder(features)
    error = decoder.error(found.mean, features)
    assert torch.isfinite(found.mean).all() and torch.isfinite(error)
    assert torch.equal(encoder.experts[0].norm.running_mean, before) and encoder.experts[0].training


def test_the_decoder_adds_the_errors_of_the_fields_that_are_there():
    decoder = FusedDecoder(4, (3, 2), 0.0).eval()
    latent, features = torch.randn(4, 4), torch.randn(4, 5)
    features[1:, 3:] = torch.nan
    first, second = decoder.fields[0](latent), decoder.fields[1](latent[:1])
    wanted = (first - features[:, :3]).square().mean() + (second - features[:1, 3:]).square().mean() / 4
    torch.testing.assert_close(decoder.error(latent, features), wanted)


def _inputs(fields):
    rng = np.random.default_rng(0)
    rows = torch.arange(VIDEOS + 1).clamp(min=1) - 1

    def side(names, count):
        return {
            name: FeatureMatrix(
                name, torch.from_numpy(rng.normal(size=(count, 3)).astype(np.float32)), rows[: count + 1]
            )
            for name in names
        }

    pairs = (torch.arange(1, VIDEOS + 1), torch.arange(VIDEOS) % TRACKS + 1)
    popularity = np.bincount(pairs[1], minlength=TRACKS + 1)
    return ModelInputs(side(fields, VIDEOS), side(["acoustic"], TRACKS), popularity, pairs=pairs)


def _batch():
    ids = torch.arange(1, 33)
    return {"video_id": ids, "music_id": (ids - 1) % TRACKS + 1}


def test_what_trains_the_precisions_where_nothing_is_sampled(planted):
    """DecCMPlus has neither reconstruction nor KL: the match does, through the weight of each expert in the mean."""
    for fields, trained in ((["visual", "text"], True), (["visual"], False)):
        config = make_config("CMVAE", planted, reconstruction_weight=0.0, kl_weight=0.0, match_on="mean")
        model = CMVAE(MatcherSettings.from_config(config), _inputs(fields), "cpu").train()
        sum(model.calculate_loss(_batch())).backward()
        grads = [expert.logvar.weight.grad for expert in model.encoders["visual"].experts]
        assert all((grad is not None and grad.abs().max() > 0) == trained for grad in grads)


def test_one_field_is_todays_model_bit_for_bit(planted):
    """Named by video_fields or by VISUAL_FIELD: the same class, the same weights, the same loss."""
    losses = []
    for values in ({}, {"video_fields": ["visual"], "music_fields": ["acoustic"]}):
        model, splits = build(make_config("CMVAE", planted, **values))
        assert isinstance(model.encoders["visual"], GaussianEncoder)
        torch.manual_seed(1)
        losses.append([part.item() for part in model.calculate_loss(next(iter(splits.train)))])
    assert losses[0] == losses[1]


def test_training_mean_stands_for_what_is_missing():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [torch.nan, torch.nan]])
    rows = torch.tensor([0, 0, 1, 2])
    side = joined({"a": FeatureMatrix("a", values, rows), "b": FeatureMatrix("b", values[[1, 0, 0]], rows)})
    assert training_mean(side, torch.tensor([1, 2, 3])).tolist() == [2, 3, pytest.approx(5 / 3), pytest.approx(8 / 3)]


@pytest.fixture(scope="module")
def two_fields(tmp_path_factory) -> Path:
    """The planted data with the vectors of both sides cut in two fields, each of which is missing for some."""
    folder, rng = tmp_path_factory.mktemp("fields"), np.random.default_rng(0)
    write_planted(folder, videos=200, music=20, npy=True)
    for name in ("planted", "planted-pgc"):
        files = {}
        for field in ("visual", "acoustic"):
            matrix = np.load(folder / name / f"{name}.{field}.npy")
            missing = rng.uniform(size=len(matrix))  # the first half below 0.1, the second above 0.9
            for part, columns, rows in ((0, slice(0, 4), missing < 0.1), (1, slice(4, None), missing > 0.9)):
                values = matrix[:, columns].copy()
                values[rows] = np.nan
                files[f"{field}_{part}"] = f"{name}.{field}_{part}.npy"
                np.save(folder / name / files[f"{field}_{part}"], values)
        path = folder / name / f"{name}.yaml"
        written = yaml.safe_load(path.read_text()) | {"feature_files": files}
        written |= {f"{side}_fields": [f for f in files if f.startswith(field)] for side, field in SIDES.items()}
        path.write_text(yaml.safe_dump(written))
    return folder


SIDES = {"video": "visual", "music": "acoustic"}


@pytest.mark.parametrize("model", ["DecCMPlus", "DecCM", "CMVAE", "Ridge", "CCA", "NearestVideos", "IPW", "DecRS"])
def test_models_learn_from_fields_that_are_missing_here_and_there(two_fields, model):
    teacher = {"teacher_config": {"epochs": 3}} if "DecCM" in model else {}
    result = run_quick(model, two_fields, epochs=15, **teacher)
    assert result["test_result"]["recall@10"] > 0.75  # chance: a half


def test_recboles_models_see_all_fields(two_fields):
    dataset = build(make_config("FM", two_fields))[1].dataset
    names = {name for name in dataset.field2type if name[:-2] in {f"{f}_{i}" for f in SIDES.values() for i in (0, 1)}}
    assert {name.rsplit("_", 1)[0] for name in names} == {"visual_0", "visual_1", "acoustic_0", "acoustic_1"}
    columns = torch.cat([dataset.user_feat[n][:, :1] for n in names if n.startswith("visual")], dim=1)
    assert torch.isfinite(columns).all()


def test_a_benchmark_ranks_our_models_and_recboles_on_several_fields(two_fields, monkeypatch):
    run_in_process(monkeypatch)
    datasets = [{"fields": {"dataset": "planted", "data_path": str(two_fields)}}]
    given = {"models": ["DecCMPlus", "FM", "Ridge"], "datasets": datasets, "seeds": [1]}
    config = {"epochs": 1, "topk": [10], "teacher_config": {"epochs": 1}}
    Path("s.yaml").write_text(yaml.safe_dump(given | {"config": config}))
    assert main(["benchmark", "s.yaml", "--out=out"]) == 0
    found = pd.read_csv("out/results.csv")
    assert found["model"].tolist() == ["DecCMPlus", "FM", "Ridge"] and (found["status"] == "done").all()


def test_checkpoints_are_evaluated_and_served(two_fields, tmp_path):
    result = run_quick("DecCMPlus", two_fields, epochs=3, teacher_config={"epochs": 2})
    (path,) = Path("saved").glob("DecCMPlus*.pth")
    assert evaluate(path)["test"] == result["test_result"]
    files = {name: np.load(two_fields / "planted" / f"planted.{name}.npy")[:30] for name in ("visual_0", "visual_1")}
    recommender = open_recommender(path)
    told = recommender.recommend(files, k=3)
    assert any(np.isnan(values[:, 0]).any() for values in files.values())  # a field is missing here and there
    assert main(["export", str(path), "--out", str(tmp_path / "artefact")]) == 0
    artefact = open_recommender(tmp_path / "artefact")
    exported = artefact.recommend(files, k=3)
    assert np.allclose(exported["score"], told["score"], atol=2e-6) and exported["music_id"].equals(told["music_id"])
    tracks = artefact.artefact.tracks
    again = artefact.artefact.track_vectors(tracks.features, tracks.metadata["genre"])
    assert np.allclose(again, artefact.artefact.vectors, atol=1e-6)
    for name, values in files.items():
        np.save(tmp_path / f"{name}.npy", values)
    videos = open_videos(tmp_path, {"visual_0": 4, "visual_1": 8})
    written = pd.concat(recommender.frames(videos, 3), ignore_index=True)
    assert told["music_id"].tolist() == written["music_id"].tolist()
    model, splits = build(restored_config(read_checkpoint(path), ()))
    load_weights(model, read_checkpoint(path)["state_dict"], path)
    scores = model.eval().full_sort_predict({"video_id": torch.arange(1, 31)}).view(30, -1)
    best = splits.dataset.field2id_token["music_id"][scores[:, 1:].argmax(dim=1) + 1]
    assert told[told["rank"] == 1]["music_id"].tolist() == best.tolist()
    with pytest.raises(DataError, match="features: expected a dictionary of the fields visual_0, visual_1"):
        recommender.recommend(files["visual_0"], k=3)
    with pytest.raises(DataError, match="row 0: expected at least one of visual_0, visual_1"):
        recommender.recommend({name: np.full_like(values, np.nan) for name, values in files.items()}, k=3)


def test_what_cannot_be_is_refused(two_fields, planted, own_planted):
    with pytest.raises(ConfigError, match="video_fields: expected a list of different names"):
        make_config("CMVAE", planted, video_fields=["visual", "visual"])
    with pytest.raises(DataError, match="expected a field 'text:float_seq'"):
        build(make_config("CMVAE", planted, video_fields=["visual", "text"]))
    folder = own_planted.parent / "none"
    write_planted(folder, videos=40, music=6, npy=True)
    values = np.load(folder / "planted/planted.visual.npy")
    values[3] = np.nan
    np.save(folder / "planted/planted.visual.npy", values)
    np.save(folder / "planted/planted.text.npy", values[:, :2])
    fields = {"video_fields": ["visual", "text"], "feature_files": {"visual": "planted.visual.npy"}}
    fields["feature_files"] |= {"text": "planted.text.npy", "acoustic": "planted.acoustic.npy"}
    with pytest.raises(DataError, match=r"planted\.user, line 5: expected at least one of visual, text"):
        build(make_config("CMVAE", folder, **fields))
    with pytest.raises(DataError, match=r"planted\.visual\.npy, row 3: expected finite numbers"):
        build(make_config("CMVAE", folder))


def test_a_teacher_of_other_fields_is_refused(two_fields, planted):
    run_quick("DecCMTeacher", planted, "planted-pgc", epochs=1)
    (path,) = Path("saved").glob("DecCMTeacher*.pth")
    with pytest.raises(CheckpointError, match=r"expected a teacher of 4 \+ 8 visual dimensions.*found 12"):
        run_quick("DecCM", two_fields, teacher=str(path))
