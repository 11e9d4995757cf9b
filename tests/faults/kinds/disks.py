"""Full disks and read-only places."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from faults.harness import Case, nothing
from faults.kinds.checkpoints import COMMANDS
from faults.kinds.edits import remove
from faults.kinds.indexes import INDEXED
from faults.kinds.world import DATA, QUIET, run


def disks(rng: random.Random) -> Iterator[Case]:
    """Files beyond a limit of the process: the system's own error, as on a full disk."""
    raw = ("import-released", "--ugc=raw/data_matching", "--pgc=raw/data_pgc", "--out=made", "--name=a")
    simulate = ("simulate", "--videos=60", "--music=20", "--pgc-videos=40", "--pgc-music=20", "--out=made", "--name=a")
    commands = {
        "checkpoint": (run(), ("saved", "log")),
        "result_file": (run("--result_file=result.json", model="Pop"), ("result.json", "saved", "log")),
        "teacher": (run(model="DecCM"), ("saved", "log")),
        "simulate": (simulate, ("made",)),
        "import-released": (raw, ("made",)),
        "audit": (("audit", "model.pth", "--k=3", *DATA[1:], QUIET[1], "--out=audited"), ("audited", "log", "output")),
        "index": (INDEXED[:-1], ("kept.index", "output")),
        "recommend": (INDEXED, ("lists.csv", "kept.index")),
        "output": (COMMANDS["recommend"], ("output",)),
        "evaluate": (COMMANDS["evaluate"], ("output", "saved", "log")),
    }
    first = ("saved", "audited")  # of two files the first may be whole
    for title, (command, found) in commands.items():
        change = partial(remove, name="kept.index") if "--index=flat" in command else nothing
        if title not in ("output", "evaluate"):
            found_or_log = (*found, "log")
            yield Case("disks", f"{title}, read-only", command, found_or_log, change, read_only=True)
        for limit in (0, 60, 2_000):
            yield Case(
                "disks",
                f"{title}, {limit} bytes",
                command,
                found,
                change,
                sure=limit == 0,
                writes=first if limit else ("saved",),
                limit=limit,
            )
    while True:
        title, limit = rng.choice(list(commands)), int(10 ** rng.uniform(1, 5))
        command, found = commands[title]
        change = partial(remove, name="kept.index") if "--index=flat" in command else nothing
        writes = (*first, "made", "kept.index", "lists.csv", "result.json") if limit > 5_000 else first
        yield Case("disks", f"{title}, {limit} bytes", command, found, change, sure=False, writes=writes, limit=limit)
