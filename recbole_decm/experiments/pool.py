"""Jobs in processes of their own, a few at a time, the machine's threads divided among them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_decm.io.shipped import PACKAGE

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_POLL_SECONDS = 0.05


@dataclass
class Task:
    """A job for a worker process.

    Attributes:
        name: shown while it runs.
        folder: the process writes here, its output into ``log.txt``; created anew.
        job: what the worker is to do.
        finish: called at the end with (pid, the error or None).
    """

    name: str
    folder: Path
    job: dict[str, Any]
    finish: Callable[[int, str | None], None]
    process: subprocess.Popen | None = field(default=None, repr=False)

    def start(self, threads: int) -> None:
        """Start the process, in a scratch folder, since RecBole writes its logs where it runs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        scratch = self.folder / "scratch"
        scratch.mkdir(parents=True)
        path = self.folder / "job.json"
        path.write_text(json.dumps(self.job), encoding="utf-8")
        with (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recbole_decm.experiments.worker", str(path.resolve())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=_environment(threads),
                start_new_session=True,  # an interrupt from the keyboard is for us; we end the processes
            )

    def outcome(self) -> str | None:
        """The error of an ended process, None where it did its work."""
        assert self.process is not None
        code = self.process.returncode
        if code == 0:
            return None
        note = self.folder / "error.txt"
        if note.is_file():
            return note.read_text(encoding="utf-8")
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            reason = " The system may have run out of memory." if name == "SIGKILL" else ""
            return f"The process was ended by {name}.{reason}"
        lines = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"The process ended with {code}: {lines[-1] if lines else 'it printed nothing'}"

    def stop(self) -> None:
        """End a process that is still at work."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def threads_each(jobs: int) -> int:
    """Threads of each of ``jobs`` processes: a fair share of the cores this process may use, or fewer if told so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // jobs)
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(told)) if told.isdigit() and int(told) else share


def _environment(threads: int) -> dict[str, str]:
    source = str(PACKAGE.parent)
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **dict.fromkeys(_THREADS, str(threads)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }


def run_tasks(
    next_task: Callable[[], Task | None], jobs: int, tick: Callable[[list[Task]], None] = lambda running: None
) -> None:
    """Run tasks, ``jobs`` at a time, until there are no more.

    Args:
        next_task: the next task that can start now, or None; asked again whenever one has ended.
        tick: told the running tasks several times a second.
    """
    running: list[Task] = []
    threads = threads_each(jobs)
    try:
        while True:
            while len(running) < jobs and (task := next_task()) is not None:
                task.start(threads)
                running.append(task)
            if not running:
                return
            tick(running)
            time.sleep(_POLL_SECONDS)
            for task in [task for task in running if task.process is not None and task.process.poll() is not None]:
                running.remove(task)
                assert task.process is not None
                if task.process.stdin:
                    task.process.stdin.close()
                task.finish(task.process.pid, task.outcome())
    finally:
        for task in running:
            task.stop()
