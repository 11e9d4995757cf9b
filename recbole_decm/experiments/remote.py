"""What a worker of a Dask cluster does for a benchmark: the processes that it starts import torch and RecBole."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Lock
from typing import Any

from recbole_decm.experiments.jobs import Workers

_RUNS: dict[str, Workers] = {}
_LOCK = Lock()


def perform(run: str, code: str, folder: str, job: dict[str, Any]) -> str | None:
    """Do a job in a process of this machine and return the error, or None.

    Args:
        run: whose processes to use.
        code: the hash of the code that the job is for; another one is an error.
        folder: of the job.
    """
    from distributed import get_worker

    place = Path(folder)
    if not place.is_dir():
        host = socket.gethostname()
        return f"{place}: expected a folder that {host} sees too, found none. Give an --out that all workers share."
    with _LOCK:
        if run not in _RUNS:
            workers = Workers(get_worker().state.nthreads)
            check = {"call": "recbole_decm.experiments.hashes:require_code", "kwargs": {"code": code}}
            if error := workers.perform(place, check):
                workers.__exit__()
                return error
            _RUNS[run] = workers
    return _RUNS[run].perform(place, job)


def end(run: str) -> None:
    """End the processes of a run."""
    workers = _RUNS.pop(run, None)
    if workers is not None:
        workers.__exit__()
