"""recommend: the lists of full_sort_predict, whatever the source of the videos and the way of searching."""

from __future__ import annotations

import doctest
import importlib.util
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import ConfigError, ResourceError
from recbole_decm.serving.entry import open_recommender, open_with_videos
from recbole_decm.serving.index import IndexOptions
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.search import top_k
from recbole_decm.serving.tables import write_tables
from recbole_decm.serving.videos import VideoChoice, videos_in_memory
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.run import build, fit

VALUES = {"teacher": "none", "epochs": 2, "latent_dimension": 16}


@pytest.fixture(scope="module")
def trained(planted, described, tmp_path_factory):
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
        place = described if name == "pop" else planted  # Pop knows tracks by their order
        config = make_config(model, place, checkpoint_dir=str(folder / name), **values)
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
            open_with_videos(trained["genre"], choice, ["--inference_prior=uploader"])


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
        ("text", "bad.npy: expected a .npy file of plain numbers, but it is no .npy file"),
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
        (
            "pop",
            ["--videos=a.npy"],
            "of DecCM, DecCMPlus, DecCMTeacher, CMVAE, IPW, PDA, DecRS, ContrastiveTowers, VMNet, ControlMVR, "
            "GenreBalanced, UploaderOffset, which rank tracks for new videos",
        ),
        ("plain", ["--k=41"], "--k: expected a whole number from 1 to 40, the tracks, found 41"),
        ("exact", ["--index=hnsw"], "sums probabilities over the groups, which is no dot product, found hnsw"),
        ("plain", ["--videos=a.npy", "--split=all"], "expected either --videos or --split, found both"),
        ("plain", ["--index-file=a"], "expected an --index of flat, hnsw or ivf"),
        ("plain", ["--uploaders=a.npy"], "expected --videos beside it"),
        ("plain", ["--colour=red"], "found 'colour'"),
        (
            "plain",
            ["--out=lists.xlsx"],
            "lists.xlsx: expected a file that ends with .csv, .json, .parquet, found '.xlsx'",
        ),
        ("plain", ["--out=lists"], "expected a file that ends with .csv, .json, .parquet, found 'none'"),
        ("plain", ["--filter=genre = pop"], "filter, character 9: expected a number or a text in quotes, found 'pop'"),
        ("plain", ["--filter=gender = 'x'"], "expected a column of the tracks (none), found 'gender'"),
        ("plain", ["--exclude-from=gone.txt"], "gone.txt: expected a text file of ids, one a line, but No such file"),
    ],
)
def test_requests_that_make_no_sense(name, argv, message, trained, capsys):
    assert main(["recommend", str(trained[name]), *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain", "--uploaders: expected none, since CMVAE as trained here has no uploader prior."),
        ("genre", "--uploaders: expected inference_prior: uploader, under which DecCM ranks by them, found mean."),
    ],
)
def test_preferences_that_change_nothing_are_refused(name, message, trained, uploads, capsys):
    np.save("u.npy", np.tile([1.0, 0, 0], (600, 1)))
    assert main(["recommend", str(trained[name]), "--videos", str(uploads), "--uploaders=u.npy"]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match=message[2:32]):
        open_recommender(trained[name]).recommend(np.load(uploads), uploaders=np.load("u.npy"))


# --- which tracks ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def described(planted, tmp_path_factory):
    """The planted data with metadata of its tracks."""
    folder = tmp_path_factory.mktemp("described")
    shutil.copytree(planted / "planted", folder / "planted")
    path = folder / "planted" / "planted.item"
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    frame["duration:float"] = ["" if i % 5 == 0 else str(10 * i) for i in range(40)]
    frame["artist:token"] = [f"a{i % 4}" for i in range(40)]
    frame["mood:token_seq"] = [f"g{i % 3} even" if i % 2 == 0 else f"g{i % 3}" for i in range(40)]
    frame.iloc[::-1].to_csv(path, sep="\t", index=False)  # the order of lines is that of the ids, not of the names
    return folder


FILTERS = {
    "mood = 'even' and duration < 300": lambda i: i % 2 == 0 and i % 5 and 10 * i < 300,
    "not (artist in ['a1', 'a2'] or duration > 50)": lambda i: i % 4 in (0, 3) and i % 5 and 10 * i <= 50,
    "music_id = 'm7'": lambda i: i == 7,
    "duration < 0": lambda i: False,
}


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("name", ["plain", "genre", "exact", "pop"])
def test_filtered_lists_are_exact(name, text, trained, described, capsys):
    """Those of the whole ranking without the tracks that are not allowed, and shorter where fewer than k are left."""
    argv = [str(trained[name]), "--split=test", f"--data_path={described}"]
    ran(capsys, *argv, "--k=40", "--out=whole.csv")
    ran(capsys, *argv, "--k=10", "--filter", text, "--exclude", "m2", "--exclude=m8", "--out=found.csv")
    whole, found = pd.read_csv("whole.csv"), pd.read_csv("found.csv")
    allowed = {f"m{i}" for i in range(40) if FILTERS[text](i)} - {"m2", "m8"}
    expected = whole[whole["music_id"].isin(allowed)].groupby("video_id", sort=False).head(10)
    assert list(found) == ["video_id", "rank", "music_id", "score"]
    assert len(found) == 90 * min(10, len(allowed)) == len(expected)
    close = np.abs(found["score"].to_numpy() - expected["score"].to_numpy()) < 1e-5
    assert close.all() and (found["music_id"].to_numpy() != expected["music_id"].to_numpy()).sum() < 9
    assert (found["rank"] == found.groupby("video_id").cumcount() + 1).all()


def test_filters_and_exclusions_in_memory_and_with_an_index(trained, described, uploads, capsys, caplog):
    recommender = open_recommender(trained["plain"], [f"--data_path={described}"])
    videos = np.load(uploads)[:50]
    whole = recommender.recommend(videos, 40)
    left = [f"m{i}" for i in range(40) if i % 2 == 0 and i not in (4, 6)]
    expected = whole[whole["music_id"].isin(left)].groupby("row").head(5)["music_id"].tolist()
    asked = {"k": 5, "exclude": ["m4", "m6", "gone"], "filter": "mood = 'even'"}
    assert recommender.recommend(videos, **asked)["music_id"].tolist() == expected
    assert "exclude: 1 of 3 ids are of no track, such as 'gone'" in caplog.text
    recommender.use_index(IndexOptions("hnsw"), videos_in_memory(videos, {"visual": 12}), 5)
    assert recommender.recommend(videos, **asked)["music_id"].tolist() == expected
    assert recommender.recommend(videos, filter="duration < 0").empty
    with pytest.raises(ConfigError, match="exclude: expected a list of track ids, found the text 'm4'"):
        recommender.recommend(videos, exclude="m4")
    Path("no.txt").write_text("m4\n\nm6\r\n")
    argv = [trained["plain"], f"--data_path={described}", "--split=test", "--k=5", "--exclude-from=no.txt"]
    text = ran(capsys, *argv, "--index=hnsw", "--filter=mood = 'even'", "--out=o.csv")
    assert "18 of 40 tracks are left" in text and "searched exactly, not with hnsw" in text
    assert set(pd.read_csv("o.csv")["music_id"]) <= set(left)


def test_filtering_a_hundred_thousand_tracks_takes_milliseconds():
    """One query of 128 dimensions, 10,000 tracks allowed: the product leaves out the others."""
    generator = torch.Generator().manual_seed(0)
    music, query = torch.randn(100_000, 128, generator=generator), torch.randn(1, 128, generator=generator)
    allowed = torch.arange(100_000) % 10 == 3
    blocks = [block[part] for block, part in zip(music.split(16_384), allowed.split(16_384), strict=True)]
    expected = (query @ music.T).masked_fill(~allowed, -torch.inf).topk(10).indices
    assert torch.equal(top_k(query, blocks, 10)[1] * 10 + 3, expected)


def test_what_the_documentation_shows(trained, uploads, monkeypatch, tmp_path):
    """docs/retrieval.md, run as a doctest."""
    Path("saved").mkdir()
    shutil.copy(trained["plain"], "saved/CMVAE.pth")
    np.save("today.npy", np.load(uploads)[:3])
    page = Path(__file__).resolve().parents[2] / "docs" / "retrieval.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted == 9 and not found.failed


# --- files ----------------------------------------------------------------------------------------------------------
def test_the_extension_says_the_format(trained, capsys):
    ran(capsys, trained["plain"], "--out=one.csv", "--k=3")
    ran(capsys, trained["plain"], "--out=one.JSON", "--k=3")
    table, objects = pd.read_csv("one.csv"), json.loads(Path("one.JSON").read_text())
    assert list(objects[0]) == list(table) and len(objects) == 270
    assert [entry["music_id"] for entry in objects] == table["music_id"].tolist()
    assert np.allclose([entry["score"] for entry in objects], table["score"], atol=1e-6)
    ran(capsys, trained["plain"], "--out=none.json", "--filter=music_id = 'x'")
    assert json.loads(Path("none.json").read_text()) == []


def test_parquet_is_written_where_pyarrow_is_there(trained, capsys, monkeypatch):
    argv = ["recommend", str(trained["plain"]), "--out=one.parquet", "--k=3"]
    if importlib.util.find_spec("pyarrow"):
        assert main(argv) == 0 and len(pd.read_parquet("one.parquet")) == 270
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(argv) == 2
    assert "one.parquet: Parquet needs pyarrow, which is not installed" in capsys.readouterr().err


def test_a_pipe_takes_csv(trained, capsys):
    os.mkfifo("pipe")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(Path("pipe").read_text().splitlines()))
    reader.start()
    ran(capsys, trained["plain"], "--out=pipe", "--k=3")
    reader.join(10)
    assert lines[0] == "video_id,rank,music_id,score" and len(lines) == 271


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def frames():
        yield pd.DataFrame({"row": [0], "rank": [1]})
        raise OSError(28, "No space left on device")

    (tmp_path / "o.csv").write_text("old")
    with pytest.raises(ResourceError, match=r"o.csv: expected to write the file, but No space left"):
        write_tables(frames(), tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_lists_of_equal_scores_say_that_they_are_the_order_of_the_catalogue(caplog):
    class Constant(Lists):
        def top(self, videos, k, allowed=None):
            scores = np.zeros((len(videos.labels), k))
            scores[0, 0] = 1  # the first video has a best track
            return scores, np.tile(np.arange(k), (len(scores), 1))

    tokens = np.array([f"m{i}" for i in range(9)])
    videos = videos_in_memory(np.zeros((5, 2), dtype=np.float32), {"visual": 2})
    list(Constant(tokens, lambda fields: None).frames(videos, 3))
    assert "4 of 5 videos score all 3 tracks of their lists the same" in caplog.text
    caplog.clear()
    list(Constant(tokens, lambda fields: None).frames(videos, 1))
    assert not caplog.text


def test_lists_that_a_filter_leaves_empty_are_not_called_alike(caplog):
    class Two(Lists):
        def top(self, videos, k, allowed=None):
            scores = np.full((len(videos.labels), k), -np.inf)
            return scores, np.full(scores.shape, -1)

    found = list(
        Two(np.array(["a", "b"]), lambda names: {}).frames(videos_in_memory(np.zeros((3, 2)), {"visual": 2}), k=2)
    )
    assert sum(map(len, found)) == 0 and "the same" not in caplog.text
