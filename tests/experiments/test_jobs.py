"""Worker processes: what becomes of those that fail or are killed, and what they leave behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.running import QUICK

from recbole_decm.experiments.jobs import Task, Workers, run_tasks, threads_each

JOBS = "helpers.jobs"


def run(names, jobs=1, tick=lambda running: None):
    """Run functions of :mod:`helpers.jobs` by name; returns the error of each, or None, and the answers written."""
    ended: dict[str, str | None] = {}
    tasks = []
    for number, name in enumerate(names):
        place = Path(f"{number}-{name}").absolute()
        job = {"call": f"{JOBS}:{name}", "kwargs": {"folder": str(place)}}
        tasks.append(Task(name, place, job, lambda error, key=place.name: ended.update({key: error})))
    with Workers(jobs) as workers:
        run_tasks(lambda: tasks.pop(0) if tasks else None, workers, tick)
    answers = {key: Path(key, "answer.txt") for key in ended}
    return ended, {key: path.read_text() for key, path in answers.items() if path.is_file()}


@pytest.fixture(autouse=True)
def _helpers_are_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))


def test_a_worker_does_one_job_after_the_other_and_forgets_each():
    """What one job leaves in the process, the next one does not find."""
    ended, found = run(["look", "mess_up", "look"])
    assert set(ended.values()) == {None}
    first, messy, second = (found[key].splitlines() for key in ("0-look", "1-mess_up", "2-look"))
    assert first[0] == messy[0] == second[0]  # the same process: nothing was imported again
    assert first[1:] == second[1:] and first[1:] != messy[1:]


def test_one_that_fails_one_that_is_killed_and_one_that_leaves_a_thread_lose_their_own_job_alone():
    ended, found = run(["look", "fail", "kill", "leave_a_thread", "look"])
    assert ended["1-fail"] == "ValueError: on purpose" and "Traceback" in Path("1-fail/log.txt").read_text()
    assert ended["2-kill"] == "The process was ended by SIGKILL. The system may have run out of memory."
    assert ended["3-leave_a_thread"] is None and ended["4-look"] is None
    assert found["0-look"].splitlines()[4:] == found["4-look"].splitlines()[4:]
    assert "said" in Path("1-fail/log.txt").read_text()


def test_processes_are_ended_with_the_loop():
    def interrupt(running: list[str]) -> None:
        if Path("0-sleep", "answer.txt").is_file():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sleep"], tick=interrupt)
    pid = int(Path("0-sleep", "answer.txt").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_cell_is_the_same_in_a_used_worker_and_no_process_is_started_for_it(planted):
    """Four cells, of which the last is the first again; training anew in another process gives the same bits, too."""

    def cell(workers: Workers, model: str, place: str, **values) -> dict:
        folder = Path(place).absolute()
        values = {**QUICK, "epochs": 2, "topk": [1, 10], "data_path": str(planted), **values}
        values |= {"checkpoint_dir": str(folder / "checkpoints"), "teacher_dir": str(folder / "teachers")}
        kwargs = {"model": model, "dataset": "planted", "values": values, "note": {}, "folder": str(folder)}
        job = {"call": "recbole_decm.experiments.cell:run_cell", "kwargs": kwargs}
        assert workers.submit(Task(place, folder, job, print)).result() is None
        with np.load(folder / "videos.npz") as arrays:
            videos = {name: array.tobytes() for name, array in arrays.items()}
        return {
            **json.loads((folder / "cell.json").read_text()),
            "videos": videos,
            "curves": Path(folder, "curves.json"),
        }

    def look(workers: Workers, place: str) -> str:
        job = {"call": f"{JOBS}:look", "kwargs": {"folder": str(Path(place).absolute())}}
        assert workers.submit(Task(place, Path(place).absolute(), job, print)).result() is None
        return Path(place, "answer.txt").read_text().partition("\n")[0]

    taught = {"teacher_config": {"epochs": 1}}
    with Workers() as used, Workers() as fresh:
        process = look(used, "before")
        first = cell(used, "DecCMPlus", "first", **taught)
        cell(used, "BPR", "other", reproducibility=False, seed=7)
        cell(used, "CMVAE", "third", metrics=["NDCG", "GenreKL"], valid_metric="GenreKL@10", num_negatives=5)
        again = cell(used, "DecCMPlus", "again", **taught)
        assert look(used, "after") == process
        other = cell(fresh, "DecCMPlus", "fresh", **taught)
    for one in (again, other):
        assert (one["metrics"], one["videos"]) == (first["metrics"], first["videos"])
        assert one["curves"].read_bytes() == first["curves"].read_bytes()
    assert 0.5 * first["peak_memory_mb"] < again["peak_memory_mb"] < 1.3 * first["peak_memory_mb"]


@pytest.mark.parametrize(("jobs", "told", "threads"), [(1, "", 8), (3, "", 2), (16, "", 1), (2, "1", 1), (2, "9", 4)])
def test_threads_are_divided(jobs, told, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads_each(jobs) == threads
