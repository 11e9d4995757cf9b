"""Starting processes on this machine, and ending all of them when one fails."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import connection
from typing import Any, NoReturn

import torch
import torch.multiprocessing as mp

from recbole_decm import errors
from recbole_decm.errors import DecCMError, DistributedError
from recbole_decm.parallel.group import WHAT_IS_KEPT, host_store, joined, reach_store
from recbole_decm.parallel.processes import Processes, cores

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
    pipes = [mp.get_context("spawn").Pipe(duplex=False) for _ in range(processes.here)]
    started = mp.start_processes(
        _enter,
        ([sender for _, sender in pipes], processes, cuda, work, arguments),
        processes.here,
        join=False,
        start_method="spawn",
    ).processes
    reports: dict[int, tuple] = {}
    try:
        exit_codes = _wait(started, [receiver for receiver, _ in pipes], reports)
    except KeyboardInterrupt as stop:
        stop.args = (WHAT_IS_KEPT,)
        raise
    finally:
        _end(started)
    if any(exit_codes.values()):
        _raise_cause(processes, exit_codes, reports)
    return pickle.loads(reports[0][1])


def _enter(local_rank: int, senders: list, processes: Processes, cuda: bool, work: Any, arguments: tuple) -> None:
    """What a new process does: join the group, work, report."""
    report = senders[local_rank]
    if "OMP_NUM_THREADS" not in os.environ:  # otherwise each process takes all cores
        torch.set_num_threads(max(1, cores() // processes.here))
    try:
        with joined(processes, local_rank, reach_store(processes), cuda):
            result = work(local_rank, *arguments)
        if local_rank == 0:
            report.send(("result", pickle.dumps(result)))
        leave(0)
    except DecCMError as error:
        report.send(("error", type(error).__name__, str(error)[:4000]))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        report.send(("error", "", f"{type(error).__name__}: {error}"[:4000]))
        sys.exit(1)


def leave(status: int) -> NoReturn:
    """End this process at once, with its output written: threads of torch.distributed can abort an interpreter that
    cleans up around them ("terminate called without an active exception"), which would fail a run that is complete.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _wait(started: Sequence, receivers: Sequence, reports: dict[int, tuple]) -> dict[int, int]:
    """Wait for all processes or, once one has failed, as long as the grace; reports are taken in meanwhile.

    Returns:
        Exit codes by local rank of the processes that have ended.
    """
    deadline = float("inf")
    while True:
        ended = {index: process.exitcode for index, process in enumerate(started) if process.exitcode is not None}
        for index, receiver in enumerate(receivers):
            if index not in reports and receiver.poll():
                reports[index] = _received(receiver)
        if any(ended.values()):
            deadline = min(deadline, time.monotonic() + _GRACE)
        left = deadline - time.monotonic()
        if len(ended) == len(started) or left <= 0:
            return ended
        silent = [receiver for index, receiver in enumerate(receivers) if index not in reports and index not in ended]
        running = [process.sentinel for index, process in enumerate(started) if index not in ended]
        connection.wait([*running, *silent], None if left == float("inf") else left)


def _received(receiver: Any) -> tuple:
    try:
        return receiver.recv()
    except (EOFError, OSError, pickle.UnpicklingError):  # killed in the middle of it
        return ("nothing",)


def _end(started: Sequence) -> None:
    for stop in ("terminate", "kill"):
        running = [process for process in started if process.is_alive()]
        for process in running:
            getattr(process, stop)()
        deadline = time.monotonic() + _GRACE
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))


def _raise_cause(processes: Processes, exit_codes: dict[int, int], reports: dict[int, tuple]) -> None:
    """Raise what came first: a process's own error, or its death; that others lost contact is what follows."""
    if 130 in exit_codes.values():
        raise KeyboardInterrupt(WHAT_IS_KEPT)
    after = "The other processes were ended. " if processes.total > 1 else ""
    after += WHAT_IS_KEPT
    failures = {index: report[1:] for index, report in reports.items() if report[0] == "error"}
    lost_contact = DistributedError.__name__
    for kind, message in failures.values():
        if kind not in ("", lost_contact):
            raise getattr(errors, kind)(message)
    for index, code in exit_codes.items():
        kind, message = failures.get(index, ("", f"exit code {code}"))
        if code and kind != lost_contact:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with {message}"
            raise DistributedError(f"rank {processes.first + index} of {processes.total} {how}. {after}")
    raise DistributedError(next(message for _, message in failures.values()))
