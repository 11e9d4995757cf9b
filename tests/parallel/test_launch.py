"""Starting, waiting, and what is said when a process is lost."""

from __future__ import annotations

import multiprocessing
import socket
from datetime import timedelta

import pytest
import torch.distributed as dist
from helpers import two_processes

from recbole_decm.errors import ConfigError, DistributedError
from recbole_decm.parallel.group import host_store, joined, reach_store
from recbole_decm.parallel.launch import in_processes
from recbole_decm.parallel.processes import Processes

SHORTLY = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", "rank 1 of 2 was ended by SIGKILL. The other processes were ended"),
        ("raises", "rank 1 of 2 failed with ZeroDivisionError: of no batch"),
        ("exits", "rank 1 of 2 failed with exit code 7"),
    ],
)
def test_one_failure_ends_all_and_is_named(how, message):
    with pytest.raises(DistributedError, match=message):
        in_processes(two_processes.one_dies, (how,), Processes(2, 2))
    assert not multiprocessing.active_children()  # the other one would wait for a batch until the limit of the group


def test_others_wait_for_what_the_first_does_alone():
    found = in_processes(two_processes.first_takes_its_time, (), Processes(2, 2))
    assert found == [({"rank": 0}, 10)] * 2


def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"expected a free port, but {port} is in use. Give another as --port=N"):
            in_processes(two_processes.one_dies, ("",), Processes(2, 2, port=port))


def test_nobody_at_the_address():
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    with pytest.raises(DistributedError, match=f"rank 0 at localhost:{port} within 1 s, found none"):
        reach_store(Processes(1, 2, 1, "localhost", port), SHORTLY)


def test_others_do_not_come():
    processes = Processes(1, 2)
    with (
        pytest.raises(DistributedError, match="expected 2 processes within 1 s, found 1"),
        joined(processes, 0, host_store(processes), cuda=False, patience=SHORTLY),
    ):
        pass


def test_machines_that_disagree():
    store = host_store(Processes(1, 2))
    dist.PrefixStore("recbole-decm", store).set("world_size", "3")
    with (
        pytest.raises(ConfigError, match="world_size: expected 3, as the first process has it, found 2"),
        joined(Processes(1, 2), 0, store, cuda=False),
    ):
        pass
    store = host_store(Processes(1, 2))
    dist.PrefixStore("recbole-decm", store).add("rank 0", 1)
    with pytest.raises(ConfigError, match="rank 0 is there twice"), joined(Processes(1, 2), 0, store, cuda=False):
        pass
