"""Matrices in ``.npy`` files."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from faults.harness import Case
from faults.kinds.edits import be_folder, edit, flip, put, remove
from faults.kinds.world import run


def npy(shape: tuple, kind: str, fill: float = 0.5) -> bytes:
    """A ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, np.full(shape, fill, dtype=kind))
    return file.getvalue()


def objects() -> bytes:
    """One that holds Python objects."""
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}, None], dtype=object))
    return file.getvalue()


def matrices(rows: int, width: int) -> dict[str, bytes]:
    """Files that are no matrix of finite float32 of a shape."""
    good = npy((rows, width), "f4")
    rest = good[good.index(b"\n") + 1 :]
    header = b"\x93NUMPY\x01\x00"
    huge = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**12}, {width}), }}".encode().ljust(117) + b"\n"
    return {
        "empty": b"",
        "text": b"1,2,3\n4,5,6\n",
        "magic alone": header,
        "no header": header + b"\x76\x00" + b"x" * 118,
        "a huge shape": header + struct.pack("<H", len(huge)) + huge + rest,
        "cut": good[:-10],
        "objects": objects(),
        "no columns": npy((rows, 0), "f4"),
        "no rows": npy((0, width), "f4"),
        "one dimension": npy((rows,), "f4"),
        "three dimensions": npy((rows, width, 1), "f4"),
        "too few rows": npy((rows - 1, width), "f4") if rows > 5 else npy((0, width), "f4"),
        "NaN": npy((rows, width), "f4", float("nan")),
        "infinity": npy((rows, width), "f4", float("inf")),
        "beyond float32": npy((rows, width), "f8", 1e300),
        "integers": npy((rows, width), "i4", 1),
        "complex": npy((rows, width), "c8"),
        "texts": npy((rows, width), "U3"),
        "an archive": b"PK\x03\x04" + rest,
    }


def npys(rng: random.Random) -> Iterator[Case]:
    """A data set's vectors; then flipped bits in a header."""
    command = (*run()[:1], *(part.replace("tiny", "vectors") for part in run()[1:]))
    sizes = {"visual": (60, 6), "acoustic": (12, 4)}
    for field, size in sizes.items():
        name = f"data/vectors/vectors.{field}.npy"
        for title, content in matrices(*size).items():
            yield Case("npy", f"{field}: {title}", command, (f"{field}.npy",), partial(put, name=name, content=content))
        yield Case("npy", f"{field}: missing", command, (f"{field}.npy",), partial(remove, name=name))
        yield Case("npy", f"{field}: a folder", command, (f"{field}.npy",), partial(be_folder, name=name))
    while True:
        field, seed = rng.choice(list(sizes)), rng.random()
        change = partial(
            edit,
            name=f"data/vectors/vectors.{field}.npy",
            change=lambda d, s=seed: flip(random.Random(s), d, 0, 128 / len(d)),
        )
        names = (f"{field}.npy", "vectors.user", "vectors.item")
        yield Case("npy", f"{field}: a bit", command, names, change, sure=False, writes=("saved",))
