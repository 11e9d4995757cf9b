"""Jobs in processes that stay alive between them, a few at a time, the machine's threads divided among them.

A job is ``{"call": "module:function", "kwargs": {...}}`` in plain JSON values, done by a process of :mod:`.worker`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from recbole_decm.io.shipped import PACKAGE
from recbole_decm.parallel.processes import cores

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """A job, and what becomes of it.

    Attributes:
        name: shown while it runs.
        folder: absolute; created anew. The job may write there; its output goes into ``log.txt``.
        job: what to do.
        finish: called at the end with the error, or None.
    """

    name: str
    folder: Path
    job: dict[str, Any]
    finish: Callable[[str | None], None]


class Engine(Protocol):
    """Where jobs run."""

    def __enter__(self) -> Engine:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End all that is at work."""

    def slots(self) -> int:
        """Jobs that can run at a time."""

    def submit(self, task: Task) -> Future:
        """Start a job; its result is the error, or None."""

    def stop(self) -> None:
        """End the jobs at work."""


def run_tasks(
    next_task: Callable[[], Task | None], engine: Engine, tick: Callable[[list[str]], None] = lambda running: None
) -> None:
    """Run tasks, as many at a time as the engine has slots, until there are no more.

    Args:
        next_task: the next task that can start now, or None; asked again whenever one has ended.
        tick: told the names of the running tasks several times a second.
    """
    running: dict[Future, Task] = {}
    try:
        while True:
            while len(running) < engine.slots() and (task := next_task()) is not None:
                running[engine.submit(task)] = task
            if not running:
                return
            tick([task.name for task in running.values()])
            ended = wait(running, _TICK_SECONDS, FIRST_COMPLETED).done
            for future in [one for one in running if one in ended]:  # in the order in which they began
                lost = future.exception()
                running.pop(future).finish(future.result() if lost is None else f"{type(lost).__name__}: {lost}")
    finally:
        if running:
            engine.stop()


class Workers:
    """Worker processes of this machine; a context manager that ends them.

    Args:
        jobs: how many at a time.
    """

    def __init__(self, jobs: int = 1):
        self.jobs, self.threads = jobs, threads_each(jobs)
        self._pool = ThreadPoolExecutor(jobs)  # a thread waits for each process at work
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.stop()
        self._pool.shutdown()
        for process in [*self._idle, *self._busy]:
            process.end()

    def slots(self) -> int:
        """Jobs that can run at a time."""
        return self.jobs

    def submit(self, task: Task) -> Future:
        """Start a job; its result is the error, or None."""
        return self._pool.submit(self.perform, task.folder, task.job)

    def stop(self) -> None:
        """End the jobs at work, and their processes."""
        for process in list(self._busy):
            process.end()

    def perform(self, folder: Path, job: dict[str, Any]) -> str | None:
        """Do a job in a worker process and return the error, or None; a process that dies loses this job alone."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "scratch").mkdir(parents=True)
        process = self._idle.pop() if self._idle else None
        if process is None or not process.alive():
            process = _Process(self.threads, folder / "log.txt")
        self._busy.add(process)
        error, again = process.perform(folder, job)
        self._busy.discard(process)
        if again:
            self._idle.append(process)
        else:
            process.end()
        return error


class _Process:
    """A worker process, which does one job after the other; what it says before the first goes into a log file."""

    def __init__(self, threads: int, log: Path):
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {**dict.fromkeys(_THREADS, str(threads)), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "recbole_decm.experiments.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, **own},
                start_new_session=True,  # an interrupt from the keyboard is for us; we end the processes
            )

    def alive(self) -> bool:
        return self.process.poll() is None

    def perform(self, folder: Path, job: dict[str, Any]) -> tuple[str | None, bool]:
        """The error of a job, or None; and whether the process is good for another one."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"folder": str(folder), **job}).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if answer:
            found = json.loads(answer)
            return found["error"], found["again"]
        return self._last_words(folder / "log.txt"), False

    def _last_words(self, log: Path) -> str:
        code = self.process.wait()
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            reason = " The system may have run out of memory." if name == "SIGKILL" else ""
            return f"The process was ended by {name}.{reason}"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        return f"The process ended with {code}: {lines[-1] if lines else 'it printed nothing'}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def threads_each(jobs: int) -> int:
    """Threads of each of ``jobs`` processes: a fair share of the cores this process may use, or fewer if told so."""
    share = max(1, cores() // jobs)
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(told)) if told.isdigit() and int(told) else share
