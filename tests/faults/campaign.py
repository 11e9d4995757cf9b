"""The long form: ``make faults``. Bad inputs by kind and kills at random times, counted."""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import kills
from faults.harness import attempt
from faults.kinds.indexes import INDEXED
from faults.kinds.table import KINDS
from faults.kinds.world import make_world
from faults.known import KNOWN


def world_in(folder: Path) -> Path:
    """The world of all cases, its index with it."""
    import os

    from recbole_decm.cli.main import main

    here = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        make_world(folder)
        assert main([*INDEXED]) == 0
        (folder / "lists.csv").unlink()
        for left in ("log", "log_tensorboard", "saved"):
            shutil.rmtree(folder / left, ignore_errors=True)
    finally:
        os.chdir(here)
    return folder


def main() -> int:
    """Run a campaign and print its counts; 1 where anything failed that is not known."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    chosen = [name for name in given.kinds.split(",") if name]
    failed, counts, seconds = [], Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        world = world_in(Path(place) / "world")
        for kind in chosen:
            share = given.inputs // len(chosen)
            for number, case in enumerate(itertools.islice(KINDS[kind](random.Random(given.seed)), share)):
                found = attempt(case, world, Path(place) / f"{kind}-{number}")
                shutil.rmtree(Path(place) / f"{kind}-{number}")
                counts[kind, "refused" if found.code == 2 else "good" if not found.code else "other"] += 1
                seconds[kind] += found.seconds
                if found.wrong:
                    failed.append((kind, case.title, found.wrong))
                    counts[kind, "failed"] += 1
                    print(f"{kind}: {case.title}: {'; '.join(found.wrong)}", flush=True)
                    if given.verbose:
                        print("    " + "\n    ".join(found.said.strip().splitlines()[-4:]), flush=True)
        killed = kills.campaign(world, Path(place) / "kills", given.kills, random.Random(given.seed))
    print("| kind | inputs | refused in one line | good by chance | failed | seconds each |\n" + "| --- " * 6 + "|")
    for kind in chosen:
        refused, good, bad = (counts[kind, name] for name in ("refused", "good", "failed"))
        inputs = refused + good + counts[kind, "other"]
        print(f"| {kind} | {inputs} | {refused} | {good} | {bad} | {seconds[kind] / max(1, inputs):.2f} |")
    for name, found in killed.items():
        told = f"{found.total} kills, {found.early} before the end, {found.lost} lost, {found.broken} not mended"
        print(f"{name}: {told}")
    unknown = [entry for entry in failed if f"{entry[0]}: {entry[1]}" not in KNOWN]
    return int(bool(unknown) or any(found.lost or found.broken for found in killed.values()))


if __name__ == "__main__":
    sys.exit(main())
