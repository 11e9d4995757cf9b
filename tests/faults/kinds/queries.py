"""What ``recommend`` reads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from faults.harness import Case
from faults.kinds.edits import edit, flip, put
from faults.kinds.matrices import matrices, npy
from faults.kinds.world import DATA, QUIET


def queries(rng: random.Random) -> Iterator[Case]:
    """Features and preferences of today's videos, lists of ids, filters, numbers."""
    base = ("recommend", "model.pth", "--k=3", *DATA[1:], *QUIET, "--out=lists.csv")
    videos = (*base, "--videos=videos.npy")
    for title, content in {**matrices(5, 6), "another width": npy((5, 7), "f4")}.items():
        change = partial(put, name="videos.npy", content=content)
        yield Case(
            "queries",
            f"videos: {title}",
            videos,
            ("videos.npy",),
            change,
            sure=title not in ("no rows", "too few rows"),
            writes=("lists.csv",),
        )
    for title, content in {**matrices(5, 3), "no probabilities": npy((5, 3), "f4", 0.9)}.items():
        change = partial(put, name="uploaders.npy", content=content)
        names = ("uploaders",)
        yield Case("queries", f"uploaders: {title}", (*videos, "--uploaders=uploaders.npy"), names, change)
    csv = partial(put, name="today.csv", content=b"a,b\n1,2\n")
    yield Case("queries", "videos.csv", (*base, "--videos=today.csv"), ("today.csv", "model.pth"), csv)
    for option in (
        "--videos=nowhere.npy",
        "--videos=data",
        "--k=0",
        "--k=x",
        "--k=99999",
        "--index=what",
        "--recall=2",
    ):
        name = option.partition("=")[0]
        command = (*(part for part in videos if not part.startswith(name)), option)
        yield Case("queries", option, command, (name, name[2:], "nowhere.npy", "data"))
    for option in ("--split=what", "--split=all", "--block=0", "--neighbours=1", "--what=1", "--out=lists.what"):
        yield Case("queries", option, (*videos, option), (option.partition("=")[0], "what"))
    for text in (
        "genre ==",
        "genre in",
        "genre = 'g0",
        "what = 1",
        "((genre = 'g0')",
        "genre < ",
        "and",
        "1",
        "genre = g0",
    ):
        yield Case("queries", f"filter {text}", (*videos, f"--filter={text}"), ("filter",))
    for title, content in {"no UTF-8": b"\xff\xfe\x00", "unknown": b"nothing\n", "NUL": b"m0\0\n"}.items():
        change = partial(put, name="ids.txt", content=content)
        yield Case(
            "queries",
            f"exclude {title}",
            (*videos, "--exclude=ids.txt"),
            ("ids.txt", "exclude"),
            change,
            sure=False,
            writes=("lists.csv",),
        )
    while True:
        seed = rng.random()
        change = partial(edit, name="videos.npy", change=lambda d, s=seed: flip(random.Random(s), d))
        yield Case("queries", "videos: a bit", videos, ("videos.npy",), change, sure=False, writes=("lists.csv",))
