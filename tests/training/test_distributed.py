"""Whole runs in two processes, started as users start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import two_processes

from recbole_decm.parallel.launch import in_processes
from recbole_decm.parallel.processes import Processes
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run

PROJECT = Path(__file__).resolve().parent.parent.parent
ARGUMENTS = ["--dataset=planted", "--num_negatives=40", "--show_progress=False"]
ARGUMENTS += ["--eval_batch_size=1200", "--metrics=['Recall','NDCG','IPWNDCG','GenreKL','ItemCoverage']"]  # 30 videos
TEACHER = "--teacher_config={'epochs': 1, 'train_batch_size': 64}"


def command(*arguments: str, launcher: tuple[str, ...] = (), batch: int = 64) -> list[str]:
    return [
        sys.executable,
        *launcher,
        str(PROJECT / "run_recbole.py"),
        *ARGUMENTS,
        f"--train_batch_size={batch}",
        *arguments,
    ]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}


def start(*arguments: str, **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(*arguments, **options), env=environment(), **pipes)


def checkpoints() -> list[Path]:
    """Those that are written; a run takes its name before its first epoch ends."""
    return [path for path in Path("saved").glob("*.pth") if path.stat().st_size]


@pytest.mark.slow
def test_a_run_writes_its_files_once_and_its_metrics_are_those_of_one_process(planted):
    arguments = [f"--data_path={planted}", "--model=DecCM", "--epochs=3", TEACHER, "--result_file=result.json"]
    process = start(*arguments, "--nproc=2")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    result = json.loads(Path("result.json").read_text())
    (checkpoint,) = checkpoints()
    assert result["checkpoint"] == f"saved/{checkpoint.name}"
    assert output.count("test result") == 1 and output.count("epoch 2 training") == 1
    assert "Warning" not in output
    assert len(list(Path("log/DecCM").iterdir())) == 1
    names = [path.name.split("-")[0] for path in Path("log_tensorboard").iterdir()]
    assert sorted(names) in (["DecCM"], ["DecCM", "DecCM"])  # the teacher's, which may share the folder
    assert len(list(Path("saved/teachers").glob("*.pth"))) == 1

    again = evaluate(checkpoint, ["--eval_batch_size=1200", "--state=ERROR"])
    assert again["valid"] == result["valid"] and again["test"] == result["test"]
    assert result["test"]["recall@10"] > 0.5  # of 40 music, chance is 0.25


@pytest.mark.slow
def test_torchrun(planted):
    arguments = [f"--data_path={planted}", "--model=CMVAE", "--epochs=2", "--result_file=torchrun.json"]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    process = start(*arguments, launcher=launcher)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert len(checkpoints()) == 1 and output.count("test result") == 1
    result = json.loads(Path("torchrun.json").read_text())

    again = evaluate(*checkpoints(), ["--eval_batch_size=1200", "--state=ERROR"])
    assert again["valid"] == result["valid"] and again["test"] == result["test"]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_the_checkpoint_resumes(planted):
    arguments = [f"--data_path={planted}", "--model=CMVAE", "--stopping_step=10000", "--state=ERROR"]
    process = start(*arguments, "--epochs=10000", "--nproc=2")
    deadline = time.monotonic() + 90
    while not checkpoints():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    victims = [pid for pid in children(process.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(victims[-1], signal.SIGKILL)
    killed = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert process.returncode == 2
    assert "error: rank 1 of 2 was ended by SIGKILL. The other processes were ended." in output
    assert "Traceback" not in output and not children(process.pid)

    (checkpoint,) = checkpoints()
    done = read_checkpoint(checkpoint)["training"]["epoch"] + 1
    values = {
        "data_path": str(planted),
        "epochs": done + 1,
        "train_batch_size": 64,
        "state": "ERROR",
        "checkpoint": str(checkpoint),
    }
    run("CMVAE", "planted", config_dict=values, arguments=ARGUMENTS[1:])
    assert read_checkpoint(checkpoint)["training"]["epoch"] == done


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(planted):
    whole, resumed = in_processes(two_processes.whole_and_resumed, (str(planted),), Processes(2, 2))
    assert whole == resumed
    for name, value in read_checkpoint(*Path("whole").glob("*.pth"))["training"]["state_dict"].items():
        assert torch.equal(value, read_checkpoint(*Path("cut").glob("*.pth"))["training"]["state_dict"][name]), name


def test_more_processes_than_batches_is_said_once(planted):
    process = start(f"--data_path={planted}", "--model=CMVAE", "--nproc=2", batch=420)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "at most as many processes as batches of an epoch (1), found 2" in errors[0]
    assert "Traceback" not in output and not checkpoints()
