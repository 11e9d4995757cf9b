"""A Dask cluster: the same tables as on this machine, and what becomes of jobs whose worker is lost."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from helpers.cluster_jobs import die_once
from helpers.in_process import run_in_process
from helpers.planted import write_planted

from recbole_decm.cli.main import main
from recbole_decm.errors import ConfigError, DistributedError
from recbole_decm.experiments import remote
from recbole_decm.parallel.cluster import Cluster, workers_here

FAST = {"epochs": 1, "train_batch_size": 64, "topk": [10]}


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[cluster]'")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_job_whose_worker_is_lost_is_done_again_once(scheduler, tmp_path):
    with Cluster(scheduler) as cluster:
        assert cluster.slots() == 2 and cluster.submit(divmod, 7, 2).result(60) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            cluster.submit(divmod, 7, 0).result(60)
        assert cluster.submit(die_once, str(tmp_path / "mark")).result(60) == "done"
        with pytest.raises(DistributedError, match="was tried 2 times, and its worker was lost each time"):
            cluster.submit(os._exit, 1).result(60)


@pytest.mark.slow
def test_a_benchmark_has_the_same_table_as_on_this_machine(scheduler, tmp_path, monkeypatch, capsys):
    write_planted(tmp_path / "data", videos=200, music=12, pgc=False)
    bad = {"bad": {"model": "CMVAE", "config": {"learning_rate": 1e30}}}
    given = {"models": ["CMVAE", bad, "Pop"], "datasets": [{"p": {"dataset": "planted", "data_path": "data"}}]}
    Path("s.yaml").write_text(yaml.safe_dump({**given, "seeds": [1], "config": FAST}))
    command = ["benchmark", "s.yaml"]
    assert main([*command, "--out=far", f"--scheduler={scheduler}"]) == 1
    assert "failed: bad on p, seed 1: training loss: expected a number, found nan" in capsys.readouterr().err
    left = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    assert left and not any("experiments.worker" in line for line in left)
    run_in_process(monkeypatch)
    assert main([*command, "--out=here"]) == 1
    far, here = (pd.read_csv(Path(out, "results.csv")) for out in ("far", "here"))
    same = [name for name in here if not name.startswith(("seconds", "peak"))]
    assert far[same].equals(here[same]) and len(far) == 3
    assert "Pop" in Path("far/table.md").read_text()
    assert Path("far/table.md").read_text() == Path("here/table.md").read_text()
    assert (far["peak_memory_mb"].dropna() > 100).all()  # of a process that imported torch


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_or_has_other_code(scheduler, tmp_path):
    job = {"call": "builtins:print", "kwargs": {}}
    with Cluster(scheduler) as cluster:
        lost = cluster.submit(remote.perform, "run", "code", "/nowhere/at/all", job).result(60)
        assert "expected a folder that" in lost and "Give an --out that all workers share" in lost
        other = cluster.submit(remote.perform, "run", "code", str(tmp_path), job).result(60)
        assert "expected the code of the benchmark (code), found other code" in other


def test_workers_on_this_machine_are_processes_with_a_thread_each():
    pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[cluster]'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a port that another cluster has
        with workers_here(2) as address, workers_here(1), Cluster(address) as cluster:
            assert cluster.slots() == 2
            assert cluster.submit(os.getpid).result(60) != os.getpid()


def test_without_a_scheduler_or_the_package(monkeypatch):
    pytest.importorskip("distributed", reason="distributed is not installed: pip install -e '.[cluster]'")
    monkeypatch.setattr("recbole_decm.parallel.cluster._SECONDS", 1)
    with pytest.raises(ConfigError, match=r"tcp://127\.0\.0\.1:9: expected a Dask scheduler there"):
        Cluster("tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'recbole-decm\[cluster\]'"):
        Cluster("tcp://127.0.0.1:9")
