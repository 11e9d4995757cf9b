"""Kills at random times: nothing is lost, and the next run mends what is left."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.harness import LOGS, command, fork, snapshot
from faults.kinds.world import DATA, QUIET, run

from recbole_decm.io.write import mend

SIMULATE = ("simulate", "--music=20", "--pgc-videos=40", "--pgc-music=20", "--out=made", "--name=a", "--overwrite")


@dataclass
class Killed:
    """Kills of one command: in all, before its end, after which something was lost, and after which the next failed."""

    total: int = 0
    early: int = 0
    lost: int = 0
    broken: int = 0


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that no process owns."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if ".writing" in path.name]


def same(folder: Path, kept: dict[str, str]) -> bool:
    """Whether what no command writes is as it was."""
    now = snapshot(folder)
    return all(now.get(path) == content for path, content in kept.items())


class Simulate:
    """A data set is replaced: it is the old or the new one."""

    name = "simulate --overwrite"
    first, again = (*SIMULATE, "--videos=60"), (*SIMULATE, "--videos=80")

    def whole(self, folder: Path) -> bool:
        sizes = [len((folder / "made" / n / f"{n}.user").read_bytes().splitlines()) for n in ("a", "a-pgc")]
        return sizes in ([61, 41], [81, 41]) and (folder / "made" / "a" / "a.yaml").is_file()


class Import:
    """The same of an import."""

    name = "import-released --overwrite"
    first = again = (
        *("import-released", "--ugc=raw/data_matching", "--pgc=raw/data_pgc", "--out=made", "--name=a", "--overwrite"),
    )

    def whole(self, folder: Path) -> bool:
        found = [path for name in ("a", "a-pgc") for path in (folder / "made" / name).iterdir()]
        return len(found) == 17 and all(path.stat().st_size for path in found)


class Run:
    """A run with a teacher: its result is the old or the new one, its checkpoints can be read."""

    name = "run"
    first = run("--result_file=result.json", model="DecCM")
    again = run("--result_file=result.json", "--epochs=3", "--seed=7", model="DecCM")

    def whole(self, folder: Path) -> bool:
        import json

        from recbole_decm.training.checkpoint import read_checkpoint

        for path in (folder / "saved").rglob("*.pth"):
            if path.stat().st_size:
                read_checkpoint(path)
        return json.loads((folder / "result.json").read_text())["model"] == "DecCM"


class Recommend:
    """Lists and an index: whole or not there."""

    name = "recommend"
    first = again = (
        *("recommend", "model.pth", "--videos=videos.npy", "--k=3", *DATA[1:], *QUIET),
        *("--index=flat", "--index-file=kept.index", "--out=lists.csv"),
    )

    def whole(self, folder: Path) -> bool:
        return len((folder / "lists.csv").read_text().splitlines()) == 16


class Benchmark:
    """A new folder: cells that are there are whole, and the same command goes on."""

    name = "benchmark"
    first = again = ("benchmark", "spec.yaml", "--out=results")

    def whole(self, folder: Path) -> bool:
        import json

        found = [json.loads(path.read_text()) for path in (folder / "results" / "cells").glob("*/cell.json")]
        return all(cell["status"] == "done" for cell in found)


KILLED: dict[str, Callable] = {kind.name: kind for kind in (Simulate, Import, Run, Recommend, Benchmark)}


def campaign(
    world: Path, place: Path, count: int, rng: random.Random, names: tuple = tuple(KILLED)
) -> dict[str, Killed]:
    """Kill each command ``count / len(names)`` times."""
    results = {}
    for name in names:
        subject, found = KILLED[name](), Killed()
        folder = place / subject.name.split()[0]
        share = count // len(names)
        if not share:
            continue
        shutil.copytree(world, folder)
        start = time.monotonic()
        ended, said = finish(command(subject.first), folder)
        assert ended == 0, said
        lasts = time.monotonic() - start
        outputs = ("made", "saved", "result.json", "lists.csv", "results", *LOGS)
        kept = {path: content for path, content in snapshot(folder).items() if not path.startswith(outputs)}
        for _ in range(share):
            for again in ("results", "saved/teachers"):
                shutil.rmtree(folder / again, ignore_errors=True)
            ended, _ = finish(command(subject.again), folder, rng.uniform(0, 1.1 * lasts))
            found.total += 1
            found.early += ended is None
            mend(folder / "made")  # as each command does that looks for a data set
            found.lost += not (same(folder, kept) and subject.whole(folder))
            ended, said = finish(command(subject.again), folder)
            if ended != 0 or not subject.whole(folder) or leftovers(folder):
                found.broken += 1
                print(f"{name}: the next run ends with {ended}, left {leftovers(folder)}: {said[-500:]}")
        results[name] = found
        shutil.rmtree(folder)
    return results


def finish(work: Callable[[], int], folder: Path, seconds: float = 120) -> tuple[int | None, str]:
    """Run a child, killed where it takes longer: its exit code, or None, and what it said."""
    child = fork(work, folder)
    ended = child.wait(seconds)
    if ended is None:
        child.kill()
    return ended, child.said()
