"""Index files, cut or changed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from faults.harness import Case
from faults.kinds.checkpoints import COMMANDS
from faults.kinds.edits import be_folder, edit, flip, put, replaced, without
from faults.kinds.world import Change

INDEXED = (*COMMANDS["recommend"], "--index=flat", "--index-file=kept.index", "--out=lists.csv")


def header_of(folder: Path, change: Callable[[dict], object]) -> None:
    """Change the header of an index file."""
    data = (folder / "kept.index").read_bytes()
    magic = b"recbole-decm-index"
    size = struct.unpack("<Q", data[-len(magic) - 8 : -len(magic)])[0]
    start = len(data) - len(magic) - 8 - size
    text = json.dumps(change(json.loads(data[start : start + size]))).encode()
    (folder / "kept.index").write_bytes(data[:start] + text + struct.pack("<Q", len(text)) + magic)


def indexes(rng: random.Random) -> Iterator[Case]:
    """Headers without an entry or with another; cut and changed files. The world has an index of its checkpoint."""
    changes: dict[str, Change] = {
        "empty": partial(put, name="kept.index", content=b""),
        "text": partial(put, name="kept.index", content=b"x" * 100),
        "half": partial(edit, name="kept.index", change=lambda data: data[: len(data) // 2]),
        "no vectors": partial(edit, name="kept.index", change=lambda data: data[400:]),
        "a folder": partial(be_folder, name="kept.index"),
        "a list": partial(header_of, change=lambda header: [1]),
        "a huge header": partial(
            edit, name="kept.index", change=lambda d: d[:-26] + struct.pack("<Q", 2**60) + d[-18:]
        ),
    }
    for key in ("format_version", "options", "radius", "effort", "count", "dim", "belongs_to"):
        changes[f"no {key}"] = partial(header_of, change=without(key))
        for value in ("x", None, [1], -5):
            changes[f"{key}={value!r}"] = partial(header_of, change=replaced(key, value))
    changes["another kind"] = partial(header_of, change=replaced("options", {"kind": "what", "neighbours": -1}))
    for title, change in changes.items():
        yield Case("indexes", title, INDEXED, ("kept.index",), change)
    while True:
        seed = rng.random()
        change = partial(edit, name="kept.index", change=lambda d, s=seed: flip(random.Random(s), d))
        yield Case("indexes", "a bit", INDEXED, ("kept.index",), change, sure=False, writes=("lists.csv",))
