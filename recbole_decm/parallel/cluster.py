"""A Dask cluster that someone else started, as a place for jobs; ``distributed`` is imported when one is opened."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from recbole_decm.errors import ConfigError, DistributedError

LOSSES = 1
"""A job whose worker is lost is done again on another one, this many times."""
_SECONDS = 30


class Cluster:
    """The workers of a Dask scheduler. A context manager that takes back its jobs and leaves the cluster running.

    Args:
        address: of the scheduler, ``tcp://HOST:PORT``.

    Raises:
        ConfigError: ``distributed`` is not installed, or there is no scheduler at the address, or it has no worker.
    """

    def __init__(self, address: str):
        distributed = _distributed(address)
        try:
            self._client = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{address}: expected a Dask scheduler there, tcp://HOST:PORT ({error}).") from error
        try:
            self._client.wait_for_workers(1, timeout=_SECONDS)
        except TimeoutError as error:
            self._client.close()
            raise ConfigError(f"{address}: expected at least one worker, found none. Start dask worker.") from error
        self._at_work: dict[Future, Any] = {}
        self._allowed = self._client.run_on_scheduler(_allow_losses, LOSSES)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._client.run_on_scheduler(_allow_losses, self._allowed)
        self._client.close()

    def slots(self) -> int:
        """Jobs that can run at a time: one for each thread of each worker; at least one, which waits for a worker."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, function: Callable[..., Any], *args: Any) -> Future:
        """Call a function of a module that the workers can import; the future has its result, or the error.

        A job that loses its worker :data:`LOSSES` times more than it may has a :class:`DistributedError`.
        """
        done: Future = Future()
        remote = self._client.submit(function, *args, pure=False)
        self._at_work[done] = remote  # a job whose future nobody holds is dropped

        def ended(_: object) -> None:
            if self._at_work.pop(done, None) is None:
                return
            if remote.status == "finished":
                done.set_result(remote.result())
            elif remote.status == "error":
                done.set_exception(_in_our_words(remote.exception()))
            else:
                done.set_exception(DistributedError(f"The scheduler dropped the job ({remote.status})."))

        remote.add_done_callback(ended)
        return done

    def cancel(self) -> None:
        """Take back the jobs that have not ended; what a worker does at this moment it does to its end."""
        remotes = list(self._at_work.values())
        self._at_work.clear()
        self._client.cancel(remotes, force=True)

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function once on each worker."""
        self._client.run(function, *args, on_error="ignore")


@contextmanager
def workers_here(count: int) -> Iterator[str]:
    """A cluster of processes on this machine with a thread each, which ends with the context; the address of its
    scheduler.

    Raises:
        ConfigError: ``distributed`` is not installed.
    """
    distributed = _distributed(f"{count} workers")
    pages = {"dashboard_address": "localhost:0", "scheduler_kwargs": {"dashboard": False}}  # none, at any free port
    cluster = distributed.LocalCluster(
        n_workers=count, threads_per_worker=1, memory_limit=0, silence_logs=logging.CRITICAL, **pages
    )
    with cluster:
        yield cluster.scheduler_address


def is_installed() -> bool:
    """Whether ``distributed`` is there; it is not imported."""
    return importlib.util.find_spec("distributed") is not None


def _distributed(what: str) -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            f"{what}: a Dask cluster needs the package distributed, which is not installed. "
            "Install it: pip install 'recbole-decm[cluster]'"
        ) from error


def _allow_losses(losses: int, dask_scheduler: Any = None) -> int:
    """Set, on the scheduler, how often a job may lose its worker and be done again; returns what it was."""
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, losses
    return before


def _in_our_words(error: BaseException) -> BaseException:
    from distributed import KilledWorker

    lost = f"The job was tried {LOSSES + 1} times, and its worker was lost each time."
    return DistributedError(f"{lost} Its memory may have run out.") if isinstance(error, KilledWorker) else error
