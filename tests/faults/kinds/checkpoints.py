"""Checkpoints without an entry, with another, cut or changed."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterator
from functools import partial

from faults.harness import Case
from faults.kinds.edits import be_folder, edit, put, remove, replaced, resave, without
from faults.kinds.world import DATA, QUIET, Change, run


def flip_inside(data: bytes, rng: random.Random) -> bytes:
    """One bit changed in what a checkpoint holds; not in the filling between its members, which says nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        member = rng.choice([member for member in archive.infolist() if member.file_size])
    at = member.header_offset
    at += 30 + sum(struct.unpack("<HH", data[at + 26 : at + 30])) + rng.randrange(member.compress_size)
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


COMMANDS = {
    "evaluate": ("evaluate", "model.pth", *DATA[1:], *QUIET),
    "recommend": ("recommend", "model.pth", "--videos=videos.npy", "--k=3", *DATA[1:], *QUIET),
    "resume": run("--checkpoint=model.pth", "--epochs=2"),
    "audit": ("audit", "model.pth", "--k=3", *DATA[1:], QUIET[1]),
}


def checkpoints(rng: random.Random) -> Iterator[Case]:
    """Entries that are missing or of another type; cut, changed and other files, for each command that reads one."""
    changes: dict[str, Change] = {
        "empty": partial(put, name="model.pth", content=b""),
        "text": partial(put, name="model.pth", content=b"weights\n"),
        "pickle": partial(put, name="model.pth", content=b"cos\nsystem\n(S'touch hacked'\ntR."),
        "a list": partial(resave, change=lambda content: [1, 2]),
        "half": partial(edit, name="model.pth", change=lambda data: data[: len(data) // 2]),
        "a folder": partial(be_folder, name="model.pth"),
        "missing": partial(remove, name="model.pth"),
        "newer": partial(resave, change=replaced("format_version", 10**6)),
    }
    for key in ("state_dict", "config", "model", "dataset", "format", "format_version", "epoch", "other_parameter"):
        changes[f"no {key}"] = partial(resave, change=without(key))
        good = {"epoch": (5,), "other_parameter": (None,)}.get(key, ())
        for value in (value for value in (5, "x", None, [1]) if value not in good):
            changes[f"{key}={value!r}"] = partial(resave, change=replaced(key, value))
    for seed in range(4):
        flipped = partial(flip_inside, rng=random.Random(seed))
        changes[f"a bit ({seed})"] = partial(edit, name="model.pth", change=flipped)
    for title, change in changes.items():
        for name in ("evaluate", "recommend") if title.startswith(("no", "empty", "a bit")) else ("evaluate",):
            key = title.partition("=")[0]
            yield Case("checkpoints", f"{name}: {title}", COMMANDS[name], ("model.pth", key), change)
    for title, change in changes.items():
        for name in ("resume", "audit"):
            key = title.partition("=")[0]
            yield Case("checkpoints", f"{name}: {title}", COMMANDS[name], ("model.pth", key), change)
    while True:
        seed, name = rng.random(), rng.choice(list(COMMANDS))
        flipped = partial(flip_inside, rng=random.Random(seed))
        change = partial(edit, name="model.pth", change=flipped)
        yield Case("checkpoints", f"{name}: a bit", COMMANDS[name], ("model.pth",), change)
