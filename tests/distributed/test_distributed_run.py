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

from recbole_decm.checkpoint import read_checkpoint
from recbole_decm.quick_start import evaluate, run

PROJECT = Path(__file__).resolve().parent.parent.parent
ARGUMENTS = ["--dataset=planted", "--train_batch_size=64", "--num_negatives=40", "--show_progress=False"]
ARGUMENTS += ["--eval_batch_size=1200", "--metrics=['Recall','NDCG','IPWNDCG','GenreKL','ItemCoverage']"]  # 30 videos
TEACHER = "--teacher_config={'epochs': 1, 'train_batch_size': 64}"


def command(*arguments: str, launcher: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *launcher, str(PROJECT / "run_recbole.py"), *ARGUMENTS, *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}


def start(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(*arguments, launcher=launcher), env=environment(), **pipes)


def checkpoints() -> list[Path]:
    return list(Path("saved").glob("*.pth"))


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
    assert len(list(Path("saved/teachers").iterdir())) == 1

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

    values = {"data_path": str(planted), "epochs": 2, "state": "ERROR", "nproc": 2}
    ours = run("CMVAE", "planted", config_dict=values, arguments=[*ARGUMENTS[1:]])
    assert ours["test_result"] == result["test"]


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
    values = {"data_path": str(planted), "epochs": done + 1, "state": "ERROR", "checkpoint": str(checkpoint)}
    run("CMVAE", "planted", config_dict=values | {"nproc": 2}, arguments=ARGUMENTS[1:])
    assert read_checkpoint(checkpoint)["training"]["epoch"] == done


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(planted):
    values = {"data_path": str(planted), "state": "ERROR", "nproc": 2, "model": "DecCMPlus", "stopping_step": 9}
    values |= {"dropout_prob": 0.3, "sampling_noise": 1.0, "match_on": "sample", "learning_rate_decay": False}

    def weights(folder, epochs, **more):
        given = values | {"checkpoint_dir": folder, "epochs": epochs, "teacher": "none"} | more
        run("DecCMPlus", "planted", config_dict=given, arguments=ARGUMENTS[1:])
        (path,) = Path(folder).glob("*.pth")
        return path, read_checkpoint(path)["training"]

    _, whole = weights("whole", 3)
    path, _ = weights("cut", 1)
    _, resumed = weights("cut", 3, checkpoint=str(path))
    assert all(torch.equal(whole["state_dict"][name], value) for name, value in resumed["state_dict"].items())


def test_more_processes_than_batches_is_said_once(planted):
    process = start(f"--data_path={planted}", "--model=CMVAE", "--train_batch_size=420", "--nproc=2")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "at most as many processes as batches of an epoch (1), found 2" in errors[0]
    assert "Traceback" not in output and not checkpoints()
