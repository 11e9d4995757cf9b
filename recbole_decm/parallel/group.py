"""The group of processes this one belongs to: joining it, and work that one process does for all."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from recbole_decm.errors import ConfigError, DistributedError
from recbole_decm.parallel.processes import Processes
from recbole_decm.parallel.share import Share

# How long processes wait for each other: to come up, and within a collective. The first process's death is noticed at
# once where a launcher watches it or its connections close; this is for a machine that vanishes.
PATIENCE = timedelta(minutes=5)
_FOREVER = timedelta(days=30)
WHAT_IS_KEPT = "Where an epoch was finished, it is in the checkpoint; --checkpoint=FILE continues from it."

Result = TypeVar("Result")


class _Group:
    """What is known of the group: its store, and how often :func:`first_alone` was called."""

    store: dist.Store | None = None
    calls = 0


def share() -> Share:
    """This process's share of every batch."""
    if _Group.store is None:
        raise ConfigError("local_rank: it is set by the launcher of several processes; give --nproc=N.")
    return Share(dist.get_rank(), dist.get_world_size())


def rank() -> int:
    """This process's rank; 0 where it is alone."""
    return dist.get_rank() if _Group.store is not None else 0


def host_store(processes: Processes) -> dist.TCPStore | None:
    """The store through which processes find each other, held by the launcher of rank 0; None on other machines.

    Raises:
        ConfigError: the port is in use or not allowed.
    """
    if processes.first:
        return None
    try:
        return dist.TCPStore("localhost", processes.port, None, True, timeout=PATIENCE, wait_for_workers=False)
    except (RuntimeError, OSError) as error:
        reason = "is in use" if "EADDRINUSE" in str(error) else f"cannot be used ({str(error).splitlines()[0]})"
        raise ConfigError(
            f"port: expected a free port, but {processes.port} {reason}. Give another as --port=N; without it, "
            "processes on one machine take any free one."
        ) from None


def reach_store(processes: Processes, patience: timedelta = PATIENCE) -> dist.Store:
    """A connection to the store of rank 0's machine.

    Raises:
        DistributedError: nothing answers there within ``patience``.
    """
    try:
        return dist.TCPStore(processes.ip, processes.port, None, False, timeout=patience)
    except (RuntimeError, OSError) as error:
        raise DistributedError(
            f"ip, port: expected the process of rank 0 at {processes.ip}:{processes.port} within "
            f"{patience.total_seconds():.0f} s, found none ({str(error).splitlines()[0]}). Start it with "
            "--group_offset=0 and the same ip and port."
        ) from None


def launcher_store() -> dist.Store:
    """The store that torchrun's variables name."""
    with losing_contact():
        return next(dist.rendezvous("env://", timeout=PATIENCE))[0]


@contextmanager
def joined(
    processes: Processes, local_rank: int, store: dist.Store, cuda: bool, patience: timedelta = PATIENCE
) -> Iterator[None]:
    """Be one of the processes, with NCCL for tensors on a GPU and gloo for the others.

    Raises:
        ConfigError: the machines were given other values of world_size, or the same ranks.
        DistributedError: not all processes came, or one was lost.
    """
    rank, total = processes.first + local_rank, processes.total
    store = dist.PrefixStore("recbole-decm", store)
    with losing_contact():
        agreed = int(store.compare_set("world_size", "", str(total)))
        taken = store.add(f"rank {rank}", 1) > 1
        store.add("present", 1)
    if agreed != total:
        raise ConfigError(f"world_size: expected {agreed}, as the first process has it, found {total}.")
    if taken:
        raise ConfigError(
            f"group_offset: rank {rank} is there twice. Give each machine the number of processes on those before it."
        )
    if cuda:
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=total, timeout=patience)
    except RuntimeError as error:
        raise DistributedError(
            f"world_size: expected {total} processes within {patience.total_seconds():.0f} s, found "
            f"{store.add('present', 0)} ({str(error).splitlines()[0]})."
        ) from None
    _Group.store, _Group.calls = store, 0
    try:
        with losing_contact():
            yield
        dist.destroy_process_group()
    finally:
        _Group.store = None


@contextmanager
def losing_contact() -> Iterator[None]:
    """Name what torch.distributed raises when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, dist.DistError) and not any(word in text for word in ("gloo", "Gloo", "Connection")):
            raise
        raise DistributedError(
            f"rank {rank()} lost contact with another process ({text.splitlines()[0][:200]}). {WHAT_IS_KEPT}"
        ) from error


def first_alone(share: Share, work: Callable[[], Result]) -> Result:
    """What ``work()`` returns on rank 0; the others wait for it, however long it takes, and have the same.

    They wait outside of any collective, whose time limit a long training would exceed.
    """
    if share.size == 1:
        return work()
    store = _Group.store
    assert store is not None
    _Group.calls += 1
    key = f"first {_Group.calls}"
    if share.rank == 0:
        result = work()
        store.set(key, pickle.dumps(result).hex())
        return result
    store.wait([key], _FOREVER)
    return pickle.loads(bytes.fromhex(store.get(key).decode()))
