"""Processes of a run: what becomes of those that fail or are killed, and how many threads they get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recbole_decm.experiments.pool import Task, run_tasks, threads_each


def test_a_process_that_is_killed_and_one_that_fails_are_told_apart():
    ended: dict[str, str | None] = {}

    def task(name: str, job: dict) -> Task:
        return Task(name, Path(name), job, lambda pid, error: ended.update({name: error}))

    tasks = [task("killed", {"kind": "cell"}), task("failing", {"kind": "cell"})]

    def kill(running: list[Task]) -> None:
        for one in running:
            if one.name == "killed" and one.process.poll() is None:
                os.kill(one.process.pid, 9)

    run_tasks(lambda: tasks.pop(0) if tasks else None, 2, kill)
    assert ended["killed"] == "The process was ended by SIGKILL. The system may have run out of memory."
    assert ended["failing"] == "KeyError: 'model'" and "Traceback" in Path("failing/log.txt").read_text()


def test_processes_are_ended_with_the_loop():
    task = Task("sleeping", Path("sleeping"), {"kind": "cell"}, lambda pid, error: None)

    def interrupt(running: list[Task]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks(iter([task]).__next__, 1, interrupt)
    assert task.process.returncode == -9


@pytest.mark.parametrize(("jobs", "told", "threads"), [(1, "", 8), (3, "", 2), (16, "", 1), (2, "1", 1), (2, "9", 4)])
def test_threads_are_divided(jobs, told, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads_each(jobs) == threads
