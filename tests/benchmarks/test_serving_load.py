"""What load with updates must find: answers that fail, changes that come late or never, memory that grows."""

from __future__ import annotations

import time

import click
import pytest
from helpers.benchmark_scripts import load


class Kept:
    """In place of a server: changes show after ``lag`` seconds, every ``fails``-th list fails."""

    def __init__(self, lag=0.0, fails=0, grows=0):
        self.lag, self.fails, self.grows = lag, fails, grows
        self.changes, self.lists, self.bytes = [], 0, 1000

    def ask(self, method, path, body=None):
        name = path.rpartition("/")[2]
        if method != "POST":
            probe = body["metadata"]["probe"] if method == "PUT" else None
            self.changes.append((time.perf_counter(), name, probe))
            return (200, {}) if method == "PUT" else (204, None)
        time.sleep(0.002)
        self.lists += 1
        if self.fails and self.lists % self.fails == 0:
            return 503, {"detail": "too much"}
        seen = [(name, probe) for at, name, probe in self.changes if at + self.lag <= time.perf_counter()]
        shown = {"track": 0.0, **dict(seen)}
        if "filter" in body:
            shown = {name: probe for name, probe in shown.items() if f"probe = {probe or 0:g}" == body["filter"]}
        return 200, {"results": [{"tracks": [{"track_id": name} for name in shown]}]}

    def memory(self):
        self.bytes += self.grows
        return self.bytes


def verdict(seconds=1.0, **faults):
    found = load("serving_load").under_load(Kept(**faults), [{"videos": []}] * 8, {"acoustic": [0.0]}, seconds)
    return load("serving").verdict(found, seconds)


def test_a_server_without_fault_passes():
    assert "0 errors; a change shows after 0.0" in verdict() and "memory grew by 0.0%" in verdict(lag=0.0)
    assert "0 errors" in verdict(lag=0.3)


@pytest.mark.parametrize(
    "faults, words",
    [({"fails": 50}, "503: "), ({"lag": 30.0, "seconds": 1.5}, "probe = 1: 200"), ({"grows": 10}, "memory grew by")],
)
def test_each_fault_is_found(faults, words):
    with pytest.raises(click.ClickException, match=words):
        verdict(**faults)
