"""Tables and matrices to a data set: what is read, what is dropped, what is refused; and that it trains."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from helpers.running import run_quick

from recbole_decm.cli.main import main_group
from recbole_decm.data.splits import check_shares, split_rows
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import read_columns

VIDEOS, TRACKS = 12, 5
GENRES = ["pop", "hip hop", "pop", "jazz", "jazz"]
RNG = np.random.default_rng(0)
VISUAL = RNG.normal(size=(VIDEOS, 3)).astype(np.float32)
ACOUSTIC = RNG.normal(size=(TRACKS, 2)).astype(np.float32)


@pytest.fixture
def made(tmp_path, monkeypatch) -> Path:
    """A folder with ``pairs.csv``, ``music.parquet``, ``V.npy`` and ``M.npy``, and the process in it."""
    monkeypatch.chdir(tmp_path)
    pairs = {"clip": [f"v{i}" for i in range(VIDEOS)], "music_id": [f"m{i % TRACKS}" for i in range(VIDEOS)]}
    pd.DataFrame(pairs | {"author_id": [f"u{i % 3}" for i in range(VIDEOS)]}).to_csv("pairs.csv", index=False)
    music = {"music_id": [f"m{i}" for i in range(TRACKS)], "genre": [[genre] for genre in GENRES]}
    pd.DataFrame(music | {"title": [f"a\tb{i}" for i in range(TRACKS)], "bpm": 90.5 + np.arange(TRACKS)}).to_parquet(
        "music.parquet"
    )
    np.save("V.npy", VISUAL)
    np.save("M.npy", ACOUSTIC)
    return tmp_path


BASIC = "--pairs pairs.csv --column video_id=clip --music music.parquet --out d --name mine --split 0.5,0.25,0.25"
FEATURES = "--video-features visual=V.npy --music-features acoustic=M.npy"


def import_table(options: str) -> str:
    done = CliRunner().invoke(
        main_group, ["import-table", *options.split()], catch_exceptions=False, standalone_mode=False
    )
    return done.output


def trains(model: str, **values) -> bool:
    quick = {"metrics": ["NDCG"], "topk": [2], "valid_metric": "NDCG@2", "epochs": 1}
    return "ndcg@2" in run_quick(model, Path("d"), "mine", **quick, **values)["test_result"]


def columns(name: str, *fields: str) -> pd.DataFrame:
    return read_columns(Path("d/mine") / f"mine.{name}", fields)


def test_a_csv_two_matrices_and_a_parquet_table_become_a_data_set_that_trains(made):
    said = import_table(f"{BASIC} {FEATURES}")
    assert "12 videos of pairs.csv: visual 3 dimensions" in said and "3 uploaders" in said
    assert columns("user", "video_id", "uploader_id").to_numpy()[4].tolist() == ["v4", "u1"]
    item = columns("item", "music_id", "genre", "title", "bpm")
    assert item["genre"].tolist() == GENRES
    assert item.iloc[1].tolist() == ["m1", "hip hop", "a b1", "91.5"]
    np.testing.assert_array_equal(np.load("d/mine/mine.visual.npy"), VISUAL)
    written = yaml.safe_load(Path("d/mine/mine.yaml").read_text())
    assert written["teacher"] == "none" and written["uploader_prior"] == "train" and written["seq_separator"] == "|"
    pairs = pd.concat([columns(f"{part}.inter", "video_id", "music_id") for part in ("train", "valid", "test")])
    assert sorted(pairs["video_id"]) == sorted(f"v{i}" for i in range(VIDEOS))
    assert all(int(m[1:]) == int(v[1:]) % TRACKS for v, m in pairs.to_numpy())
    assert all(trains(model) for model in ("DecCM", "Ridge", "BPR"))


def test_a_split_of_the_table_is_kept_and_a_drawn_one_hangs_on_the_seed_alone(made):
    table = pd.read_csv("pairs.csv").assign(split=["train"] * 8 + ["val"] * 2 + ["test"] * 2)
    table.to_csv("pairs.csv", index=False)
    import_table(f"{BASIC} {FEATURES}".replace("--split 0.5,0.25,0.25", ""))
    assert columns("valid.inter", "video_id")["video_id"].tolist() == ["v8", "v9"]
    found = []
    for seed in (1, 1, 2):
        import_table(f"{BASIC} {FEATURES} --seed {seed} --overwrite")
        found.append(columns("test.inter", "video_id")["video_id"].tolist())
    assert found[0] == found[1] != found[2] and len(found[0]) == 3
    import_table(f"{BASIC} {FEATURES} --group author_id --overwrite --split 0.4,0.3,0.3")
    of = dict(pd.read_csv("pairs.csv")[["clip", "author_id"]].to_numpy())
    groups = [{of[v] for v in columns(f"{part}.inter", "video_id")["video_id"]} for part in ("train", "valid", "test")]
    assert sorted(map(len, groups)) == [1, 1, 1] and len(set.union(*groups)) == 3


def test_further_test_sets_of_the_split_column_are_written_and_named(made):
    table = pd.read_csv("pairs.csv").assign(split=["train"] * 8 + ["valid"] * 2 + ["test"] * 2)
    further = table[-2:].assign(split="test_do")  # one chose the same track again, the other another one
    further.iloc[1, 1] = "m4"
    pd.concat([table, further, further[:1], table[:1]]).to_csv("pairs.csv", index=False)
    table[["clip"]].to_csv("videos.csv", index=False)
    options = f"{BASIC} {FEATURES} --videos videos.csv --overwrite"
    said = import_table(options.replace("--split 0.5,0.25,0.25", ""))
    assert "16 pairs; dropped 2 that stand there twice" in said
    assert "split as the table says: 8 train, 2 valid, 2 test, 2 test_do" in said
    assert columns("do.inter", "video_id", "music_id").to_numpy().tolist() == [["v10", "m0"], ["v11", "m4"]]
    assert yaml.safe_load(Path("d/mine/mine.yaml").read_text())["extra_tests"] == ["do"]
    quick = {"metrics": ["NDCG"], "topk": [2], "valid_metric": "NDCG@2", "epochs": 1}
    assert "ndcg@2" in run_quick("CMVAE", Path("d"), "mine", **quick)["test_do_result"]
    said = import_table(options)  # drawn anew, the further rows are no pairs of theirs
    assert "dropped 3 of further test sets, since the parts are drawn anew, such as 'v10'" in said
    assert not Path("d/mine/mine.do.inter").exists()
    table.assign(split=["train"] * 8 + ["valid"] * 2 + ["test_valid"] * 2).to_csv("pairs.csv", index=False)
    with pytest.raises(DataError, match="expected train, valid, test or test_NAME, found 'test_valid'"):
        import_table(options.replace("--split 0.5,0.25,0.25", ""))


def test_what_is_dropped_is_counted_with_its_reason(made):
    visual = VISUAL.copy()
    visual[3] = np.nan
    np.save("V.npy", visual)
    extra = pd.DataFrame({"clip": ["v0", "v1"], "music_id": ["m0", "gone"], "author_id": ["u0", "u1"]})
    videos = pd.DataFrame({"video_id": [f"v{i}" for i in range(VIDEOS)], "caption": "x"})
    videos.to_csv("videos.csv", index=False)
    pd.concat([pd.read_csv("pairs.csv"), extra]).to_csv("pairs.csv", index=False)
    said = import_table(f"{BASIC} {FEATURES} --videos videos.csv")
    assert "dropped 1 without any features, such as 'v3'" in said
    assert re.search(
        r"14 pairs; dropped 1 whose video .* such as 'v3'; dropped 1 whose track .* 'gone'; dropped 1 that stand", said
    )
    assert "v3" not in set(columns("user", "video_id")["video_id"]) and len(np.load("d/mine/mine.visual.npy")) == 11
    np.testing.assert_array_equal(np.load("d/mine/mine.visual.npy")[3], VISUAL[4])
    assert columns("user", "caption")["caption"].tolist() == ["x"] * 11


def test_vectors_in_columns_of_csv_and_parquet_are_those_of_the_matrices(made):
    pd.DataFrame({"video_id": [f"v{i}" for i in range(VIDEOS)], "vec": [str(row.tolist()) for row in VISUAL]}).to_csv(
        "videos.csv", index=False
    )
    music = pd.read_parquet("music.parquet").assign(sound=list(ACOUSTIC))
    music.to_parquet("music.parquet")
    import_table(f"{BASIC} --videos videos.csv --video-features visual=vec --music-features acoustic=sound")
    np.testing.assert_array_equal(np.load("d/mine/mine.visual.npy"), VISUAL)
    np.testing.assert_array_equal(np.load("d/mine/mine.acoustic.npy"), ACOUSTIC)
    assert "sound" not in Path("d/mine/mine.item").read_text()


def test_several_fields_a_side_of_files_and_columns_some_of_them_missing(made):
    cells = ["", *(str(row.tolist()) for row in VISUAL[1:])]
    pd.DataFrame({"video_id": [f"v{i}" for i in range(VIDEOS)], "said": cells}).to_csv("videos.csv", index=False)
    pd.read_parquet("music.parquet").assign(tune=list(ACOUSTIC)).to_parquet("music.parquet")
    options = "--video-features text=said --music-features tune=tune --videos videos.csv"
    said = import_table(f"{BASIC} {FEATURES} {options}")
    assert "visual 3, text 3 dimensions" in said and "acoustic 2, tune 2 dimensions" in said
    written = yaml.safe_load(Path("d/mine/mine.yaml").read_text())
    assert written["video_fields"] == ["visual", "text"] and written["music_fields"] == ["acoustic", "tune"]
    text = np.load("d/mine/mine.text.npy")
    assert np.isnan(text[0]).all()
    np.testing.assert_array_equal(text[1:], VISUAL[1:])
    assert trains("DecCM")


def test_one_row_for_each_video_with_its_own_sound_needs_no_table(made):
    np.save("S.npy", RNG.normal(size=(VIDEOS, 4)))
    options = "--own-sound --video-features image=V.npy --music-features acoustic=S.npy --split 0.5,0.25,0.25"
    said = import_table(f"{options} --out d --name mine")
    assert "no genres" in said
    pairs = columns("train.inter", "video_id", "music_id")
    assert (pairs["video_id"] == pairs["music_id"]).all() and len(pairs) == 6
    written = yaml.safe_load(Path("d/mine/mine.yaml").read_text())
    assert written["VISUAL_FIELD"] == "image" and "uploader_prior" not in written
    assert trains("CMVAE")


def test_the_layout_of_mmrec_is_read_by_numbered_items(made):
    rows = ["userID\titemID\trating\ttimestamp\tx_label", "0\t2\t1.0\t5\t0", "1\t0\t1.0\t6\t0", "0\t0\t1.0\t7\t2"]
    rows += [f"2\t{item}\t1.0\t{item}\t1" for item in range(3, 9)]
    Path("tiktok.inter").write_text("\n".join(rows) + "\n")
    options = "--pairs tiktok.inter --own-sound --video-features visual=V.npy --music-features acoustic=V.npy"
    import_table(f"{options} --out d --name mine --split 0.5,0.25,0.25")
    np.testing.assert_array_equal(np.load("d/mine/mine.visual.npy"), VISUAL[[2, 0, 3, 4, 5, 6, 7, 8]])
    assert columns("user", "video_id")["video_id"].tolist() == ["2", "0", "3", "4", "5", "6", "7", "8"]


def test_without_uploaders_every_prior_is_the_mean_genre_of_the_training_pairs(made):
    pd.read_csv("pairs.csv").drop(columns="author_id").to_csv("pairs.csv", index=False)
    assert "no uploaders: every prior is the mean genre" in import_table(f"{BASIC} {FEATURES}")
    chosen = [GENRES[int(name[1:])] for name in columns("train.inter", "music_id")["music_id"]]
    mean = [chosen.count(name) / len(chosen) for name in ("hip hop", "jazz", "pop")]
    whole = Path("d/mine/mine.user").read_text()
    pd.read_csv("pairs.csv").assign(author_id="").to_csv("pairs.csv", index=False)  # empty cells tell nothing more
    assert "no uploaders: every prior is the mean genre" in import_table(f"{BASIC} {FEATURES} --overwrite")
    assert Path("d/mine/mine.user").read_text() == whole
    cells = columns("user", "uploader_genre")["uploader_genre"]
    assert all([float(part) for part in cell.split("|")] == pytest.approx(mean) for cell in cells)


def test_professional_pairs_train_the_teacher(made):
    options = "--pgc-pairs pairs.csv --pgc-music music.parquet"
    features = "--pgc-video-features visual=V.npy --pgc-music-features acoustic=M.npy"
    import_table(f"{BASIC} {FEATURES} {options} {features}")
    assert "teacher" not in yaml.safe_load(Path("d/mine/mine.yaml").read_text())
    assert yaml.safe_load(Path("d/mine-pgc/mine-pgc.yaml").read_text())["benchmark_filename"] == ["train", "valid"]
    assert trains("DecCM", teacher_config={"epochs": 1})
    np.save("V2.npy", VISUAL[:, :2])
    with pytest.raises(DataError, match="professional dimensions"):
        import_table(f"{BASIC} {FEATURES} {options} {features.replace('V.npy', 'V2.npy')} --overwrite")
    with pytest.raises(ConfigError, match="professional fields visual, acoustic, found image, acoustic"):
        import_table(f"{BASIC} {FEATURES} {options} {features.replace('visual', 'image')} --overwrite")


def _infinite():
    bad = VISUAL.copy()
    bad[2, 1] = np.inf
    np.save("V.npy", bad)


WRONG = {
    "no table": (lambda: Path("pairs.csv").unlink(), "pairs.csv: expected a CSV or Parquet table"),
    "not UTF-8": (lambda: Path("pairs.csv").write_bytes(b"clip,music_id\n\xff,m0\n"), "pairs.csv: .*utf-8"),
    "short line": (
        lambda: Path("pairs.csv").write_text("clip,music_id\nv0,m0\nv1\n"),
        "pairs.csv, row 2: expected a name in 'music_id'",
    ),
    "long line": (lambda: Path("pairs.csv").write_text("clip,music_id\nv0,m0,x\n"), "pairs.csv: expected a table"),
    "header alone": (lambda: Path("pairs.csv").write_text("clip,music_id\n"), "expected at least one row"),
    "no such column": (lambda: Path("pairs.csv").write_text("a,music_id\nv0,m0\n"), "--column video_id=clip: expected"),
    "empty id": (lambda: Path("pairs.csv").write_text("clip,music_id\nv0,m0\n,m1\n"), "row 2: expected a name"),
    "no parquet": (lambda: Path("music.parquet").write_bytes(b"PAR1"), "music.parquet: expected a table"),
    "rows": (lambda: np.save("V.npy", VISUAL[:5]), "V.npy: expected 12 rows.*found 5"),
    "infinite": (_infinite, "V.npy, row 2: expected finite numbers"),
    "damaged": (lambda: Path("M.npy").write_bytes(b"\x93NUMPY"), "M.npy: expected a .npy file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(made, name):
    spoil, words = WRONG[name]
    spoil()
    with pytest.raises((DataError, ConfigError), match=words):
        import_table(f"{BASIC} {FEATURES}")
    assert not Path("d").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BASIC, "--video-features: expected FIELD=FILE.npy"),
        (f"{BASIC} --video-features visual=V.npy --music-features visual=M.npy", "another name for each field"),
        (f"{BASIC} --video-features Visual=V.npy --music-features a=M.npy", "expected NAME=VALUE"),
        (f"{BASIC} {FEATURES} --video-features visual=M.npy", "expected 'visual' once"),
        (f"{BASIC} --video-features visual=none --music-features acoustic=M.npy", "visual=none: expected a .npy"),
        (f"{BASIC} {FEATURES} --group artist", "--group: expected a column"),
        (f"{BASIC.replace('0.5,0.25,0.25', '0.5,0.1')} {FEATURES}", "--split: expected two or three shares"),
        (f"{FEATURES} --out d --name mine", "expected a table of pairs, or --own-sound"),
        (f"{BASIC.replace('mine', '../mine')} {FEATURES}", "--name: expected a plain name"),
    ],
)
def test_options_that_say_nothing_are_refused(made, options, words):
    with pytest.raises(ConfigError, match=words):
        import_table(options)


def test_splits_have_the_shares_that_are_asked_for():
    parts = split_rows(1_000, (0.8, 0.1, 0.1), 5)
    assert [int((parts == part).sum()) for part in ("train", "valid", "test")] == [800, 100, 100]
    groups = np.repeat(np.arange(200), 5)
    parts = split_rows(1_000, (0.8, 0.2), 5, groups)
    assert len({(group, part) for group, part in zip(groups, parts, strict=True)}) == 200
    assert (parts == "valid").sum() == 200
    with pytest.raises(DataError, match="none for test among 2 groups"):
        split_rows(10, (0.5, 0.3, 0.2), 1, ["a", "b"] * 5)
    for wrong in ([1.0], [0.5, 0.5, 0.0], [0.5, 0.4], [float("nan"), 0.5]):
        with pytest.raises(ConfigError):
            check_shares(wrong)


def preferences(*lines: str) -> None:
    Path("likes.csv").write_text("\n".join(["uploader_id,genre,share", *lines, ""]))


def test_preferences_from_outside_are_the_priors(made):
    preferences("u0,pop,3", "u0,jazz,1", "u1,hip hop,0.5")
    said = import_table(f"{BASIC} {FEATURES} --preferences likes.csv")
    assert "3 uploaders: priors as given" in said
    rows = columns("user", "uploader_id", "uploader_genre").drop_duplicates().set_index("uploader_id")
    found = {name: np.array(cell.split("|"), dtype=float) for name, cell in rows["uploader_genre"].items()}
    np.testing.assert_allclose(found["u0"], [0, 0.25, 0.75])  # hip hop, jazz, pop
    np.testing.assert_allclose(found["u1"], [1, 0, 0])
    np.testing.assert_allclose(found["u2"], [0.5, 0.125, 0.375])  # without lines: the mean
    assert "uploader_prior" not in yaml.safe_load(Path("d/mine/mine.yaml").read_text())
    assert trains("DecCM", teacher="none")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["u0,pop,x"], "expected shares of 0 and more, found 'x' (row 1)"),
        (["u0,pop,1", "u1,pop,-1"], "expected shares of 0 and more, found '-1' (row 2)"),
        (["u0,pop,0"], "expected a share above 0 for each uploader, found none of 'u0'"),
        (["u0,popp,1"], "expected genres of the tracks, found 'popp'. Did you mean 'pop'?"),
        (["u0,pop,1", "u0,pop,2"], "found 'u0', 'pop' twice"),
    ],
)
def test_wrong_preferences_are_refused(made, lines, said):
    preferences(*lines)
    with pytest.raises(DataError, match=re.escape(said)):
        import_table(f"{BASIC} {FEATURES} --preferences likes.csv")
    assert not Path("d").exists()


def test_preferences_need_columns_uploaders_and_genres(made):
    Path("likes.csv").write_text("uploader_id,genre\nu0,pop\n")
    with pytest.raises(DataError, match="found no 'share'"):
        import_table(f"{BASIC} {FEATURES} --preferences likes.csv")
    pd.read_csv("pairs.csv").drop(columns="author_id").to_csv("pairs.csv", index=False)
    with pytest.raises(DataError, match="expected pairs with 'uploader_id'"):
        import_table(f"{BASIC} {FEATURES} --preferences likes.csv")
