"""Further test sets beside the splits: from the file to the result."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.running import make_config, run_quick

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.experiments.compare import compare, format_table
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run_config


@pytest.fixture
def extra(own_planted):
    """``again`` repeats the test rows; ``other`` gives each test video the next music instead."""
    folder = own_planted / "planted"
    head, *rows = (folder / "planted.test.inter").read_text().splitlines()
    (folder / "planted.again.inter").write_text("\n".join([head, *rows]) + "\n")
    moved = [f"{video}\tm{(int(music[1:]) + 1) % 12}" for video, music in (row.split("\t") for row in rows)]
    (folder / "planted.other.inter").write_text("\n".join([head, *moved]) + "\n")
    return own_planted


@pytest.mark.parametrize("model", ["CMVAE", "BPR"])
def test_from_one_run_in_one_result_file(extra, model):
    values = {"extra_tests": ["again", "other"], "result_file": "result.json", "epochs": 3}
    trained, test = run_config(make_config(model, extra, **values))
    result = json.loads(Path("result.json").read_text())
    assert result["test_again"] == result["test"] == test and result["test_other"] != test
    assert list(result)[4:8] == ["valid", "test", "test_again", "test_other"]
    assert trained.extra_results == {"test_again": result["test_again"], "test_other": result["test_other"]}
    found = evaluate(trained.trainer.saved_model_file, ["--extra_tests=['other']", "--result_file=again.json"])
    assert found["test_other"] == result["test_other"] and "test_again" not in found
    assert json.loads(Path("again.json").read_text())["test_other"] == result["test_other"]


def test_run_and_compare_report_them(extra):
    result = run_quick("CMVAE", extra, extra_tests=["other"], epochs=1)
    arguments = [f"--data_path={extra}", "--extra_tests=['other']", "--epochs=1", "--train_batch_size=64"]
    (row,) = compare([("CMVAE", 2020)], "planted", arguments)
    assert row["other:recall@10"] == pytest.approx(result["test_other_result"]["recall@10"])
    assert row["valid:ndcg@10"] == pytest.approx(result["best_valid_score"])
    wide = pd.DataFrame([{**row, **{f"more:recall@{k}": 0.5 for k in range(8)}}])
    assert format_table(pd.DataFrame([row]), ["CMVAE"], "planted").splitlines()[3].startswith("CMVAE")
    turned = format_table(wide, ["CMVAE"], "planted").splitlines()
    assert turned[1].split() == ["model", "CMVAE"] and turned[-1].split() == ["more:recall@7", "0.5000"]


def test_candidates_are_drawn_once_and_leave_the_positives_out(extra):
    config = make_config(
        "CMVAE", extra, extra_tests=["other"], eval_args={"mode": "uni5"}, topk=[1], valid_metric="NDCG@1"
    )
    first, second = (prepare_data(config, DecCMDataset(config)).extra["other"] for _ in range(2))
    assert (first.candidates.ids == second.candidates.ids).all() and (first.candidates.counts() == 6).all()
    for row, positive in zip(*first.positives.pairs(), strict=True):
        _, ids = first.candidates.slice(int(row), int(row) + 1)
        assert (ids == positive).sum() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id:token\tmusic_id:token\nv110\tnope\n", r"planted\.do\.inter, line 2: expected a 'music_id' .*'nope'"),
        ("video_id:token\tmusic_id:token\nv110\tm1\nnope\tm1\n", r"line 3: expected a 'video_id' of the data set"),
        ("video_id:token\tmusic_id:token\n", "expected at least one line"),
        ("video_id:token\nv110\n", "line 1: expected a field 'music_id:token'"),
        (None, r"planted\.do\.inter: expected the test set 'do' of extra_tests, found no file"),
    ],
)
def test_a_test_set_that_cannot_be_used(own_planted, text, message):
    if text is not None:
        (own_planted / "planted" / "planted.do.inter").write_text(text)
    with pytest.raises(DataError, match=message):
        run_quick("BPR", own_planted, extra_tests=["do"])


@pytest.mark.parametrize("names", ["do", ["test"], [3]])
def test_names_that_are_none(own_planted, names):
    with pytest.raises(ConfigError, match="extra_tests: expected a list of names other than"):
        run_quick("BPR", own_planted, extra_tests=names)


def test_average_popularity_is_that_of_the_lists(planted):
    """Every planted music is chosen equally often: 420 training pairs of 40 music are 10.5 each."""
    result = run_quick("CMVAE", planted, metrics=["NDCG", "AveragePopularity"], topk=[10, 39], epochs=1)
    assert result["test_result"]["averagepopularity@39"] == pytest.approx(10.5, abs=0.2)


def test_weights_of_its_own(extra):
    path = extra / "planted" / "planted.other.inter"
    head, *rows = path.read_text().splitlines()
    weighted = [f"{row}\t{weight}" for weight, row in enumerate(rows, start=1)]
    path.write_text("\n".join([f"{head}\tipw_weight:float", *weighted]) + "\n")
    config = make_config("CMVAE", extra, extra_tests=["other"])
    loader = prepare_data(config, DecCMDataset(config)).extra["other"]
    by_video = {int(row.split("\t")[0][1:]): weight for weight, row in enumerate(rows, start=1)}
    assert loader.weights.tolist() == [by_video[video - 1] for video in loader.users.tolist()]
