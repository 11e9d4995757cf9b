"""The short form of kills of a server in a process of its own, and of PostgreSQL below one."""

from __future__ import annotations

import random
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("kills processes", allow_module_level=True)

from faults.server_kills import kill_postgres_below, kill_server
from helpers.planted_artefact import planted_artefact


@pytest.fixture
def place(tmp_path):
    planted_artefact(tmp_path / "data", tmp_path / "artefact")
    return tmp_path


def test_a_killed_server_loses_nothing(place):
    found = kill_server(place, f"sqlite:///{place}/tracks.db", 3, random.Random(1))
    assert (found.kills, found.lost, found.torn) == (3, 0, 0) and found.acknowledged > 1


def test_postgres_may_go_and_come_back_below_a_server(place, postgres):
    found = kill_postgres_below(place, postgres, postgres.new_schema("below"), 2, random.Random(1))
    assert (found.kills, found.lost, found.torn) == (2, 0, 0) and found.unavailable >= 4
