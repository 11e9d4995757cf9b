"""Run the tasks of a benchmark in the test's own process: the same jobs and folders, without seconds of imports."""

from __future__ import annotations

import json
import os
import shutil

from recbole_decm.experiments.pool import Task
from recbole_decm.experiments.worker import run_job


class _Ended:
    stdin = None

    def __init__(self, code: int):
        self.returncode, self.pid = code, os.getpid()

    def poll(self) -> int:
        return self.returncode


def run_in_process(monkeypatch) -> list[str]:
    """Let tasks run here; returns the list that will hold the names of those that did."""
    started: list[str] = []

    def start(task: Task, threads: int) -> None:
        started.append(task.name)
        shutil.rmtree(task.folder, ignore_errors=True)
        task.folder.mkdir(parents=True)
        (task.folder / "log.txt").touch()
        path = task.folder / "job.json"
        path.write_text(json.dumps(task.job))
        task.process = _Ended(run_job(path))

    monkeypatch.setattr(Task, "start", start)
    return started
