"""The short form of the campaign: some bad inputs of each kind, some kills, and processes that meet."""

from __future__ import annotations

import itertools
import os
import random
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("forks, and limits what a process may take", allow_module_level=True)

from faults.campaign import world_in
from faults.harness import attempt, command, fork, snapshot
from faults.kills import Import, Recommend, Simulate, campaign
from faults.kinds.checkpoints import COMMANDS
from faults.kinds.table import KINDS
from faults.known import KNOWN

FIRST, EACH = 72, 9
"""Of the first cases of a kind, which come from its tables, each so many-th is tried here."""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return world_in(tmp_path_factory.mktemp("faults") / "world")


@pytest.mark.parametrize("kind", KINDS)
def test_bad_inputs_are_refused_in_one_line_and_change_nothing(kind, world, tmp_path):
    cases = list(itertools.islice(KINDS[kind](random.Random(1)), FIRST))[::EACH]
    wrong = {}
    for number, case in enumerate(cases):
        found = attempt(case, world, tmp_path / str(number))
        if bool(found.wrong) != (f"{kind}: {case.title}" in KNOWN):
            wrong[case.title] = (found.wrong or "passes, and is on the list of known failures", found.said[-300:])
    assert not wrong


def test_nothing_is_lost_when_a_process_is_killed(world, tmp_path):
    kinds = (Simulate.name, Import.name, Recommend.name)
    for name, found in campaign(world, tmp_path, 9, random.Random(2), kinds).items():
        assert (found.total, found.lost, found.broken) == (3, 0, 0), name


def test_of_four_that_simulate_the_same_name_one_succeeds(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    sizes = ("--videos=60", "--music=20", "--pgc-videos=40", "--pgc-music=20")
    children = [fork(command(("simulate", "--out=made", "--name=a", f"--seed={n}", *sizes)), place) for n in range(4)]
    codes = [child.wait(60) for child in children]
    said = [child.said() for child in children]
    assert sorted(codes) == [0, 2, 2, 2], said
    for code, line in zip(codes, said, strict=True):
        assert not code or line.startswith("error: --out: expected a new folder, found made/a")
    assert f"seed: {codes.index(0)}\n" in (place / "made" / "a" / "a.yaml").read_text()
    assert sorted(path.name for path in (place / "made").iterdir()) == ["a", "a-pgc"]


def test_a_reader_that_leaves_is_one_line(world, tmp_path):
    before = snapshot(world)
    ours, theirs = os.pipe()
    os.close(ours)

    def work() -> int:
        os.dup2(theirs, 1)
        return command(COMMANDS["recommend"])()

    child = fork(work, world)
    os.close(theirs)
    assert child.wait(60) == 2
    assert child.said() == "error: a file or standard output: expected to read or write it, but Broken pipe.\n"
    assert snapshot(world) == before
