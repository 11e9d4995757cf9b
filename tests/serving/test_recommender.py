"""recommend: the lists of full_sort_predict, whatever the source of the videos and the way of searching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import ResourceError
from recbole_decm.serving.opening import VideoChoice, open_with_videos
from recbole_decm.serving.recommender import write_tables
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.run import build, fit

VALUES = {"teacher": "none", "epochs": 2, "latent_dimension": 16}


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    """Checkpoints by name, each of another way to score."""
    folder = tmp_path_factory.mktemp("checkpoints")
    kinds = {
        "plain": ("CMVAE", {"epochs": 2, "latent_dimension": 16}),
        "genre": ("DecCM", {**VALUES, "backdoor": "conditional", "confounder_fusion": "genre"}),
        "exact": ("DecCM", {**VALUES, "backdoor": "exact", "confounder_fusion": "gated"}),
        "pop": ("Pop", {"epochs": 1}),
    }
    paths = {}
    for name, (model, values) in kinds.items():
        config = make_config(model, planted, checkpoint_dir=str(folder / name), **values)
        paths[name] = Path(fit(config).trainer.saved_model_file)
    return paths


@pytest.fixture(scope="module")
def lists(planted, trained):
    """(music tokens, {checkpoint: (V, 10) lists of every video by the model's own full_sort_predict})."""
    found = {}
    for name in ("plain", "genre", "exact"):
        content = read_checkpoint(trained[name])
        kept = {key: value for key, value in content["config"].items() if key in VALUES | {"confounder_fusion": 0}}
        kept |= {"backdoor": content["config"]["backdoor"]} if name != "plain" else {}
        model, splits = build(make_config(content["model"], planted, **kept))
        load_weights(model.eval(), content["state_dict"], trained[name])
        with torch.no_grad():
            scores = model.full_sort_predict({"video_id": torch.arange(1, 601)}).view(600, -1)[:, 1:]
        tokens = splits.dataset.field2id_token["music_id"][1:]
        found[name] = tokens[scores.argsort(dim=1, descending=True, stable=True)[:, :10].numpy()]
    return found


@pytest.fixture
def uploads(planted, tmp_path):
    """The planted videos as a .npy file of features."""
    user = pd.read_csv(planted / "planted" / "planted.user", sep="\t", dtype=str)
    rows = np.array([row.split() for row in user["visual:float_seq"]], dtype=np.float32)
    np.save(tmp_path / "today.npy", rows)
    return tmp_path / "today.npy"


def ran(capsys, *argv) -> str:
    assert main(["recommend", *map(str, argv)]) == 0
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["plain", "genre", "exact"])
def test_lists_for_a_file_of_uploads(name, trained, lists, uploads, capsys, monkeypatch):
    monkeypatch.setattr(DecCMDataset, "__init__", None)  # interactions and the users' features are not read
    ran(capsys, trained[name], "--videos", uploads, "--out", "found.csv", "--block", 97)
    table = pd.read_csv("found.csv")
    assert list(table) == ["row", "rank", "music_id", "score"] and len(table) == 6_000
    assert (table["music_id"].to_numpy().reshape(600, 10) == lists[name]).all()
    assert (table["row"] == np.repeat(np.arange(600), 10)).all() and (table["rank"] == np.tile(range(1, 11), 600)).all()
    assert (
        table["score"].to_numpy().reshape(600, 10)[:, :-1] >= table["score"].to_numpy().reshape(600, 10)[:, 1:]
    ).all()


def test_lists_for_a_split(trained, lists, capsys):
    ran(capsys, trained["genre"], "--out", "test.csv", "--k", 5)
    table = pd.read_csv("test.csv")
    assert table["video_id"].tolist() == np.repeat([f"v{i}" for i in range(510, 600)], 5).tolist()
    assert (table["music_id"].to_numpy().reshape(-1, 5) == lists["genre"][510:, :5]).all()
    assert main(["recommend", str(trained["genre"]), "--split", "all", "--k", "10"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "video_id,rank,music_id,score" and len(printed) == 6_001


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_an_index_is_kept_and_used_again(kind, trained, lists, uploads, capsys, monkeypatch):
    argv = [trained["genre"], "--index", kind, "--index-file", "kept/music.index", "--recall", 1]
    text = ran(capsys, *argv, "--videos", uploads, "--out", "one.csv")
    assert f"recall@10 of {kind} against exact search: 1.0000" in text
    written = Path("kept/music.index").stat().st_mtime_ns
    table = pd.read_csv("one.csv")
    assert (table["music_id"].to_numpy().reshape(600, 10) == lists["genre"]).mean() > 0.999
    monkeypatch.setattr("recbole_decm.serving.recommender.build_index", None)
    ran(capsys, *argv, "--split", "all", "--out", "two.csv")  # the same vectors by the way of the data set
    ran(capsys, *argv, "--videos", uploads, "--inference_prior=mean", "--out", "three.csv")  # the prior is no matter
    assert pd.read_csv("two.csv")["music_id"].tolist() == table["music_id"].tolist()
    assert Path("kept/music.index").stat().st_mtime_ns == written


def test_another_catalogue_and_another_checkpoint_need_another_index(planted, trained, uploads, capsys, tmp_path):
    argv = ["--videos", str(uploads), "--index=flat", "--index-file=i", "--out=o.csv"]
    ran(capsys, trained["plain"], *argv)
    assert main(["recommend", str(trained["genre"]), *argv]) == 2
    assert "expected an index whose model is DecCM, found CMVAE" in capsys.readouterr().err
    assert main(["recommend", str(trained["plain"]), *argv, "--dataset=planted-pgc"]) == 2
    assert "expected an index whose catalogue is" in capsys.readouterr().err


def test_a_low_recall_is_said(trained, uploads, capsys, monkeypatch):
    monkeypatch.setattr("recbole_decm.serving.index.recall", lambda found, exact: 0.5)
    text = ran(capsys, trained["plain"], "--videos", uploads, "--index", "hnsw", "--out", "o.csv")
    assert "exact search: 0.5000" in text and "warning: below the 0.95 asked for" in text


def test_uploaders_preferences(trained, uploads, capsys):
    argv = ["--videos", str(uploads), "--inference_prior=uploader", "--out=o.csv", "--k=3"]
    assert main(["recommend", str(trained["genre"]), *argv]) == 2
    assert "Give them with --uploaders" in capsys.readouterr().err
    np.save("u.npy", np.tile([1.0, 0, 0], (600, 1)))
    ran(capsys, trained["genre"], *argv, "--uploaders", "u.npy")
    one = pd.read_csv("o.csv")["music_id"]
    ran(capsys, trained["genre"], *argv[:2], "--inference_prior=[1.0,0.0,0.0]", *argv[3:])
    assert one.equals(pd.read_csv("o.csv")["music_id"])
    choice = VideoChoice(uploads, Path("u.npy"))
    for bad, message in (
        (np.full((600, 3), 0.4), "row 0: expected probabilities that sum to 1, found a sum of 1.2"),
        (np.tile([1.5, -0.5, 0], (600, 1)), "row 0: expected probabilities that sum to 1, found -0.5"),
        (np.ones((600, 1)), "of 3 columns"),
        (np.tile([1.0, 0, 0], (5, 1)), "expected 600 rows"),
    ):
        np.save("u.npy", bad)
        with pytest.raises(Exception, match=message):
            open_with_videos(trained["genre"], choice)


def bad_file(kind, uploads):
    good = np.load(uploads)
    good[7, 3] = np.nan if kind == "nan" else good[7, 3]
    values = {"nan": good, "dims": good[:, :5], "ints": np.ones((600, 12), dtype=int), "flat": good[0]}.get(kind)
    if values is not None:
        np.save("bad.npy", values)
    elif kind == "objects":
        np.save("bad.npy", np.array([[print]]), allow_pickle=True)
    elif kind == "text":
        Path("bad.npy").write_text("1 2 3")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "bad.npy, row 7: expected finite numbers"),
        ("dims", "bad.npy: expected visual features of 12 columns, as the checkpoint was trained with, found 5"),
        ("ints", "bad.npy: expected a 2-D matrix of floats"),
        ("flat", r"bad.npy: expected a 2-D matrix of floats, found float32 of shape (12,)"),
        ("objects", "bad.npy: expected a .npy file of plain numbers"),
        ("text", "bad.npy: expected a .npy file of plain numbers"),
        ("missing", "bad.npy: expected a .npy file of visual features, found none"),
    ],
)
def test_bad_files_of_videos(kind, message, trained, uploads, capsys):
    bad_file(kind, uploads)
    assert main(["recommend", str(trained["plain"]), "--videos", "bad.npy", "--out", "o.csv"]) == 2
    assert message in capsys.readouterr().err and not Path("o.csv").exists()


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("pop", [], "of DecCM, DecCMPlus, DecCMTeacher, CMVAE, IPW, PDA, DecRS, which rank tracks for new videos"),
        ("plain", ["--k=41"], "--k: expected at most 40, the music of the catalogue, found 41"),
        ("exact", ["--index=hnsw"], "sums probabilities over the groups and is no dot product, found hnsw"),
        ("plain", ["--videos=a.npy", "--split=all"], "expected either --videos or --split, found both"),
        ("plain", ["--index-file=a"], "expected an --index of flat, hnsw or ivf"),
        ("plain", ["--uploaders=a.npy"], "expected --videos beside it"),
        ("plain", ["--colour=red"], "found 'colour'"),
    ],
)
def test_requests_that_make_no_sense(name, argv, message, trained, capsys):
    assert main(["recommend", str(trained[name]), *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def frames():
        yield pd.DataFrame({"row": [0], "rank": [1]})
        raise OSError(28, "No space left on device")

    (tmp_path / "o.csv").write_text("old")
    with pytest.raises(ResourceError, match=r"o.csv: expected to write the file, but No space left"):
        write_tables(frames(), tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
