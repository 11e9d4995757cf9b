"""Reading a benchmark's folder, whole or broken."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from helpers.benchmark_folder import write_benchmark, write_cell

from recbole_decm.errors import DataError
from recbole_decm.report.results import FORMAT_VERSION, disagreeing_cells, load_results, missing_cells, row_of


@pytest.fixture
def folder(tmp_path):
    return write_benchmark(tmp_path / "out", {"b": 0.1, "a": 0.0}, seeds=(1, 2), videos=20)


def test_cells_are_a_table(folder):
    results = load_results(folder)
    assert (results.models, results.datasets, results.tests) == (["b", "a"], ["sim"], ["test"])
    assert results.metrics("test") == ["ndcg@10", "recall@10", "majorityshare@10", "averagepopularity@10"]
    row = results.cells.loc["a-sim-2-0a1b2c3d"]
    assert (row["model"], row["seed"], row["status"], row["seconds:train"]) == ("a", 2, "done", 12)
    assert row["seconds"] == pytest.approx(14.8) and row["popularity:train"] == 40


def test_arrays_are_read_when_asked_for_and_agree_with_the_metrics(folder):
    results = load_results(folder)
    for key, row in results.cells.iterrows():
        assert results.videos(key, "test", "ndcg@10").mean() == pytest.approx(row["test:ndcg@10"], abs=1e-6)
    assert results.videos("a-sim-1-0a1b2c3d", "test", "video")[3] == "v3"
    assert results.videos("a-sim-1-0a1b2c3d", "test", "map@10") is None
    assert results.curves("a-sim-1-0a1b2c3d")["losses"]["matching"][:2] == pytest.approx([2, 1.6])
    assert results.curves("nowhere") == {"losses": {}, "valid": {}}


def test_the_order_is_that_of_the_specification(folder):
    write_cell(folder, "c", "sim", 1, {})
    (folder / "specification.yaml").write_text("models: [c, {a: {model: x}}]\n")
    assert load_results(folder).models == ["c", "a", "b"]
    (folder / "specification.yaml").write_text("models: [{a: {config: {epochs: 1}}}, c, {b: null}]\n")
    assert load_results(folder).models == ["a", "c", "b"]
    (folder / "specification.yaml").write_text("models: [")
    assert load_results(folder).models == ["a", "b", "c"]


def test_failed_missing_and_unfinished_cells(folder):
    write_cell(folder, "c", "sim", 1, {}, status="failed", error="no memory", metrics={})
    (folder / "cells" / "c-sim-2-beef").mkdir()
    results = load_results(folder)
    assert results.failed["error"].tolist() == ["no memory"] and len(results.done) == 4
    assert missing_cells(results) == [("c", "sim", 2)] and results.unfinished == ("c-sim-2-beef",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "expected JSON"), ("[1]", "expected a mapping"), ('{"model": "x"}', "found no dataset, seed, status")],
)
def test_a_cell_that_cannot_be_read_counts_as_failed(folder, text, problem):
    (folder / "cells" / "a-sim-1-0a1b2c3d" / "cell.json").write_text(text)
    failed = load_results(folder).failed
    assert failed.index.tolist() == ["a-sim-1-0a1b2c3d"] and problem in failed["error"].iloc[0]


def test_truncated_arrays_are_as_good_as_none(folder):
    path = folder / "cells" / "a-sim-1-0a1b2c3d" / "videos.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert load_results(folder).videos("a-sim-1-0a1b2c3d", "test", "ndcg@10") is None


def test_of_two_cells_of_one_run_the_newer_counts(folder):
    values = {"test": {"ndcg@10": np.full(20, 0.9)}}
    path = write_cell(folder, "a", "sim", 1, values, config_hash="changed")
    old = folder / "cells" / "a-sim-1-0a1b2c3d"
    os.utime(old / "cell.json", ns=(1, 1))
    results = load_results(folder)
    assert results.superseded == (old.name,) and results.cells.loc[path.name, "test:ndcg@10"] == pytest.approx(0.9)
    assert old.name not in results.cells.index


def test_a_folder_without_cells(tmp_path):
    with pytest.raises(DataError, match="at least one finished or failed cell"):
        load_results(tmp_path)


def test_values_by_video_that_contradict_the_cell(folder):
    assert disagreeing_cells(load_results(folder), ["test"], ["ndcg@10", "recall@10", "majorityshare@10"]) == []
    path = folder / "cells" / "a-sim-1-0a1b2c3d" / "cell.json"
    cell = json.loads(path.read_text())
    cell["metrics"]["test"]["ndcg@10"] += 0.002
    path.write_text(json.dumps(cell))
    assert disagreeing_cells(load_results(folder), ["test"], ["ndcg@10"]) == ["a-sim-1-0a1b2c3d"]


def test_metrics_without_a_value(folder):
    path = folder / "cells" / "a-sim-1-0a1b2c3d" / "cell.json"
    cell = json.loads(path.read_text())
    cell["metrics"]["test"]["ndcg@10"] = None
    cell["seconds"] = cell["genres"] = cell["factors"] = None
    path.write_text(json.dumps(cell))
    row = load_results(folder).cells.loc["a-sim-1-0a1b2c3d"]
    assert np.isnan(row["test:ndcg@10"]) and np.isnan(row["seconds"])


def test_a_folder_of_a_newer_format_is_refused_and_an_older_one_is_read(folder):
    assert not (folder / "run.json").exists()  # as written before there were versions
    assert len(load_results(folder).cells) == 4
    run = folder / "run.json"
    run.write_text(json.dumps({"format_version": FORMAT_VERSION}))
    assert len(load_results(folder).cells) == 4
    for text, told in (
        ('{"format_version": 99}', "format 99"),
        ('{"format_version": "1"}', "format '1'"),
        ("{", "JSON"),
    ):
        run.write_text(text)
        with pytest.raises(DataError, match=f"of format {FORMAT_VERSION} or older, found .*{told}"):
            load_results(folder)


def test_a_row_holds_what_a_cell_says(folder):
    cell = json.loads((folder / "cells" / "a-sim-1-0a1b2c3d" / "cell.json").read_text())
    row = row_of(cell | {"factors": {"confounding": 1.5}})
    assert list(row)[:6] == ["model", "class", "dataset", "seed", "status", "error"]
    assert row["test:ndcg@10"] == cell["metrics"]["test"]["ndcg@10"] and row["seconds"] == pytest.approx(13.8)
    assert row["genre_lists:hip_hop"] == cell["genres"]["lists"][1] and row["factor:confounding"] == 1.5
    names = list(row)
    assert names.index("test:ndcg@10") < names.index("valid:ndcg@10") < names.index("seconds:load")
    assert row["version:torch"] == "2.6.0" and row["popularity:train"] == 40
