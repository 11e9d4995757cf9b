"""Text tables, damaged in each way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from faults.harness import Case
from faults.kinds.edits import be_folder, edit, flip, line, remove
from faults.kinds.world import Change, run

EDITS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "header only": lambda data: data.partition(b"\n")[0] + b"\n",
    "no header": lambda data: data.partition(b"\n")[2],
    "too many cells": line(3, lambda text: text + b"\tmore"),
    "too many cells everywhere": lambda data: data.replace(b"\n", b"\tx\n").replace(b"\tx\n", b"\n", 1),
    "too few cells": line(3, lambda text: text.partition(b"\t")[0]),
    "an empty line": line(3, lambda text: b""),
    "NUL": line(3, lambda text: text.replace(b"v", b"\0").replace(b"m", b"\0")),
    "no UTF-8": line(3, lambda text: b"\xff\xfe" + text),
    "an empty id": line(3, lambda text: b"\t" + text.partition(b"\t")[2]),
    "a column twice": line(0, lambda text: text + b"\t" + text.partition(b"\t")[0]),
    "a type that is none": line(0, lambda text: text.replace(b":token", b":tokens", 1)),
    "a column without a type": line(0, lambda text: text.replace(b":token", b"", 1)),
    "compressed": lambda data: b"\x1f\x8b\x08\x00" + data[::-1],
    "spaces for tabs": lambda data: data.replace(b"\t", b" "),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
}
ID_EDITS = {"an id twice": line(3, lambda text: b"v0\t" + text.partition(b"\t")[2])}
PAIRS = tuple(f"data/tiny/tiny.{part}.inter" for part in ("train", "valid", "test"))
SIDES = ("data/tiny/tiny.user", "data/tiny/tiny.item")


def vector(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """A change of the last cell of a line."""
    return line(3, lambda text: b"\t".join([*text.split(b"\t")[:-1], change(text.split(b"\t")[-1])]))


VECTOR_EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a number that is none": vector(lambda cell: b"x " + cell),
    "a short vector": vector(lambda cell: cell.rpartition(b" ")[0]),
    "a long vector": vector(lambda cell: cell + b" 1"),
    "no vector": vector(lambda cell: b""),
    "NaN": vector(lambda cell: b"nan " + cell.partition(b" ")[2]),
    "infinity": vector(lambda cell: b"-inf " + cell.partition(b" ")[2]),
    "beyond float32": vector(lambda cell: b"1e39 " + cell.partition(b" ")[2]),
    "a decimal comma": vector(lambda cell: cell.replace(b".", b",")),
    "two blanks": vector(lambda cell: cell.replace(b" ", b"  ")),
}
FINE: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "no final line end": lambda data: data.rstrip(b"\n"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "empty lines at the end": lambda data: data + b"\n\n",
}


def atomic(rng: random.Random) -> Iterator[Case]:
    """Each file, damaged in each way; then cut or changed anywhere."""

    def case(title: str, name: str, change: Change, sure: bool = True) -> Case:
        named = (Path(name).name, "tiny.user", "tiny.item") if not sure else (Path(name).name,)
        return Case("atomic", f"{Path(name).name}: {title}", run(), named, change, sure, () if sure else ("saved",))

    for name in (*PAIRS, *SIDES):
        for title, change in EDITS.items():
            if title != "an empty id" or name.endswith(("user", "item")):
                yield case(title, name, partial(edit, name=name, change=change))
        yield case("missing", name, partial(remove, name=name))
        yield case("a folder", name, partial(be_folder, name=name))
        for title, change in FINE.items():
            yield case(title, name, partial(edit, name=name, change=change), sure=False)
    for name in SIDES:
        for title, change in VECTOR_EDITS.items():
            yield case(title, name, partial(edit, name=name, change=change))
    yield case("an id twice", SIDES[0], partial(edit, name=SIDES[0], change=ID_EDITS["an id twice"]))
    for name in PAIRS:
        for token in (b"v0", b"m0"):
            change = line(3, lambda text, token=token: text.replace(token[:1], b"unknown"))
            yield case(f"an unknown {token.decode()}", name, partial(edit, name=name, change=change))
    one = partial(edit, name=PAIRS[0], change=lambda data: b"\n".join(data.split(b"\n")[:2]) + b"\n")
    yield Case("atomic", "one training row", run(), ("train", "tiny"), one, sure=False, writes=("saved",))
    while True:
        name = rng.choice((*PAIRS, *SIDES))
        if rng.random() < 0.5:
            seed = rng.random()
            yield case(
                "a bit", name, partial(edit, name=name, change=lambda d, s=seed: flip(random.Random(s), d)), False
            )
        else:
            share = rng.random()
            yield case("cut", name, partial(edit, name=name, change=lambda d, s=share: d[: int(len(d) * s)]), False)
