"""Benchmarks over folds: the cells, what they are paired by, and that a search never sees a test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.in_process import run_in_process
from helpers.planted import write_planted

from recbole_decm.data.splits import fold_rows
from recbole_decm.errors import ConfigError
from recbole_decm.experiments import runner
from recbole_decm.experiments.cells import cells_of, check, values_of
from recbole_decm.experiments.spec import read_specification
from recbole_decm.io.atomic import read_columns
from recbole_decm.metrics.paired import seeds_test
from recbole_decm.report.options import ReportOptions
from recbole_decm.report.report import write_report

OUT = Path("out")
LGO = {"eval_args": {"split": {"LGO": "uploader_id"}}}


@pytest.fixture
def data(tmp_path) -> Path:
    write_planted(tmp_path / "data", videos=120, music=12, uploaders=12)
    return tmp_path / "data"


def specification(data: Path, **values):
    given = {"models": ["Random", "Pop"], "datasets": [{"planted": {"dataset": "planted", "data_path": str(data)}}]}
    given |= {"seeds": [1, 2], "folds": 3, "config": LGO | {"topk": [1, 10]}}
    Path("s.yaml").write_text(yaml.safe_dump({**given, **values}))
    return read_specification("s.yaml")


def test_every_model_runs_on_every_fold_with_every_seed(data):
    cells = cells_of(specification(data, fold_seed=[0, 5]), OUT)
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 2 * 3 * 2
    assert {(cell.fold.fold, cell.fold.seed) for cell in cells} == {(f, s) for f in range(3) for s in (0, 5)}
    assert cells[0].title == "Random on planted, seed 1, fold 0 of 3 (fold_seed 0)"
    assert cells[0].key.startswith("Random-planted-1-fold0-of3-by0-")
    without = cells_of(specification(data, folds=None), OUT)
    assert [cell.title for cell in without[:2]] == ["Random on planted, seed 1", "Random on planted, seed 2"]


def test_folds_are_tested_each_once_and_paired_by_fold_and_seed(data, monkeypatch):
    run_in_process(monkeypatch)
    outcome = runner.run_benchmark(specification(data), OUT)
    assert (outcome.done, outcome.failed) == (12, {})
    table = pd.read_csv(OUT / "results.csv")
    assert list(table.columns[:7]) == ["model", "class", "dataset", "seed", "folds", "fold", "fold_seed"]
    assert set(zip(table["fold"], table["seed"], strict=True)) == {(f, s) for f in range(3) for s in (1, 2)}

    user = read_columns(data / "planted" / "planted.user", ["video_id", "uploader_id"])
    tested: dict[int, set[str]] = {}
    for path in (OUT / "cells").iterdir():
        cell = json.loads((path / "cell.json").read_text())
        arrays = np.load(path / "videos.npz")
        tested.setdefault(cell["fold"], set()).update(arrays["test/video"])
        owners = user.set_index("video_id")["uploader_id"][arrays["test/video"]]
        groups = pd.Series(arrays["test/group"], index=owners.to_numpy())
        assert (groups.groupby(level=0).nunique() == 1).all() and "test/uploader" not in arrays.files
    fold_of = fold_rows(user["uploader_id"].to_numpy(dtype=str), 3)
    videos = user["video_id"].to_numpy()
    assert tested == {fold: set(videos[fold_of == fold]) for fold in range(3)}

    write_report(OUT, ReportOptions(metric="ndcg@10", baseline="Pop"))
    row = pd.read_csv(OUT / "significance.csv").iloc[0]
    assert (row["seeds"], row["folds"], row["videos"], row["uploaders"]) == (6, 3, 120, 12)
    means = table.pivot_table(index=["fold", "seed"], columns="model", values="test:ndcg@10")
    paired = means["Random"] - means["Pop"]
    assert row["difference"] == pytest.approx(paired.mean(), abs=1e-4)
    of_folds = paired.groupby("fold").mean().to_numpy()  # one fold trains, one is tested: they share as many rows
    assert row["p_seeds"] == pytest.approx(seeds_test(of_folds, shared=1.0), rel=1e-3)
    page = (OUT / "report.html").read_text()
    assert "seeds 1, 2, folds 0, 1, 2 of 3" in page and "of 12 groups" in page and "of 3 folds" in page
    assert "over 6 runs (folds and seeds)" in (OUT / "table.md").read_text()


def test_each_fold_has_a_search_of_its_own(data, monkeypatch):
    run_in_process(monkeypatch)
    search = {"trials": 1, "space": {"Ridge": "search/Ridge.yaml"}}
    runner.run_benchmark(specification(data, models=["Ridge"], seeds=[1], search=search), OUT)
    assert len(list((OUT / "search").glob("*.journal"))) == 3
    cells = [json.loads(path.read_text()) for path in (OUT / "cells").glob("*/cell.json")]
    assert len(cells) == 3 and all("alpha" in cell["overlay"] for cell in cells)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {}}, r"folds: expected eval_args: \{split: \{LGO: FIELD\}\} .* 'planted', .* found no split"),
        ({"config": {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}}, r"folds: expected .* found .*RS"),
        ({"config": {"eval_args": {"split": {"LGO": "uploader_id", "fold": 1}}}}, r"folds: expected .* 'fold': 1"),
        ({"folds": 2}, r"folds: expected .* 3, found 2"),
        ({"folds": None, "fold_seed": [1]}, "fold_seed: expected it beside folds alone"),
        ({"fold_seed": [1, 1]}, "expected each seed once"),
    ],
)
def test_what_does_not_fit_is_refused(data, changes, message):
    with pytest.raises(ConfigError, match=message):
        check(specification(data, **changes))


def test_a_data_set_may_be_folded_by_a_column_of_its_own(data):
    entry = {"dataset": "planted", "data_path": str(data)}
    own = {"dataset": "planted", "data_path": str(data), "config": {"eval_args": {"split": {"LGO": "genre"}}}}
    found = specification(data, datasets=[{"a": entry}, {"b": own}])
    check(found)
    splits = [
        values_of(found, found.models["Pop"], entry, {"eval_args"}, found.foldings[1])["eval_args"]["split"]
        for entry in found.datasets.values()
    ]
    assert splits == [{"LGO": name, "folds": 3, "fold": 1} for name in ("uploader_id", "genre")]
