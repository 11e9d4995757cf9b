"""An artefact ranks as the model it was made of, for every model, fusion and adjustment."""

from __future__ import annotations

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config
from onnx.external_data_helper import set_external_data

from recbole_decm.cli.main import main
from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.digest import of_files, of_values
from recbole_decm.model.fusions import FUSIONS
from recbole_decm.serving.artefact import exact_top_k, open_artefact
from recbole_decm.serving.artefact.sides import check_side
from recbole_decm.serving.export import Source, write_artefact
from recbole_decm.serving.store.rows import Rows
from recbole_decm.training.run import build, fit

VIDEOS = torch.arange(1, 61)
PRIORS = {"neutral": "uniform", "mean": "mean", "given": (0.2, 0.3, 0.5)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_planted(folder, videos=90, music=40)
    return folder


def artefact_of(planted, place, name="DecCM", **values):
    """An artefact of an untrained model whose every parameter matters, and the model."""
    teacher = {"teacher": "none"} if name == "DecCM" else {}
    config = make_config(name, planted, **{**teacher, "latent_dimension": 16, **values})
    model, splits = build(config)
    torch.manual_seed(1)
    with torch.no_grad():
        for part in ("fusion", "interaction"):
            for parameter in getattr(model, part, torch.nn.Module()).parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        for side in model.encoders.values():
            for expert in side.experts:
                expert.norm.running_mean.normal_()
                expert.logvar.weight.normal_()
    model.eval()
    dataset = splits.dataset
    genres = dataset.genre_membership if model.needs_genre(model.settings) else None
    config.genres = tuple(dataset.genre_vocabulary) if genres is not None else ()  # as a checkpoint's config says
    catalogue = Catalogue(dataset.field2id_token["music_id"][1:], model.acoustic, genres)
    write_artefact(model, catalogue, config, Source(model.state_dict()), place)
    return open_artefact(place), model


def features(model):
    return {name: part.lookup(VIDEOS).numpy() for name, part in model.visual.fields.items()}


def own_scores(model):
    with torch.no_grad():
        return model.full_sort_predict({"video_id": VIDEOS}).view(len(VIDEOS), -1)[:, 1:].numpy()


def assert_ranks_alike(found, own):
    """Up to one number for each video, and ties within 1e-6."""
    shift = own - found
    assert np.abs(shift - shift.mean(axis=1, keepdims=True)).max() < 2e-6 * max(1, np.abs(own).max())
    ordered = np.take_along_axis(own, (-found).argsort(axis=1, kind="stable"), axis=1)
    assert np.diff(ordered, axis=1).max() <= 2e-6 * max(1, np.abs(own).max())


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backdoor", ["batch", "conditional"])
def test_every_fusion_under_every_prior(planted, tmp_path, backdoor, fusion):
    artefact, model = artefact_of(planted, tmp_path / "a", backdoor=backdoor, confounder_fusion=fusion)
    manifest = artefact.manifest
    assert manifest.genres == ["g0", "g1", "g2"] if fusion == "genre" else len(manifest.genres) == 3
    assert (manifest.why_no_prior_changes is not None) == (fusion == "linear")
    for choice, prior in PRIORS.items():
        model.rank_under(prior)
        given = artefact.priors(list(prior) if choice == "given" else choice, len(VIDEOS))
        queries = artefact.query_vectors(features(model), given)
        assert_ranks_alike(queries @ artefact.vectors.T, own_scores(model))
    model.rank_under("uploader")
    queries = artefact.query_vectors(features(model), model.uploaders_of(VIDEOS).numpy())
    assert_ranks_alike(queries @ artefact.vectors.T, own_scores(model))
    again = artefact.track_vectors(artefact.tracks.features, artefact.metadata["genre"])
    assert np.abs(again - artefact.vectors).max() < 1e-6
    match, adjustment = artefact.parts(queries, artefact.vectors)
    if fusion in ("genre", "bilinear"):
        latent = model.video_latents(model.visual.lookup(VIDEOS)).detach().numpy()
        assert np.allclose(match, latent @ artefact.vectors[:, :16].T, atol=1e-6)
        assert np.allclose(match + adjustment.sum(axis=2), own_scores(model), atol=1e-6)
    else:
        assert match is None and adjustment is None


RIVALS = ["ContrastiveTowers", "VMNet", "ControlMVR", "GenreBalanced", "UploaderOffset"]


@pytest.mark.parametrize("name", ["CMVAE", "DecCMTeacher", "IPW", "PDA", "DecRS", "DecCMPlus", *RIVALS])
def test_every_model(planted, tmp_path, name):
    values = {"teacher_config": {"epochs": 1, "state": "ERROR", "show_progress": False}} if name == "DecCMPlus" else {}
    artefact, model = artefact_of(planted, tmp_path / "a", name, **values)
    prior = artefact.priors("mean", len(VIDEOS)) if artefact.manifest.genres else None
    if prior is not None:
        model.rank_under("mean")
    found = artefact.query_vectors(features(model), prior) @ artefact.vectors.T
    own = own_scores(model)
    if name == "PDA":  # which ranks by a rising function of the match
        assert ((-found).argsort(axis=1) == (-own).argsort(axis=1)).all()
    else:
        assert_ranks_alike(found, own)
    again = artefact.track_vectors(artefact.tracks.features, artefact.metadata["genre"])
    assert np.abs(again - artefact.vectors).max() < 1e-6


def test_an_exact_sum_is_exported_where_it_is_a_dot_product(planted, tmp_path):
    with pytest.raises(ConfigError, match="export: expected a model whose score is a dot product, but backdoor: exact"):
        artefact_of(planted, tmp_path / "a", backdoor="exact", confounder_fusion="genre")
    assert not (tmp_path / "a").exists()
    artefact, model = artefact_of(planted, tmp_path / "b", backdoor="exact", confounder_fusion="linear")
    assert_ranks_alike(artefact.query_vectors(features(model)) @ artefact.vectors.T, own_scores(model))
    known = {"backdoor": "exact", "confounder_fusion": "bilinear", "inference_prior": [0.0, 1.0, 0.0]}
    artefact, model = artefact_of(planted, tmp_path / "c", **known)
    model.rank_under((0.0, 1.0, 0.0))
    assert "under the prior that was exported, and no other" in artefact.manifest.why_no_prior_changes
    assert_ranks_alike(artefact.query_vectors(features(model)) @ artefact.vectors.T, own_scores(model))


@pytest.fixture(scope="module")
def exported(planted, tmp_path_factory):
    """(folder, checkpoint) by the command, for reading alone."""
    place = tmp_path_factory.mktemp("exported")
    config = make_config("DecCMPlus", planted, teacher="none", checkpoint_dir=str(place), epochs=1, latent_dimension=8)
    checkpoint = fit(config).trainer.saved_model_file
    assert main(["export", str(checkpoint), "--out", str(place / "artefact")]) == 0
    return place / "artefact", checkpoint


def test_the_command_writes_what_recommend_ranks(planted, exported):
    folder, checkpoint = exported
    artefact = open_artefact(folder)
    user = pd.read_csv(planted / "planted" / "planted.user", sep="\t", dtype=str)["visual:float_seq"]
    videos = np.array([row.split() for row in user], dtype=np.float32)
    np.save("today.npy", videos)
    assert main(["recommend", str(checkpoint), "--videos=today.npy", "--k=5", "--out=found.csv"]) == 0
    table = pd.read_csv("found.csv")
    scores, rows = exact_top_k(artefact.query_vectors({"visual": videos}), artefact.vectors, 5)
    assert np.allclose(scores.reshape(-1), table["score"], atol=1e-5)
    assert (artefact.ids[rows].reshape(-1) == table["music_id"]).mean() > 0.99  # ties apart
    assert artefact.manifest.data and artefact.manifest.inference_prior == "uniform"
    assert artefact.metadata["genre"].tolist()[:4] == [["g0"], ["g1"], ["g2"], ["g0"]]
    assert artefact.history_prior([["g0"], ["g0", "g1"]]).tolist() == pytest.approx([2.5 / 5, 1.5 / 5, 1 / 5])


def test_columns_of_every_type_come_with_the_tracks_in_their_order(planted, tmp_path, capsys):
    place = shutil.copytree(planted, tmp_path / "data") / "planted" / "planted.item"
    table = pd.read_csv(place, sep="\t", dtype=str)
    table["title:token"] = [f"Song {row}" if row else "" for row in range(40)]
    table["length:float"] = [str(row / 2) if row else "" for row in range(40)]
    table["moods:token_seq"] = ["low high" if row else "" for row in range(40)]
    table["beats:float_seq"] = [f"{row} 0.5" if row else "" for row in range(40)]
    table.to_csv(place, sep="\t", index=False)
    config = make_config("CMVAE", tmp_path / "data", epochs=1, latent_dimension=8, checkpoint_dir=str(tmp_path))
    checkpoint = str(fit(config).trainer.saved_model_file)
    table[::-1].to_csv(place, sep="\t", index=False)
    assert main(["export", checkpoint, "--out", "all"]) == 0
    artefact = open_artefact("all")
    found = artefact.metadata.set_index(artefact.ids)[["title", "length", "moods", "beats"]]
    assert found.loc["m7"].tolist() == ["Song 7", 3.5, ["low", "high"], [7.0, 0.5]]
    title, length, *lists = found.loc["m0"].tolist()
    assert pd.isna(title) and np.isnan(length) and lists == [[], []]
    assert [json.loads(text) for text in Rows.of(artefact.tracks).metadata][39] == {
        "genre": ["g0"],
        "moods": [],
        "beats": [],
    }
    for column, cell, words in (
        ("beats:float_seq", "fast", "expected numbers in 'beats'"),
        ("track_id:token", "x", "expected one column to be the artefact's track_id, found 'track_id', too"),
    ):
        table.assign(**{column: cell}).to_csv(place, sep="\t", index=False)
        assert main(["export", checkpoint, "--out", "none"]) == 2
        assert words in capsys.readouterr().err and not Path("none").exists()


def test_a_match_times_popularity_is_refused_and_its_match_exported(planted, tmp_path, capsys):
    values = {"inference": "pda", "epochs": 1, "latent_dimension": 8, "checkpoint_dir": str(tmp_path)}
    checkpoint = str(fit(make_config("PDA", planted, **values)).trainer.saved_model_file)
    assert main(["export", checkpoint, "--out", "pda"]) == 2
    assert "inference: pda multiplies the match by popularity. Add --inference=pd" in capsys.readouterr().err
    assert not Path("pda").exists()
    assert main(["export", checkpoint, "--out", "pda", "--inference=pd"]) == 0
    assert open_artefact("pda").manifest.settings["inference"] == "pd"


def test_what_the_documentation_shows(exported, monkeypatch, tmp_path):
    """docs/serving.md, run as a doctest."""
    monkeypatch.chdir(tmp_path)
    Path("saved").mkdir()
    shutil.copytree(exported[0], "saved/artefact")
    np.save("today.npy", np.random.default_rng(0).standard_normal((3, 12)))
    found = doctest.testfile(str(Path(__file__).resolve().parents[3] / "docs" / "serving.md"), module_relative=False)
    assert found.attempted == 8 and not found.failed


def test_it_opens_without_torch_and_recbole(exported):
    code = (
        "import sys; from recbole_decm.serving.artefact import open_artefact; import numpy as np;"
        "a = open_artefact(sys.argv[1]); a.query_vectors({'visual': np.zeros((1, 12))}) @ a.vectors.T; a.ids;"
        "print([name for name in ('torch', 'recbole', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(exported[0])], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def copy(exported, tmp_path):
    shutil.copytree(exported[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["query.onnx", "track.onnx", "tracks.parquet", "vectors.npy", "features.acoustic.npy"])
def test_a_damaged_file_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 4
    (copy / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: expected what was written, found other bytes"):
        open_artefact(copy).tracks  # noqa: B018


def forged(folder, **changed):
    """A manifest with other values and digests that fit: what a forger would write."""
    values = json.loads((folder / "manifest.json").read_text())
    values |= changed
    values["files"] = {name: of_files([folder / name]) for name in values["files"]}
    del values["id"]
    kept = {key: value for key, value in values.items()}
    (folder / "manifest.json").write_text(json.dumps({"id": of_values(kept), **values}))


def test_a_damaged_or_newer_manifest_is_refused(copy):
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace('"dim": 11', '"dim": 12'))
    with pytest.raises(DataError, match="expected what was written, found other values: damaged"):
        open_artefact(copy)
    (copy / "manifest.json").write_text(text.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(DataError, match="expected format_version 1 or older, found 2"):
        open_artefact(copy)
    for nonsense in ("[" * 10_000, "{}", "[]", "no json"):
        (copy / "manifest.json").write_text(nonsense)
        with pytest.raises(DataError, match=r"manifest\.json"):
            open_artefact(copy)


def test_weights_in_another_file_are_refused(copy):
    model = onnx.load(copy / "query.onnx")
    tensor = next(tensor for tensor in model.graph.initializer if tensor.raw_data)
    set_external_data(tensor, "../../../etc/passwd")
    tensor.ClearField("raw_data")
    (copy / "query.onnx").write_bytes(model.SerializeToString())
    forged(copy)
    with pytest.raises(DataError, match="expected its weights in the file itself, found that it names another file"):
        open_artefact(copy)
    model, at = onnx.load(copy / "track.onnx"), onnx.helper.make_tensor("at", onnx.TensorProto.INT64, [1], [0])
    sparse = onnx.helper.make_sparse_tensor(tensor, at, [1])
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["of a file"], sparse_value=sparse))
    with pytest.raises(DataError, match="found that it names another file"):
        check_side(copy / "track.onnx", model.SerializeToString())


def test_other_operations_are_refused(copy):
    model = onnx.load(copy / "query.onnx")
    model.graph.node[0].op_type = "RandomNormal"
    (copy / "query.onnx").write_bytes(model.SerializeToString())
    forged(copy)
    with pytest.raises(DataError, match="expected operations that an export writes, found 'RandomNormal'"):
        open_artefact(copy)
    (copy.parent / "x.onnx").write_bytes(b"")
    forged(copy, files={"../x.onnx": ""})
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_artefact(copy)


def test_queries_are_checked(exported):
    artefact = open_artefact(exported[0])
    with pytest.raises(DataError, match="visual features: expected at least one row of 12 numbers"):
        artefact.query_vectors({"visual": np.zeros((2, 11))})
    with pytest.raises(DataError, match="expected finite numbers, found others in row 1"):
        artefact.query_vectors({"visual": np.array([[0.0] * 12, [np.nan] * 12])})
    with pytest.raises(DataError, match="expected the fields visual, found text"):
        artefact.query_vectors({"text": np.zeros((2, 12))})
    for wrong in ("habit", {"g0": 0.7}, {"polka": 1.0}, [0.5, 0.5], {"g0": 2.0, "g1": -1.0}):
        with pytest.raises(ConfigError, match="prior: expected"):
            artefact.priors(wrong, 2)


def test_exact_search_against_brute_force():
    draw = np.random.default_rng(0)
    queries, vectors = draw.standard_normal((7, 5), np.float32), draw.standard_normal((50, 5), np.float32)
    for share in (None, 0.05, 0.4, 0.9, 0.0):
        allowed = None if share is None else draw.random(50) < share
        scores, rows = exact_top_k(queries, vectors, 6, allowed)
        products = queries @ vectors.T
        products[:, ~allowed if allowed is not None else []] = -np.inf
        expected = (-products).argsort(axis=1, kind="stable")[:, :6]
        expected[np.take_along_axis(products, expected, axis=1) == -np.inf] = -1
        assert (rows == expected).all() and (np.isinf(scores) == (rows < 0)).all()
