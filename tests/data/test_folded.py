"""Leave groups out: folds of whole groups, for every model, with the column of any file; and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from helpers.running import make_config
from sklearn.model_selection import GroupKFold

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.data.splits import Folding, fold_rows, leave_groups_out
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import read_columns, write_atomic
from recbole_decm.serving.entry import open_with_videos
from recbole_decm.serving.videos import VideoChoice
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run_config


def lgo(field: str, **beside) -> dict:
    return {"split": {"LGO": field, **beside}}


def parts_of(folder: Path, model: str, **values) -> tuple[DecCMDataset, list[set[tuple[str, str]]]]:
    """The data set and the (video, track) pairs of its parts."""
    dataset = DecCMDataset(make_config(model, folder, **values))
    parts = []
    for part in dataset.build():
        ids = [part.field2id_token[name][part.inter_feat[name]] for name in ("video_id", "music_id")]
        parts.append(set(zip(*ids, strict=True)))
    return dataset, parts


def all_pairs(folder: Path) -> pd.DataFrame:
    data = folder / "planted"
    files = [data / f"planted.{name}.inter" for name in ("train", "valid", "test")]
    return pd.concat([read_columns(path, ["video_id", "music_id"]) for path in files], ignore_index=True)


def uploaders(folder: Path) -> dict[str, str]:
    user = read_columns(folder / "planted" / "planted.user", ["video_id", "uploader_id"])
    return dict(zip(user["video_id"], user["uploader_id"], strict=True))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_folds_are_those_of_scikit_learn(seed):
    groups = np.random.default_rng(3).zipf(1.6, size=400)
    drawn = {} if seed is None else {"shuffle": True, "random_state": seed}
    if drawn and tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 6):
        pytest.skip("GroupKFold shuffles from scikit-learn 1.6 on")
    found = fold_rows(groups, 5, seed)
    for fold, (_, rows) in enumerate(GroupKFold(5, **drawn).split(groups, groups=groups)):
        assert np.array_equal(np.flatnonzero(found == fold), rows)


def test_other_seeds_draw_other_folds_and_none_draws_equal_ones():
    groups = np.repeat(np.arange(30), np.arange(1, 31))
    assert not np.array_equal(fold_rows(groups, 5, 0), fold_rows(groups, 5, 1))
    assert np.ptp(np.bincount(fold_rows(groups, 5))) <= 2


def test_each_group_is_tested_once_and_validated_by_the_fold_before():
    groups = np.random.default_rng(0).integers(9, size=60)
    parts = np.array([leave_groups_out(groups, Folding("x", 4, fold)) for fold in range(4)])
    assert ((parts == "test").sum(axis=0) == 1).all()
    assert np.array_equal(parts[0] == "valid", parts[1] == "test")
    assert np.array_equal(parts[3] == "valid", parts[0] == "test")
    for row in parts:
        assert not any(len(set(row[groups == group])) > 1 for group in range(9))


@pytest.mark.parametrize("model", ["DecCM", "Ridge", "BPR", "FM", "Pop"])
def test_no_group_is_in_two_parts_for_any_model(planted, model):
    _, parts = parts_of(planted, model, eval_args=lgo("uploader_id", folds=4, fold=1))
    owner = uploaders(planted)
    groups = [{owner[video] for video, _ in pairs} for pairs in parts]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert set.union(*parts) == set(all_pairs(planted).itertuples(index=False, name=None))
    expected = all_pairs(planted)["video_id"].map(owner).to_numpy()
    test = fold_rows(expected.astype(str), 4) == 1
    assert parts[2] == set(all_pairs(planted)[test].itertuples(index=False, name=None))


def test_a_column_of_item_makes_the_tracks_of_the_test_new(planted):
    dataset, parts = parts_of(planted, "CMVAE", eval_args=lgo("genre", folds=3))
    genre = lambda pairs: {int(track[1:]) % 3 for _, track in pairs}  # noqa: E731
    assert [len(genre(pairs)) for pairs in parts] == [1, 1, 1]
    assert (dataset.video_groups[1:] >= 0).all() and len(set(dataset.video_groups[1:])) == 3


def with_column(folder: Path, name: str, values: list, kind: str = "token") -> Path:
    """One ``.inter`` file with a further column, in place of the ready-made splits."""
    pairs = all_pairs(folder)
    columns = {"video_id:token": pairs["video_id"].tolist(), "music_id:token": pairs["music_id"].tolist()}
    write_atomic(folder / "planted" / "planted.inter", columns | {f"{name}:{kind}": values})
    return folder


@pytest.mark.parametrize("model", ["CMVAE", "FM"])
def test_a_column_of_inter_keeps_to_its_rows_when_filters_leave_rows_out(own_planted, model):
    day = (np.arange(120) % 10).astype(float)
    with_column(own_planted, "day", day.tolist(), "float")
    values = {"benchmark_filename": None, "threshold": {"day": 3}, "eval_args": lgo("day", folds=7, fold=2)}
    _, parts = parts_of(own_planted, model, **values)
    pairs = all_pairs(own_planted)
    days = [set(day[pairs["video_id"].isin([video for video, _ in part])]) for part in parts]
    assert sum(map(len, days)) == 7 and set.union(*days) == set(range(3, 10))
    assert len(set.union(*parts)) == 84


def test_extra_test_sets_keep_the_rows_of_the_tested_videos(own_planted):
    pairs = all_pairs(own_planted)
    columns = {f"{name}:token": pairs[name].tolist() for name in pairs}
    write_atomic(own_planted / "planted" / "planted.do.inter", columns)
    values = {"eval_args": lgo("uploader_id", folds=3), "extra_tests": ["do"]}
    config = make_config("Ridge", own_planted, **values)
    splits = prepare_data(config, DecCMDataset(config))
    assert np.array_equal(splits.extra["do"].users, splits.test.users) and len(splits.test.users) < 120
    only = {name: entries[:1] for name, entries in columns.items()}
    write_atomic(own_planted / "planted" / "planted.do.inter", only)
    fold = next(fold for fold in range(3) if not _tests(own_planted, pairs["video_id"][0], fold))
    config = make_config("Ridge", own_planted, **values | {"eval_args": lgo("uploader_id", folds=3, fold=fold)})
    with pytest.raises(DataError, match=r"planted\.do\.inter: expected rows of videos that the fold tests, found none"):
        _ = prepare_data(config, DecCMDataset(config)).extra


def _tests(folder: Path, video: str, fold: int) -> bool:
    _, parts = parts_of(folder, "Pop", eval_args=lgo("uploader_id", folds=3, fold=fold))
    return video in {one for one, _ in parts[2]}


def test_a_checkpoint_knows_its_fold(own_planted):
    values = {"epochs": 1, "result_file": "result.json", "teacher": "none"}
    run = make_config("DecCM", own_planted, eval_args=lgo("uploader_id", folds=3, fold=2, fold_seed=1), **values)
    trained, test = run_config(run)
    checkpoint = trained.trainer.saved_model_file
    assert evaluate(checkpoint)["test"] == test
    other = evaluate(checkpoint, ["--eval_args={split: {LGO: uploader_id, folds: 3, fold: 0}}"])
    assert other["test"] != test
    _, videos = open_with_videos(checkpoint, VideoChoice())
    assert np.array_equal(videos.ids, trained.splits.test.users)
    assert json.loads(Path("result.json").read_text())["test"] == test


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"LGO": "uploader_id", "folds": 5, "fold": 5}, "fold: expected 0 to 4, since there are 5 folds, found 5"),
        ({"LGO": "uploader_id", "folds": 2}, "folds: expected .* greater than or equal to 3, found 2|at least 3"),
        ({"LGO": "uploader_id", "fold": -1}, "fold: expected .*, found -1"),
        ({"LGO": ["uploader_id"]}, "LGO: expected the name of a column of .inter, .user or .item"),
        ({"RS": [0.8, 0.1, 0.1], "folds": 5}, "expected folds beside LGO alone, found it beside RS"),
        ({"LGO": "uploader_id", "RS": [0.8, 0.1, 0.1]}, "expected one of RS, LS, TS, LGO"),
        ({"LGO": "uploader_id", "flods": 5}, "expected one of RS, LS, TS, LGO, found 'flods'"),
    ],
)
def test_a_fold_that_there_is_none_of_is_refused(planted, split, message):
    with pytest.raises(ConfigError, match=message):
        make_config("Pop", planted, eval_args={"split": split})


@pytest.mark.parametrize("model", ["CMVAE", "Pop"])
def test_an_unknown_column_is_refused(planted, model):
    message = r"LGO: expected a column of .inter, .user or .item of .*planted \(.*uploader_id.*\), found 'uploader'. "
    with pytest.raises(ConfigError, match=message + r"Did you mean 'uploader_id'\?"):
        parts_of(planted, model, eval_args=lgo("uploader"))


def test_fewer_groups_than_folds(planted):
    with pytest.raises(DataError, match=r"'genre' of .*planted: expected at least 5 groups for 5 folds, found 3"):
        parts_of(planted, "Pop", eval_args=lgo("genre", folds=5))


@pytest.mark.parametrize("field", ["mood", "uploader_genre", "visual"])
def test_a_column_with_several_values_is_refused(own_planted, field):
    path = own_planted / "planted" / "planted.item"
    head, *rows = path.read_text().splitlines()
    moods = [*["calm"] * 4, "calm sad", *["sad"] * (len(rows) - 5)]
    path.write_text("\n".join([f"{head}\tmood:token_seq", *(f"{a}\t{b}" for a, b in zip(rows, moods, strict=True))]))
    line = 6 if field == "mood" else 2
    with pytest.raises(DataError, match=rf"line {line}: expected one value of '{field}'.*found several"):
        parts_of(own_planted, "Pop", eval_args=lgo(field, folds=3))


def test_a_row_without_a_group_is_refused(own_planted):
    with_column(own_planted, "day", ["a", "b", "c", "", *["a"] * 116])
    with pytest.raises(DataError, match=r"planted.inter, line 5: expected a value of 'day'.*found none"):
        parts_of(own_planted, "Pop", benchmark_filename=None, eval_args=lgo("day", folds=3))
    path = own_planted / "planted" / "planted.user"
    head, *rows = path.read_text().splitlines()
    cells = [row.split("\t") for row in rows]
    cells[7][1] = ""
    path.write_text("\n".join([head, *("\t".join(row) for row in cells)]) + "\n")
    with pytest.raises(DataError, match=r"planted.user, line of 'v7': expected a value of 'uploader_id'"):
        parts_of(own_planted, "Pop", eval_args=lgo("uploader_id", folds=3))


def test_candidates_of_the_ready_made_splits_are_refused(planted):
    with pytest.raises(ConfigError, match=r"mode: expected full, uniN or popN with eval_args.split.LGO, found fixed"):
        make_config("Pop", planted, eval_args=lgo("uploader_id") | {"mode": "fixed"})


def test_keys_of_other_splits_are_said_to_have_no_effect(planted):
    config = make_config("Pop", planted, eval_args=lgo("uploader_id") | {"order": "TO", "group_by": "user"})
    told = " ".join(config.without_effect())
    assert "eval_args.order: 'TO' has no effect here: folds of groups have no order" in told
    assert "eval_args.group_by: 'user' has no effect here" in told and "eval_args.split" not in told


def test_a_run_says_how_large_its_parts_are(planted, caplog):
    with caplog.at_level(logging.INFO):
        parts_of(planted, "Pop", eval_args=lgo("genre", folds=3, fold=1))
    assert "Fold 1 of 3 by 'genre': 3 groups; rows: 210 train, 195 valid, 195 test" in caplog.text
