"""RecBole's options for several processes: what they mean, and what is refused before any process starts."""

from __future__ import annotations

import pytest
from helpers.running import make_config, run_quick

from recbole_decm.errors import ConfigError
from recbole_decm.parallel.processes import Processes, launched, started_by_launcher
from recbole_decm.training.processes import check, check_batches


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Processes(1, 1, 0, "localhost", 0)),
        ({"nproc": 2}, Processes(2, 2, 0, "localhost", 0)),
        ({"nproc": 2, "port": 1234}, Processes(2, 2, 0, "localhost", 1234)),
        (
            {"nproc": 2, "world_size": 6, "group_offset": 4, "ip": "10.0.0.1"},
            Processes(2, 6, 4, "10.0.0.1", 5678),
        ),
        ({"nproc": 1, "world_size": 2, "offset": 1}, Processes(1, 2, 1, "localhost", 5678)),
    ],
)
def test_options(values, expected):
    assert Processes.from_values(values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nproc": 0}, "nproc: expected an integer of at least 1, found 0"),
        ({"nproc": "two"}, "nproc: expected an integer"),
        ({"nproc": True}, "nproc: expected an integer"),
        ({"world_size": 0}, "world_size: expected"),
        ({"nproc": 4, "world_size": 2}, r"world_size: expected -1 or at least nproc \(4\), found 2"),
        ({"nproc": 2, "world_size": 4, "group_offset": 3}, r"group_offset: expected at most .*4 - 2\), found 3"),
        ({"nproc": 2, "group_offset": -1}, "group_offset: expected an integer of at least 0"),
        ({"nproc": 2, "port": 70000}, "port: expected at most 65535, found 70000"),
    ],
)
def test_inconsistent_options(values, message):
    with pytest.raises(ConfigError, match=message):
        Processes.from_values(values)


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("CMVAE", {"nproc": 3}, "a multiple of the 3 processes, .* found 64. Choose 63 or 66"),
        ("CMVAE", {"nproc": 2, "train_batch_size": 1}, "a multiple of the 2 processes, .* found 1. Choose 2"),
        ("CMVAE", {"nproc": 2, "num_negatives": 64}, r"at least num_negatives \+ 1 = 65, found 64"),
        ("BPR", {"nproc": 2}, "several processes train DecCM, .* found model BPR"),
        ("Ridge", {"nproc": 2}, "several processes train DecCM, .* found model Ridge"),
        ("CMVAE", {"nproc": 2, "port": -5}, "port: expected an integer of at least 0"),
    ],
)
def test_runs_that_cannot_be_split(planted, model, values, message, monkeypatch):
    monkeypatch.setattr("recbole_decm.parallel.launch.mp.start_processes", None)  # none may be started
    with pytest.raises(ConfigError, match=message):
        run_quick(model, planted, **values)


def test_softmax_needs_no_number_of_negatives(planted):
    values = {"nproc": 2, "num_negatives": 64, "matching": "softmax"}
    config = make_config("CMVAE", planted, **values)
    check(config.processes, config)


def test_more_processes_than_batches():
    check_batches(0, 1)
    check_batches(2, 2)
    with pytest.raises(ConfigError, match=r"as many processes as batches of an epoch \(2\), found 3"):
        check_batches(2, 3)


def test_only_a_launcher_sets_the_local_rank(planted):
    with pytest.raises(ConfigError, match="local_rank: it is set by the launcher"):
        make_config("CMVAE", planted, local_rank=0)


def torchrun(monkeypatch, **changes):
    names = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in (names | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"} | changes).items():
        monkeypatch.setenv(name, value)


def test_torchrun(monkeypatch):
    assert not started_by_launcher()
    torchrun(monkeypatch)
    assert started_by_launcher()
    assert launched({"nproc": 2, "world_size": -1}) == (Processes(2, 4, 2, "10.0.0.1", 29500), 1)
    with pytest.raises(ConfigError, match="nproc: expected 2, as torchrun has it, found 4"):
        launched({"nproc": 4})
    torchrun(monkeypatch, WORLD_SIZE="four")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE, .* expected integers in the environment"):
        launched({})
    torchrun(monkeypatch)
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(ConfigError, match="found no LOCAL_RANK"):
        launched({})
