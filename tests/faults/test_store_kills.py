"""The short form of kills under a changing catalogue."""

from __future__ import annotations

import random
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("forks", allow_module_level=True)

from faults.store_kills import Counts, batch, check, kill_postgres, kill_writers, state
from helpers.linear_artefact import artefact, opened, tracks

from recbole_decm.serving.store import Live, open_store


def test_a_killed_writer_loses_nothing_in_sqlite(tmp_path):
    found = kill_writers(f"sqlite:///{tmp_path}/tracks.db", tmp_path / "a", 4, random.Random(1))
    assert (found.lost, found.torn) == (0, 0) and found.acknowledged > 1


def test_a_killed_writer_loses_nothing_in_postgres(tmp_path, postgres):
    found = kill_writers(postgres.new_schema("writers"), tmp_path / "a", 2, random.Random(1))
    assert (found.lost, found.torn) == (0, 0) and found.acknowledged > 1


def test_postgres_may_go_and_come_back(postgres):
    found = kill_postgres(postgres, postgres.new_schema("server"), 2, random.Random(1))
    assert (found.lost, found.torn, found.unavailable) == (0, 0, 4)


def test_the_check_finds_what_is_lost_and_what_is_torn(tmp_path):
    url = f"sqlite:///{tmp_path}/tracks.db"
    store = open_store(url)
    store.publish(artefact("one", count=20))
    live = Live(store, opened)
    for number in range(3):
        live.put(batch(number))
    counts = Counts()
    assert check(url, 2, counts) == 2 and check(url, 1, counts) == 2 and counts == Counts()
    check(url, 3, counts)
    assert (counts.lost, counts.torn) == (1, 0)
    track, number = next(entry for entry in state(2).items() if entry[1] is not None)
    live.put(tracks([track], metadata=[{"number": number}]))  # features of another change
    check(url, 2, counts)
    assert counts.torn == 1
    live.close()
