"""Digests: short keys that tell one value, file, folder or set of weights from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 24
DATA_SUFFIXES = (".inter", ".user", ".item", ".npy", ".candidates", ".kg", ".link", ".net")
"""Of the files in a data set's folder that RecBole or we read."""


def new_digest(start: bytes = b"") -> Any:
    """A digest of 64 bits to feed with ``update`` and to read with ``hexdigest``: BLAKE2b."""
    return hashlib.blake2b(start, digest_size=8)


def of_values(values: Any) -> str:
    """Of plain values, whatever the order of their keys.

    Examples:
        >>> of_values({"a": 1, "b": 2}) == of_values({"b": 2, "a": 1})
        True
    """
    return str(new_digest(json.dumps(values, sort_keys=True).encode()).hexdigest())


def of_texts(*parts: object, size: int = 4) -> str:
    """Of the texts of some values, ``size`` bytes as hexadecimal digits."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=size).hexdigest()


def of_files(paths: Iterable[Path]) -> str:
    """Of files, by name and content, in the order given."""
    digest = new_digest()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return str(digest.hexdigest())


def of_tensors(named: Mapping[str, Tensor], start: bytes = b"") -> str:
    """Of tensors by name, bit by bit, on whatever device and in whatever order they are.

    Args:
        start: what else the key depends on.
    """
    import torch  # here, so that what digests files and values does without it

    digest = new_digest(start)
    for name in sorted(named):
        digest.update(name.encode())
        digest.update(named[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return str(digest.hexdigest())
