"""Import of the released layout: what it writes, on made and on real data, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.released_layout import save_rows, write_released
from helpers.running import make_config, run_quick

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import parse_matrix, read_columns, read_header
from recbole_decm.released.importer import import_released
from recbole_decm.released.unpickle import load_array

FAST = {"teacher_config": {"epochs": 2, "train_batch_size": 16}, "epochs": 2, "train_batch_size": 16}


@pytest.fixture
def layout(tmp_path):
    return write_released(tmp_path / "released")


def imported(layout, tmp_path, **options):
    return import_released(*layout, "rel", tmp_path / "out", show_progress=False, **options)


@pytest.mark.parametrize(
    "sizes",
    [{}, {"dtype": np.float32, "groups": 11, "visual": 3, "acoustic": (1, 9)}, {"dtype": np.float64, "groups": 2}],
)
def test_everything_arrives(tmp_path, sizes):
    ugc, pgc = write_released(tmp_path / "released", **sizes)
    summary = imported((ugc, pgc), tmp_path)
    folder = tmp_path / "out" / "rel"
    visual = np.load(ugc / "visual_features_resnet_V.npy")
    assert np.array_equal(np.load(folder / "rel.visual.npy"), visual)
    assert np.load(folder / "rel.visual.npy").dtype == visual.dtype
    music = [np.load(ugc / name) for name in ("music_features.npy", "new_music_smile_features_norm.npy")]
    assert np.array_equal(np.load(folder / "rel.acoustic.npy"), np.concatenate(music, axis=1))
    rows = load_array(ugc / "train.npy")
    train = read_columns(folder / "rel.train.inter", ["video_id", "music_id"]).astype(int).to_numpy()
    assert np.array_equal(train, rows[:, :2].astype(int))
    priors = parse_matrix(
        folder / "rel.user", "p", read_columns(folder / "rel.user", ["uploader_genre"])["uploader_genre"]
    )
    assert np.allclose(priors[train[:, 0]], np.array(rows[:, 3].tolist()), atol=1e-6)
    assert np.allclose(
        priors[-1], np.load(ugc / "user_prior_mean.npy"), atol=1e-6
    )  # a test video has no prior of its own
    genres = read_columns(folder / "rel.item", ["genre"])["genre"]
    assert f"[{genres[train[0, 1]]}]" == rows[0, 2]
    test = load_array(ugc / "100neg" / "test.npy")
    negatives = read_columns(folder / "rel.test.candidates", ["music_id"])["music_id"]
    assert [sorted(map(int, cell.split())) for cell in negatives] == [sorted(row[2].tolist()) for row in test]
    weights = read_columns(folder / "rel.test.inter", ["ipw_weight"])["ipw_weight"].astype(float)
    assert np.array_equal(weights, np.load(ugc / "video_popularity_test.npy"))
    assert "60 videos" in str(summary) and "recbole-decm run --model=DecCM --dataset=rel" in str(summary)


def test_the_imported_set_trains_teacher_and_student_and_ranks_the_candidates(layout, tmp_path):
    imported(layout, tmp_path)
    result = run_quick("DecCM", tmp_path / "out", "rel", **FAST)
    assert set(result["test_result"]) == {
        f"{m}@{k}" for m in ("recall", "ndcg", "ipwrecall", "ipwndcg") for k in (10, 15, 20, 25)
    }


def test_real_clips(shared_data, tmp_path):
    ugc = shared_data / "data" / "muvi_split0"
    summary = import_released(ugc / "data_matching", ugc / "data_pgc", "muvi0", tmp_path, show_progress=False)
    assert (len(summary.ugc.visual), len(summary.ugc.acoustic), summary.ugc.prior.shape[1]) == (4457, 269, 6)
    config = make_config("DecCM", tmp_path, "muvi0", train_batch_size=1024)
    splits = prepare_data(config, DecCMDataset(config))
    valid, test = splits.valid, splits.test
    assert (len(valid.users), len(test.users)) == (167, 372)
    assert (test.candidates.counts() == 101).all()
    assert np.allclose(np.sort(test.weights), np.sort(np.load(ugc / "data_matching" / "video_popularity_test.npy")))


def test_existing_data_are_kept_unless_overwritten(layout, tmp_path):
    imported(layout, tmp_path)
    before = (tmp_path / "out" / "rel" / "rel.user").read_bytes()
    with pytest.raises(ConfigError, match="expected a new folder"):
        imported(layout, tmp_path)
    np.save(layout[0] / "visual_features_resnet_V.npy", np.zeros((59, 8)))
    with pytest.raises(DataError):
        imported(layout, tmp_path, overwrite=True)
    assert (tmp_path / "out" / "rel" / "rel.user").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rel", "rel-pgc"]


def change_row(path, row, column, value):
    rows = np.load(path, allow_pickle=True)
    if column is None:
        rows = np.concatenate([rows, rows[:1]])
    else:
        rows[row, column] = value
    if rows.dtype == object:
        save_rows(path, rows.tolist())
    else:
        np.save(path, rows)


@pytest.mark.parametrize(
    ("file", "row", "column", "value", "message"),
    [
        ("train.npy", 3, 0, 99, "row 3: expected a video from 0 to 59.*found 99"),
        ("train.npy", 3, 1, -1, "row 3: expected a music from 0 to 29.*found -1"),
        ("train.npy", 3, 1, 1.5, "row 3: expected a whole number for music, found 1.5"),
        ("train.npy", 3, 1, "x", "row 3: expected a whole number for music, found 'x'"),
        ("train.npy", 4, 2, "[__import__('os')]", "row 4: expected genres such as"),
        ("train.npy", 4, 2, "[7]", "row 4: expected genres from 0 to 3"),
        ("train.npy", 5, 3, [0.5, 0.5, 0.5, 0.5], "row 5: expected a prior of probabilities that sum to 1"),
        ("train.npy", 5, 3, [1.5, -0.5, 0.0, 0.0], "row 5: expected a prior of probabilities"),
        ("train.npy", 5, 3, [float("nan")] * 4, "row 5: expected a prior of probabilities"),
        ("train.npy", 5, 3, [1.0], "row 5: expected a prior of 4 numbers, as in the first row, found 1"),
        ("100neg/val.npy", 2, 2, np.array([0, 99]), "row 2: expected negatives from 0 to 29"),
        ("100neg/val.npy", 2, 2, np.array([3, 3]), "row 2: expected each negative once"),
        ("100neg/test.npy", 0, None, None, "row 15: expected each video once, found video 45 of row 0 again"),
        ("../data_pgc/train.npy", 1, 0, 40, "row 1: expected a video from 0 to 39"),
    ],
)
def test_rows_that_cannot_be_right(layout, tmp_path, file, row, column, value, message):
    change_row(layout[0] / file, row, column, value)
    with pytest.raises(DataError, match=message):
        imported(layout, tmp_path)
    assert not (tmp_path / "out" / "rel").exists()


def test_a_positive_among_its_negatives(layout, tmp_path):
    path = layout[0] / "100neg" / "val.npy"
    rows = np.load(path, allow_pickle=True)
    change_row(path, 6, 2, np.array([rows[6, 1], 0 if rows[6, 1] else 1]))
    with pytest.raises(DataError, match="row 6: expected negatives only"):
        imported(layout, tmp_path)


def test_missing_files_are_listed_at_once(layout, tmp_path):
    (layout[0] / "music_features.npy").unlink()
    (layout[0] / "100neg" / "val.npy").unlink()
    with pytest.raises(DataError, match=r"missing 2 files: .*music_features\.npy, .*val\.npy"):
        imported(layout, tmp_path)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("music_features.npy", np.zeros((29, 5), np.float32), "as many rows in music_features"),
        ("music_features.npy", np.zeros((30, 5), np.int64), "expected a matrix of floats, found int64"),
        ("visual_features_resnet_V.npy", np.full((60, 8), np.inf, np.float32), "row 0: expected finite"),
        ("video_popularity_test.npy", np.ones(3), "expected 15 weights"),
        ("user_prior_mean.npy", np.ones(3) / 3, "expected 4 probabilities"),
        ("../data_pgc/mv_video_resnet_features.npy", np.zeros((40, 9), np.float32), "expected 8 visual dimensions"),
    ],
)
def test_matrices_that_cannot_be_right(layout, tmp_path, file, values, message):
    np.save(layout[0] / file, values)
    with pytest.raises(DataError, match=message):
        imported(layout, tmp_path)


def test_without_weights_and_without_pgc(layout, tmp_path):
    for split in ("val", "test"):
        (layout[0] / f"video_popularity_{split}.npy").unlink()
    import_released(layout[0], None, "rel", tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out" / "rel-pgc").exists()
    config = make_config("CMVAE", tmp_path / "out", "rel", train_batch_size=16)
    valid = prepare_data(config, DecCMDataset(config)).valid
    assert np.allclose(valid.weights, 1 / np.maximum(valid.dataset.popularity[valid.positives.ids], 1))


def test_a_column_of_the_clips_becomes_one_of_the_pairs(tmp_path):
    released = write_released(tmp_path / "released")
    clips = tmp_path / "clips.csv"
    clips.write_text("split,artist,video\n" + "".join(f"x,artist {v % 7},{v}\n" for v in reversed(range(60))))
    import_released(*released, "rel", tmp_path, groups=(clips, "artist"), show_progress=False)
    for split in ("train", "valid", "test"):
        rows = read_columns(tmp_path / "rel" / f"rel.{split}.inter", ["video_id", "artist"])
        assert rows["artist"].tolist() == [f"artist {int(video) % 7}" for video in rows["video_id"]]
        assert "artist" not in read_header(tmp_path / "rel-pgc" / "rel-pgc.train.inter")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("video,artist\n0,a\n", "singer", "clips.csv: expected the columns 'video' and another one, .*found 'singer'"),
        ("video,Artist\n0,a\n", "Artist", "of small letters, digits and _"),
        ("video,video_id\n0,a\n", "video_id", "that .inter does not have yet"),
        ("video,artist\n0,a\n0,b\n", "artist", "row 1: expected each video once, found video 0 again"),
        ("video,artist\n0,a\n", "artist", "expected a value of 'artist' for video 1, found none"),
        ("video,artist\n0.5,a\n", "artist", "row 0: expected a whole number for video, found 0.5"),
    ],
)
def test_a_bad_table_of_clips_is_refused(tmp_path, text, column, message):
    released = write_released(tmp_path / "released")
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        import_released(*released, "rel", tmp_path, groups=(tmp_path / "clips.csv", column), show_progress=False)
    assert not (tmp_path / "rel").exists()
