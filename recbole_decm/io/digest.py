"""Digests: short keys that tell one value, file or folder from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def of_content(name: str, content: bytes) -> str:
    """As :func:`of_files` of one file."""
    return str(new_digest(f"{name}\0".encode() + content).hexdigest())


def of_files(paths: Iterable[Path]) -> str:
    """Of files, by name and content, in the order given."""
    digest = new_digest()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return str(digest.hexdigest())
