"""Starting processes on this machine, and ending all of them when one fails."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import connection
from typing import Any

import torch
import torch.multiprocessing as mp

from recbole_decm import errors
from recbole_decm.distributed.group import host_store, joined, reach_store
from recbole_decm.distributed.processes import Processes
from recbole_decm.errors import DecCMError, DistributedError

_GRACE = 3.0  # seconds the other processes have to say why they fail, too, and then to end


def in_processes(work: Callable[..., Any], arguments: tuple, processes: Processes, cuda: bool = False) -> Any:
    """Call ``work(local_rank, *arguments)`` in new processes that form a group.

    Args:
        work: a function of a module, so that a new process can import it.
        cuda: whether each process has a GPU of its own, that of its local rank.

    Returns:
        What the first process on this machine returns.

    Raises:
        DecCMError: the first failure: an error of this family as the process raised it; DistributedError for a
            process that was killed or failed otherwise. The others are ended first.
    """
    store = host_store(processes)
    if store is not None:
        processes = replace(processes, port=store.port)
    queue = mp.get_context("spawn").SimpleQueue()
    started = mp.start_processes(
        _enter, (queue, processes, cuda, work, arguments), processes.here, join=False, start_method="spawn"
    ).processes
    try:
        exit_codes = _wait(started)
    finally:
        _end(started)
    reports = []
    while not queue.empty():
        reports.append(queue.get())
    if any(exit_codes.values()):
        _raise_cause(processes, exit_codes, [report for report in reports if report[0] == "error"])
    return next(report[1] for report in reports if report[0] == "result")


def _enter(local_rank: int, queue, processes: Processes, cuda: bool, work, arguments: tuple) -> None:
    """What a new process does: join the group, work, report."""
    rank = processes.first + local_rank
    if "OMP_NUM_THREADS" not in os.environ:  # otherwise each process takes all cores
        torch.set_num_threads(max(1, _cores() // processes.here))
    try:
        with joined(processes, local_rank, reach_store(processes), cuda):
            result = work(local_rank, *arguments)
        if local_rank == 0:
            queue.put(("result", result))
    except DecCMError as error:
        queue.put(("error", rank, type(error).__name__, str(error)[:4000]))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        queue.put(("error", rank, "", f"{type(error).__name__}: {error}"[:4000]))
        sys.exit(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wait(started: Sequence) -> dict[int, int]:
    """Exit codes by local rank, of all processes or, once one has failed, of those that end within the grace."""
    while all(process.exitcode in (None, 0) for process in started):
        running = [process.sentinel for process in started if process.exitcode is None]
        if not running:
            break
        connection.wait(running)
    if any(process.exitcode for process in started):
        deadline = time.monotonic() + _GRACE
        for process in started:
            process.join(max(0.0, deadline - time.monotonic()))
    return {index: process.exitcode for index, process in enumerate(started) if process.exitcode is not None}


def _end(started: Sequence) -> None:
    for stop in ("terminate", "kill"):
        running = [process for process in started if process.is_alive()]
        for process in running:
            getattr(process, stop)()
        deadline = time.monotonic() + _GRACE
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))


def _raise_cause(processes: Processes, exit_codes: dict[int, int], reports: list[tuple]) -> None:
    """Raise what came first: a process's own error, or its death; that others lost contact is what follows."""
    others = "The other processes were ended. " if processes.total > 1 else ""
    resume = "The last finished epoch is in the checkpoint; --checkpoint=FILE continues from it."
    if 130 in exit_codes.values():
        raise KeyboardInterrupt
    reports = sorted(reports, key=lambda report: (report[2] == DistributedError.__name__, report[1]))
    for _, rank, kind, message in reports:
        if kind and kind != DistributedError.__name__:
            raise getattr(errors, kind)(message)
        if not kind:
            raise DistributedError(f"rank {rank} of {processes.total} failed with {message}. {others}{resume}")
    for index, code in exit_codes.items():
        rank = processes.first + index
        if code < 0:
            name = signal.Signals(-code).name
            raise DistributedError(f"rank {rank} of {processes.total} was ended by {name}. {others}{resume}")
        if code and not any(report[1] == rank for report in reports):
            raise DistributedError(f"rank {rank} of {processes.total} ended with exit code {code}. {others}{resume}")
    raise DistributedError(reports[0][3])
