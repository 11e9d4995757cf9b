"""The worker processes of a benchmark beside the workers of a Dask cluster: the same processes, on more machines.

A worker of the cluster starts them itself, so that a cell that crashes costs the cluster nothing, and each cell finds
what it finds on one machine: a process of its own, or one that was put back. The folder of results and the data sets
lie where all machines see them under the same path.
"""

from __future__ import annotations

import uuid
from concurrent.futures import Future

from recbole_decm.experiments import remote
from recbole_decm.experiments.hashes import code_hash
from recbole_decm.experiments.jobs import Task
from recbole_decm.parallel.cluster import Cluster


class ClusterWorkers:
    """Where cells run: an :class:`~recbole_decm.experiments.jobs.Engine` over the workers of a scheduler.

    Args:
        address: ``tcp://HOST:PORT``; connected to when the context is entered.
    """

    def __init__(self, address: str):
        self._address, self._run = address, uuid.uuid4().hex

    def __enter__(self) -> ClusterWorkers:
        """Connect.

        Raises:
            ConfigError: no scheduler there, no worker, or no ``distributed``.
        """
        self._cluster = Cluster(self._address)
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()
        self._cluster.__exit__(*problem)

    def slots(self) -> int:
        """Jobs that can run at a time."""
        return self._cluster.slots()

    def submit(self, task: Task) -> Future:
        """Start a job; its result is the error, or None."""
        task.folder.mkdir(parents=True, exist_ok=True)
        return self._cluster.submit(remote.perform, self._run, code_hash(), str(task.folder), task.job)

    def stop(self) -> None:
        """End the jobs at work, and the processes that did them."""
        self._cluster.cancel()
        self._cluster.run(remote.end, self._run)
