"""Kills while a catalogue is being changed: what was acknowledged is there, whole, and nothing is half-written.

    python tests/faults/store_kills.py --kills 30

kills a writing process, over SQLite and over PostgreSQL, and PostgreSQL itself under a writer that goes on.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from faults.harness import fork
from helpers.linear_artefact import LinearTracks, artefact, opened
from helpers.postgres import Postgres

from recbole_decm.errors import StoreUnavailable
from recbole_decm.serving.store import Live, open_store
from recbole_decm.serving.store.contract import Track

TRACKS = 40
IDS = [f"k{at}" for at in range(TRACKS)]
"""They are changed over and over."""


@dataclass
class Counts:
    """Of kills: how many, acknowledged changes, of which were lost, changes that are there in part or damaged."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    unavailable: int = 0

    def line(self) -> str:
        """In words."""
        return (
            f"{self.kills} kills, {self.acknowledged} changes acknowledged, {self.lost} lost, "
            f"{self.torn} half-written, {self.unavailable} told unavailable"
        )


def batch(number: int) -> LinearTracks:
    """The ``number``-th change: some tracks, whose features and metadata say the number."""
    draw = random.Random(number)
    ids = draw.sample(IDS, draw.choice([1, draw.randint(1, TRACKS)]))
    features = np.full((len(ids), 6), number, np.float32)
    return LinearTracks(np.array(ids, object), {"acoustic": features}, [{"number": number}] * len(ids))


def write(url: str, first: int) -> int:
    """Change the catalogue without end, and say each number once it is acknowledged."""
    live = Live(open_store(url), opened)
    number = first
    while True:
        if number % 5 == 4:
            live.delete(batch(number).ids)
        else:
            live.put(batch(number))
        os.write(2, f"{number}\n".encode())
        number += 1


def check(url: str, acknowledged: int, counts: Counts) -> int:
    """Compare a store with what the changes up to the last acknowledged one make, or with one more; the last one."""
    store = open_store(url)
    found = {track: store.get(track) for track in IDS}
    store.close()
    return compare(found, acknowledged, counts)


def compare(found: Mapping[str, Track | None], acknowledged: int, counts: Counts) -> int:
    """As of :func:`check`, for tracks by id."""
    now = {track: None if row is None else row.metadata["number"] for track, row in found.items()}
    for row in found.values():
        if row is not None and (row.features["acoustic"] != row.metadata["number"]).any():
            counts.torn += 1
    for last in (acknowledged, acknowledged + 1):
        if now == state(last):
            return last
    behind = {track: -1 if number is None else number for track, number in now.items()}
    lost = any(number is not None and behind[track] < number for track, number in state(acknowledged).items())
    counts.lost += lost
    counts.torn += not lost
    return acknowledged + 1


def state(last: int) -> dict[str, int | None]:
    """Which change each track shows after all up to ``last``."""
    shown: dict[str, int | None] = dict.fromkeys(IDS)
    for number in range(last + 1):
        for track in batch(number).ids:
            shown[track] = None if number % 5 == 4 else number
    return shown


def kill_writers(url: str, folder: Path, kills: int, draw: random.Random) -> Counts:
    """Kill a process that writes at random moments, again and again over one store."""
    counts, last = Counts(), -1
    store = open_store(url)
    store.publish(artefact("one", count=20))
    store.close()
    folder.mkdir(exist_ok=True)
    for _ in range(kills):
        child = fork(lambda first=last + 1: write(url, first), folder)
        if draw.random() < 0.8:  # the others are killed while they open the store
            select.select([child.pipe], [], [], 30)
        time.sleep(draw.uniform(0, 0.3))
        child.kill()
        said = child.said().split()
        if not all(word.isdigit() for word in said):
            raise AssertionError(" ".join(said))
        counts.kills += 1
        counts.acknowledged += len(said)
        last = check(url, int(said[-1]) if said else last, counts)
    return counts


def kill_postgres(server: Postgres, url: str, kills: int, draw: random.Random) -> Counts:
    """Kill PostgreSQL under a writer that goes on: StoreUnavailable in between, searches all the while."""
    counts, last = Counts(), -1
    store = open_store(url)
    store.publish(artefact("one", count=20))
    live = Live(store, opened)
    query = np.ones((1, 4), np.float32)
    try:
        for _ in range(kills):
            for _ in range(draw.randint(1, 10)):
                last = change(live, last + 1)
                counts.acknowledged += 1
            server.stop(signal.SIGQUIT)
            counts.kills += 1
            for attempt, given in ((live.put, batch(last + 1)), (store.get, "k0")):
                try:
                    attempt(given)
                    counts.torn += 1
                except StoreUnavailable:
                    counts.unavailable += 1
            assert live.search(query, 5)[0].ids
            server.start()
            last = check(url, last, counts)
            assert live.view().size == sum(number is not None for number in state(last).values()) + 20
    finally:
        live.close()
    return counts


def change(live: Live, number: int) -> int:
    if number % 5 == 4:
        live.delete(batch(number).ids)
    else:
        live.put(batch(number))
    return number


def main() -> int:
    """Run all kinds of kills and print the counts; 1 where anything was lost or torn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, bad = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="store-kills-") as place:
        server = Postgres()
        try:
            runs = {
                "writer over SQLite": lambda: kill_writers(
                    f"sqlite:///{place}/tracks.db", Path(place, "a"), given.kills, draw
                ),
                "writer over PostgreSQL": lambda: kill_writers(
                    server.new_schema("writers"), Path(place, "b"), given.kills, draw
                ),
                "PostgreSQL": lambda: kill_postgres(server, server.new_schema("server"), given.kills, draw),
            }
            for name, run in runs.items():
                found = run()
                print(f"{name}: {found.line()}", flush=True)
                bad += found.lost + found.torn
        finally:
            server.close()
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
