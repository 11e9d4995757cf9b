"""Kills of ``recbole-decm serve`` while tracks change, and of PostgreSQL below it: what was acknowledged is there.

python tests/faults/server_kills.py --kills 30
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from faults.harness import snapshot
from faults.store_kills import IDS, Counts, batch, compare
from helpers.planted_artefact import planted_artefact
from helpers.postgres import Postgres

from recbole_decm.serving.store.contract import Track

WIDTH, VISUAL, OWN = 8, 12, 40
"""Of the artefact: numbers of a track and of a video, and its tracks."""


class Server:
    """``recbole-decm serve`` in a process of its own, with a home and temporary files that nothing should be in."""

    def __init__(self, place: Path, url: str) -> None:
        self.elsewhere, self.port = place / "elsewhere", 0
        self.elsewhere.mkdir(exist_ok=True)
        env = {name: value for name, value in os.environ.items() if name != "CI"}  # where libraries may hold back
        env |= {name: str(self.elsewhere) for name in ("HOME", "TMPDIR")} | {"PYTHONDONTWRITEBYTECODE": "1"}
        words = ["serve", str(place / "artefact"), "--store", url, "--port", "0", "--rate", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "recbole_decm", *words],
            cwd=self.elsewhere,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    def started(self) -> Server:
        """Wait until it says where it is."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if " at http://" not in line:
            raise AssertionError(line + self.process.stderr.read())
        self.port = int(line.partition(" at http://127.0.0.1:")[2].partition("/")[0])
        return self

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status, and the JSON of an answer; 503 comes with seconds to wait.

        Raises:
            OSError, HTTPException: the server is no more.
        """
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            content = None if body is None else json.dumps(body).encode()
            line.request(method, path, content, {"Content-Type": "application/json"})
            answer = line.getresponse()
            text = answer.read()
            assert answer.status != 503 or int(answer.headers["Retry-After"]) >= 1, dict(answer.headers)
            return answer.status, json.loads(text) if text else None
        finally:
            line.close()

    def end(self, how: int) -> int:
        """Send it a signal, where it runs; how it ended."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def tracks(self) -> dict[str, Track | None]:
        """What is kept of :data:`IDS`; lists show the same."""
        found: dict[str, Track | None] = {}
        for track in IDS:
            status, answer = self.ask("GET", f"/v1/tracks/{track}")
            assert status in (200, 404), answer
            found[track] = None
            if status == 200:
                features = {name: np.array(values) for name, values in answer["features"].items()}
                found[track] = Track(track, features, answer["metadata"], 0)
        kept = {track: row.metadata["number"] for track, row in found.items() if row is not None}
        assert {track: number for track, number in self.listed().items() if track in IDS} == kept
        return found

    def listed(self) -> dict[str, int | None]:
        """All tracks by a list, and the number that each says."""
        form = {"videos": [{"features": {"visual": [1.0] * VISUAL}}], "k": 1000, "prior": "neutral"}
        status, answer = self.ask("POST", "/v1/recommendations", form)
        assert status == 200, answer
        return {track["track_id"]: track["metadata"].get("number") for track in answer["results"][0]["tracks"]}


class Changes(threading.Thread):
    """A client that changes tracks one after another, until it is told to end or its server is no more.

    Attributes:
        last: the number of the last change that was acknowledged.
        mortal: whether the server may be no more.
        told: how often it was told to come again.
        wrong: an answer that no change should get.
    """

    def __init__(self, server: Server, last: int, mortal: bool = False) -> None:
        super().__init__(daemon=True)
        self.server, self.last, self.mortal = server, last, mortal
        self.told, self.wrong, self.ended = 0, "", threading.Event()

    def run(self) -> None:
        while not (self.ended.is_set() or self.wrong):
            try:
                status, answer = self.server.ask(*_request(self.last + 1))
            except (OSError, http.client.HTTPException) as error:
                self.wrong = "" if self.mortal else repr(error)
                return
            if status in (200, 204, 404):
                self.last += 1
            elif status == 503:
                self.told += 1
                time.sleep(0.05)
            else:
                self.wrong = f"{status}: {answer}"

    def reach(self, wanted: int, what: str) -> None:
        """Wait until ``last`` or ``told`` is that large."""
        end = time.monotonic() + 30
        while getattr(self, what) < wanted:
            assert time.monotonic() < end and self.is_alive(), (
                f"{what}: {getattr(self, what)} of {wanted}. {self.wrong}"
            )
            time.sleep(0.005)


def _request(number: int) -> tuple[str, str, Any]:
    """The ``number``-th change: of one track by its address, of several by a batch."""
    ids, deletes = batch(number).ids.tolist(), number % 5 == 4
    form = {"features": {"acoustic": [float(number)] * WIDTH}, "metadata": {"number": number}}
    if len(ids) == 1:
        return ("DELETE", f"/v1/tracks/{ids[0]}", None) if deletes else ("PUT", f"/v1/tracks/{ids[0]}", form)
    changes = {"delete": ids} if deletes else {"put": [{"track_id": track, **form} for track in ids]}
    return "POST", "/v1/tracks:batch", changes


@contextmanager
def whole(place: Path) -> Iterator[None]:
    """Leaves the artefact as it is, and no file but the store's."""
    artefact = snapshot(place / "artefact")
    yield
    assert snapshot(place / "artefact") == artefact
    left = [path for path in place.iterdir() if path.name not in ("artefact", "data", "elsewhere", "tracks.db")]
    left += [path for path in (place / "elsewhere").rglob("*") if path.is_file()]
    assert not left, left


def kill_server(place: Path, url: str, kills: int, draw: random.Random) -> Counts:
    """Kill a server at random moments, at times while it starts; after each the next one has what was acknowledged."""
    counts, last = Counts(), -1
    with whole(place):
        for _ in range(kills):
            with Server(place, url) as server:
                if draw.random() < 0.2:
                    time.sleep(draw.uniform(0, 3))
                    server.end(signal.SIGKILL)
                else:
                    last = compare(server.started().tracks(), last, counts)
                    changes = Changes(server, last, mortal=True)
                    changes.start()
                    time.sleep(draw.uniform(0, 1))
                    server.end(signal.SIGKILL)
                    changes.join()
                    assert not changes.wrong, changes.wrong
                    counts.acknowledged += changes.last - last
                    last = changes.last
            counts.kills += 1
        with Server(place, url) as server:
            compare(server.started().tracks(), last, counts)
            assert len(server.listed().keys() - set(IDS)) == OWN
            server.end(signal.SIGTERM)
    return counts


def kill_postgres_below(place: Path, postgres: Postgres, url: str, kills: int, draw: random.Random) -> Counts:
    """Kill PostgreSQL under a server: changes are told to come again, lists go on, and changes are taken after it."""
    counts = Counts()
    with whole(place), Server(place, url) as server:
        changes = Changes(server.started(), -1)
        changes.start()
        for _ in range(kills):
            changes.reach(changes.last + draw.randint(1, 10), "last")
            postgres.stop(signal.SIGQUIT)
            counts.kills += 1
            changes.reach(changes.told + 2, "told")
            assert server.ask("GET", "/v1/tracks/k0")[0] == 503
            assert len(server.listed().keys() - set(IDS)) == OWN
            assert {server.ask("GET", path)[0] for path in ("/healthz", "/readyz")} == {200}
            postgres.start()
            changes.reach(changes.last + 2, "last")
        changes.ended.set()
        changes.join()
        assert not changes.wrong, changes.wrong
        counts.acknowledged, counts.unavailable = changes.last + 1, changes.told
        compare(server.tracks(), changes.last, counts)
    return counts


def main() -> int:
    """Run all kinds of kills and print the counts; 1 where anything was lost or torn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, bad = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="server-kills-") as folder:
        place, postgres = Path(folder), Postgres()
        planted_artefact(place / "data", place / "artefact")
        try:
            runs = {
                "server over SQLite": lambda: kill_server(place, f"sqlite:///{place}/tracks.db", given.kills, draw),
                "server over PostgreSQL": lambda: kill_server(place, postgres.new_schema("a"), given.kills, draw),
                "PostgreSQL below a server": lambda: kill_postgres_below(
                    place, postgres, postgres.new_schema("b"), given.kills, draw
                ),
            }
            for name, run in runs.items():
                found = run()
                print(f"{name}: {found.line()}", flush=True)
                bad += found.lost + found.torn
        finally:
            postgres.close()
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
