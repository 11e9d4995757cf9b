"""Runs of a specification: what they write, what they do not do twice, and what survives."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from filelock import FileLock
from helpers.in_process import run_in_process
from helpers.planted import write_planted
from helpers.released_layout import write_released

from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.experiments import data as data_sets
from recbole_decm.experiments import folder, hashes, runner
from recbole_decm.experiments.spec import read_specification
from recbole_decm.io.shipped import PACKAGE, shipped
from recbole_decm.report.options import ReportOptions
from recbole_decm.report.report import write_report
from recbole_decm.training import estimates as training_estimates

FAST = {"epochs": 2, "train_batch_size": 64, "topk": [1, 10]}
TAUGHT = FAST | {"teacher_config": {"epochs": 1, "train_batch_size": 64}}
OUT = Path("out")
KEYS = ["model", "class", "dataset", "seed", "status", "error"]


@pytest.fixture
def data(tmp_path) -> Path:
    write_planted(tmp_path / "data", videos=200, music=12)
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch) -> list[str]:
    return run_in_process(monkeypatch)


def specification(data: Path, **values):
    given = {"models": ["Pop", "CMVAE"], "datasets": [{"planted": {"dataset": "planted", "data_path": str(data)}}]}
    given |= {"seeds": [1], "config": FAST}
    Path("s.yaml").write_text(yaml.safe_dump({**given, **values}))
    return read_specification("s.yaml")


def table() -> pd.DataFrame:
    return pd.read_csv(OUT / "results.csv")


def test_a_run_writes_what_the_report_reads(data, started):
    models = ["DecCMPlus", {"no teacher": {"model": "DecCMPlus", "config_files": ["ablation/plus-no-teacher.yaml"]}}]
    outcome = runner.run_benchmark(specification(data, models=models, seeds=[1, 2], config=TAUGHT), OUT)
    assert (outcome.total, outcome.done, outcome.before, outcome.failed) == (4, 4, 0, {})
    rows = table()
    assert rows[KEYS[:4]].values.tolist() == [
        [label, "DecCMPlus", "planted", seed] for label in ("DecCMPlus", "no teacher") for seed in (1, 2)
    ]
    stages = rows[[f"seconds:{stage}" for stage in ("load", "protocol", "teacher", "train", "test")]]
    assert (rows["status"] == "done").all() and np.allclose(rows["seconds"], stages.sum(axis=1))
    assert {"test:recall@10", "valid:ndcg@10", "peak_memory_mb", "version:torch", "genre_lists:g0"} < set(rows.columns)
    cells = [json.loads(path.read_text()) for path in sorted(OUT.glob("cells/*/cell.json"))]
    assert all(cell["config"]["seed"] == cell["seed"] and "temperature" in cell["config"] for cell in cells)
    assert {cell["config"]["teacher"] for cell in cells} == {"auto", None}  # not only what was given
    assert len({cell["config_hash"] for cell in cells}) == 4 and len({cell["code_hash"] for cell in cells}) == 1
    assert {cell["model"]: cell["overlay"] for cell in cells} == {"DecCMPlus": {}, "no teacher": {"teacher": "none"}}
    assert len(list(OUT.glob("teachers/*.pth"))) == 2  # one for each seed, shared by no one else
    assert {path.name for path in next(OUT.glob("cells/*")).iterdir()} == {
        "cell.json",
        "videos.npz",
        "curves.json",
        "log.txt",
    }
    assert sorted(path.name for path in OUT.iterdir()) == [
        ".lock",
        "cells",
        "results.csv",
        "run.json",
        "specification.yaml",
        "teachers",
    ]


def test_estimates_stand_beside_the_run_or_say_why_not(tmp_path, started, monkeypatch):
    world = {"videos": 800, "music": 20, "confounding": 1.0, "visual_dim": 16, "acoustic_dim": 8}
    write_planted(tmp_path / "data", videos=120, music=12)
    datasets = [{"world": {"simulate": world}}, {"few": {"dataset": "planted", "data_path": str(tmp_path / "data")}}]
    values = {"datasets": datasets, "models": ["Pop", "Ridge"], "metrics": ["NDCG", "DoRecall", "Recall"]}
    fits, whole = [], training_estimates.fit_choice_model
    monkeypatch.setattr(training_estimates, "fit_choice_model", lambda *given: (fits.append(1), whole(*given))[1])
    outcome = runner.run_benchmark(specification(tmp_path, **values), OUT)
    assert not outcome.failed and len(fits) == 1  # one for all models of a data set
    rows = table().set_index(["dataset", "model"])
    known, few = rows.loc["world"], rows.loc["few"]
    assert (known["low:dorecall@10"] < known["test:dorecall@10"]).all() and known["test:dondcg@10"].notna().all()
    assert (known["effective_sample_size"] > 30).all() and known["not_estimated"].isna().all()
    assert known["chosen_majority_share:estimated"].nunique() == 1
    assert few["test:dorecall@10"].isna().all() and few["not_estimated"].str.contains("at least 30 choices").all()
    cell = json.loads(next(OUT.glob("cells/*few*/cell.json")).read_text())
    assert cell["config"]["metrics"] == ["NDCG", "DoRecall", "Recall"] and "test:recall@10" in rows
    write_report(OUT, ReportOptions(metric="recall@10"))
    page = (OUT / "report.html").read_text()
    assert "Not estimated for Pop, Ridge:" in page and "Effective sample size of the weights" in page


def test_what_is_finished_is_not_run_again_unless_something_changed(data, started, monkeypatch):
    def run(update=False, **values) -> list[str]:
        started.clear()
        runner.run_benchmark(specification(data, **values), OUT, update=update)
        return list(started)

    both = ["Pop on planted, seed 1", "CMVAE on planted, seed 1"]
    assert run() == both and run() == []
    numbers = table()
    with pytest.raises(ConfigError, match=r"found another in .*differs in config\).*--update"):
        run(config={**FAST, "margin": 0.3})
    changed = {"config": {**FAST, "margin": 0.3}}  # which Pop does not know
    assert run(update=True, **changed) == both[1:] and run(**changed) == []
    assert len(list(OUT.glob("superseded/CMVAE-*/cell.json"))) == 1
    assert run(update=True, **changed, seeds=[1, 2]) == [text.replace("seed 1", "seed 2") for text in both]
    assert run(update=True) == both[1:]  # and back: as the first time
    columns = [name for name in numbers if not name.startswith(("seconds", "peak"))]
    assert table()[columns].equals(numbers[columns])
    assert not list(OUT.glob("cells/*-2-*"))  # the second seed is no longer asked for
    interactions = data / "planted" / "planted.test.inter"
    lines = interactions.read_text().splitlines()
    interactions.write_text("\n".join(lines[:-1]) + "\n")
    assert run() == both
    monkeypatch.setattr(hashes, "code_hash", lambda: "other code")
    assert run() == both and run() == []
    assert set(table()["code_hash"]) == {"other code"}


def test_the_code_of_a_cell_is_what_it_imports_at_any_depth():
    """Models and metrics by their names in tables; neither the report nor the commands nor the runner."""
    names = {path.relative_to(PACKAGE).as_posix() for path in hashes.modules_of("experiments.cell")}
    assert {"experiments/cell.py", "training/run.py", "model/decm.py", "model/kernels.py"} < names
    assert {"model/baselines/fitted.py", "config/metrics.py", "data/loaders.py", "io/npy.py"} < names
    rooms = {name.split("/")[0] for name in names}
    assert not {"cli", "report", "audit", "serving", "released"} & rooms
    assert not {"experiments/runner.py", "experiments/worker.py"} & names


def test_another_name_for_the_same_code_is_the_same_code(monkeypatch):
    monkeypatch.setattr(hashes, "modules_of", lambda name: {PACKAGE / "errors.py", PACKAGE / "io/write.py"})
    before = hashes.code_hash.__wrapped__()
    copies = {Path("moved.py"), Path("renamed.py")}
    for copy, name in zip(sorted(copies), ("io/write.py", "errors.py"), strict=True):
        copy.write_bytes((PACKAGE / name).read_bytes())
    monkeypatch.setattr(hashes, "modules_of", lambda name: copies)
    assert hashes.code_hash.__wrapped__() == before
    Path("moved.py").write_text("other = 1")
    assert hashes.code_hash.__wrapped__() != before


def test_a_failed_cell_stops_no_other_and_is_tried_again(data, started):
    models = [{"broken": {"model": "CMVAE", "config": {"learning_rate": 1e30}}}, "Pop"]
    outcome = runner.run_benchmark(specification(data, models=models), OUT)
    assert (outcome.done, list(outcome.failed)) == (1, ["broken on planted, seed 1"])
    rows = table()
    assert rows["status"].tolist() == ["failed", "done"] and "expected a number, found nan" in rows["error"][0]
    assert rows["test:recall@10"].notna().tolist() == [False, True]
    started.clear()
    assert runner.run_benchmark(specification(data, models=models), OUT).failed and len(started) == 1
    models[0]["broken"]["config"]["learning_rate"] = 0.001
    assert runner.run_benchmark(specification(data, models=models), OUT, update=True).done == 2
    assert table()["error"].isna().all() and not (OUT / "superseded").exists()  # a failure is nothing to keep


def test_a_full_disk_leaves_what_was_written(data, started, monkeypatch):
    rename, left = os.rename, [1]

    def full(source, target):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        left.pop()
        rename(source, target)

    monkeypatch.setattr(folder.os, "rename", full)
    with pytest.raises(DataError, match=r"No space left on device\. The results in .*out are whole"):
        runner.run_benchmark(specification(data), OUT)
    assert table()["model"].tolist() == ["Pop"] and len(list(OUT.glob("cells/*/videos.npz"))) == 1
    monkeypatch.setattr(folder.os, "rename", rename)
    started.clear()
    assert runner.run_benchmark(specification(data), OUT).done == 2 and started == ["CMVAE on planted, seed 1"]


def test_a_folder_that_cannot_be_used(data, started, monkeypatch):
    OUT.mkdir()
    (OUT / "holiday.jpg").touch()
    with pytest.raises(ConfigError, match="expected an empty folder or that of a benchmark"):
        runner.run_benchmark(specification(data), OUT)
    Path("busy").mkdir()
    with FileLock("busy/.lock"), pytest.raises(ConfigError, match="no other benchmark"):
        runner.run_benchmark(specification(data), Path("busy"))
    with pytest.raises(ConfigError, match="expected a folder that can be written"):
        runner.run_benchmark(specification(data), OUT / "holiday.jpg")
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    with pytest.raises(ConfigError, match="MB of free disk, found 0 MB"):
        runner.run_benchmark(specification(data), Path("small"))
    assert started == []


def test_fixed_candidates_that_are_not_there(data, started):
    with pytest.raises(ConfigError, match=r"planted\.valid\.candidates, found no such file"):
        runner.run_benchmark(specification(data, eval_mode="fixed"), OUT)
    assert started == []


def test_data_are_simulated_and_imported_once(tmp_path, started, monkeypatch):
    made = []
    make = data_sets.make
    monkeypatch.setattr(data_sets, "make", lambda *a: (made.append(a[0].label), make(*a)))
    ugc, pgc = write_released(tmp_path / "released")
    small = {"videos": 60, "music": 12, "visual_dim": 6, "acoustic_dim": 5, "confounding": 0.5}
    data = [
        {"each seed": {"simulate": small, "per_seed": True}},
        {"clips": {"import_released": {"ugc": str(ugc), "pgc": str(pgc)}}},
    ]
    values = {"models": ["Pop"], "seeds": [1, 2], "datasets": data, "config": {"topk": [10], "valid_metric": "NDCG@10"}}
    run = runner.run_benchmark(specification(tmp_path, **values), OUT)
    assert run.done == 4 and made == ["each seed", "each seed", "clips"]
    rows = table()
    assert (
        rows["factor:confounding"].tolist()[:2] == [0.5, 0.5]
        and rows["factor:confounding"].isna().tolist()[2:] == [True] * 2
    )
    assert len(set(rows["data_hash"])) == 3 and "test_do:ndcg@10" in rows
    (OUT / "data" / ".writing-x").mkdir()
    runner.run_benchmark(specification(tmp_path, **values), OUT)
    assert len(made) == 3 and not list((OUT / "data").glob(".writing*"))
    small["confounding"] = 1.0
    started.clear()
    runner.run_benchmark(specification(tmp_path, **values), OUT, update=True)
    assert made[3:] == ["each seed"] * 2 and len(started) == 2 and table()["factor:confounding"][0] == 1.0


def test_the_page_shows_strengths_around_real_uploads(tmp_path, started):
    values = read_yaml(shipped("properties") / "benchmark" / "uploads.yaml")
    small = {"visual_dim": 6, "acoustic_dim": 5, "pgc_videos": 10}
    data = [
        {label: {**entry, "simulate": {**entry["simulate"], **small}}}
        for one in values["datasets"][::2]
        for label, entry in one.items()
    ]
    rows = [f"u{i % 9},m{i % 12},{('pop', 'rock', 'pop rock')[i % 3]}" for i in range(60)]
    (tmp_path / "real.csv").write_text("\n".join(["uploader_id,music_id,genre", *rows, "lone,m1,rock"]) + "\n")
    values |= {"models": ["Pop"], "datasets": data, "seeds": [1], "baseline": "Pop"}
    values |= {"config": {"topk": [10], "valid_metric": "NDCG@10"}}
    Path("s.yaml").write_text(yaml.safe_dump(values))
    found = read_specification("s.yaml", {"UPLOADS": str(tmp_path / "real.csv")})
    assert runner.run_benchmark(found, OUT).done == 2
    cells = table()
    assert cells["factor:confounding"].tolist() == [0.0, 2.0] and cells["test_do:recall@10"].notna().all()
    assert cells["factor:videos"].tolist() == [61, 61] and len(set(cells["data_hash"])) == 2
    write_report(OUT, ReportOptions(metric="recall@10", test="test_do"))
    assert "against confounding" in (OUT / "report.html").read_text()


def test_checkpoints_are_kept_where_asked(data, started):
    runner.run_benchmark(specification(data, models=["CMVAE"], keep_checkpoints=True), OUT)
    assert len(list(OUT.glob("cells/*/checkpoints/*.pth"))) == 1


def test_killed_at_any_moment_it_goes_on_where_it_stopped(data, monkeypatch):
    """Real processes: the runner is killed, its workers go with it, and the finished cell is not run again."""
    models = ["Pop", {"long": {"model": "CMVAE", "config": {"epochs": 10**6, "stopping_step": 10**6}}}, "CMVAE"]
    specification(data, models=models)
    code = (
        "from pathlib import Path; from recbole_decm.experiments import runner, spec;"
        "runner.run_benchmark(spec.read_specification('s.yaml'), Path('out'))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    running = OUT / ".running"
    deadline = time.monotonic() + 120
    while not list(running.glob("long-*/scratch/log/CMVAE")):  # the second cell is at work
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert table()["model"].tolist() == ["Pop"] and table()["status"].tolist() == ["done"]
    before = {path: path.stat().st_mtime_ns for path in OUT.glob("cells/Pop*/*")}
    assert len(before) == 4
    started = run_in_process(monkeypatch)
    models[1]["long"]["config"] = {"epochs": 1}
    outcome = runner.run_benchmark(specification(data, models=models), OUT, update=True)
    assert started == ["long on planted, seed 1", "CMVAE on planted, seed 1"] and outcome.done == 3
    assert {path: path.stat().st_mtime_ns for path in OUT.glob("cells/Pop*/*")} == before
    assert table()["model"].tolist() == ["Pop", "long", "CMVAE"] and not running.exists()


@pytest.mark.parametrize(
    "config", [{"epochs": "abc"}, {"eval_args": {"modee": "uni5"}}, {"train_neg_sample_args": {"dynamic": True}}]
)
def test_a_value_that_does_not_fit_is_refused_before_the_first_cell(data, started, config):
    with pytest.raises(ConfigError, match=rf"specification, BPR on planted: .*{next(iter(config))}"):
        runner.run_benchmark(specification(data, models=["BPR"], config=config), OUT)
    assert not started
