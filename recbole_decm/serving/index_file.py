"""Index files: what faiss writes, followed by a JSON header that says which model and catalogue it belongs to.

The header stands at the end, so that the file is one that any faiss program reads; it is there in full or not at all.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from recbole_decm.errors import DataError
from recbole_decm.io.digest import new_digest
from recbole_decm.io.resources import require_disk, require_memory
from recbole_decm.io.write import replacing
from recbole_decm.serving.index import KINDS, IndexOptions, VectorIndex, faiss

_MAGIC = b"recbole-decm-index"
FORMAT_VERSION = 1
_HEADER: dict[str, Any] = {"options": dict, "radius": (int, float), "effort": int, "count": int, "dim": int}
_HEADER |= {"belongs_to": dict}
_BLOCK = 1 << 24


def save_index(index: VectorIndex, path: Path, belongs_to: Mapping[str, str]) -> None:
    """Write an index in one step: a reader sees the old file or the whole new one.

    Args:
        belongs_to: what :func:`load_index` compares, such as digests of the checkpoint and of the catalogue.

    Raises:
        ResourceError: not enough disk; what was there is left as it was.
    """
    require_disk(path, index.options.size(len(index), index.dim), "the index")
    header = {
        "format_version": FORMAT_VERSION,
        "options": asdict(index.options),
        "radius": index.radius,
        "effort": index.effort,
    }
    header |= {"count": len(index), "dim": index.dim, "belongs_to": dict(belongs_to)}
    with replacing(path) as name, name.open("wb") as file:
        faiss().write_index(index.raw, faiss().PyCallbackIOWriter(file.write))  # its own files hide a failing close
        file.flush()
        header["bytes"] = file.tell()
        text = json.dumps(header | {"digest": _digest(name, header)}).encode()
        file.write(text + struct.pack("<Q", len(text)) + _MAGIC)


def _digest(path: Path, header: Mapping[str, Any]) -> str:
    """Of a header, and of the ``bytes`` that stand before it in its file."""
    digest = new_digest(json.dumps({key: header[key] for key in sorted(header.keys() - {"digest"})}).encode())
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, header["bytes"] - file.tell())):
            digest.update(block)
    return str(digest.hexdigest())


def read_index_header(path: Path) -> dict:
    """The header of an index file.

    Raises:
        DataError: missing, cut short, or no index of this package.
    """
    tail = struct.calcsize("<Q") + len(_MAGIC)
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - tail))
            last = file.read()
            if len(last) < tail or not last.endswith(_MAGIC):
                raise DataError(f"{path}: expected an index of recbole-decm, found another or an incomplete file.")
            size = struct.unpack("<Q", last[: -len(_MAGIC)])[0]
            file.seek(max(0, end - tail - size))
            header = _checked(json.loads(file.read(min(size, end))))
    except OSError as error:
        raise DataError(f"{path}: expected an index, but {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected an index of recbole-decm, found a damaged header ({_first_line(error)}). Delete the "
            "file to have it built anew."
        ) from error
    version = header.get("format_version", header.get("version"))  # version 0.1.0 of the package called it so
    if not isinstance(version, int) or not 0 <= version <= FORMAT_VERSION:
        raise DataError(
            f"{path}: expected an index of format {FORMAT_VERSION} or older, found {version!r}. Update recbole-decm, "
            "or delete the file to have it built anew."
        )
    return header


def _checked(header: Any) -> dict:
    """A header whose parts are of their types, or ValueError."""
    if not isinstance(header, dict):
        raise ValueError(f"a {type(header).__name__}")
    for name, kinds in _HEADER.items():
        if not isinstance(header.get(name), kinds):
            raise ValueError(f"{name}: {header.get(name, 'none')!r}")
    if "digest" in header and not isinstance(header.get("bytes"), int):
        raise ValueError(f"bytes: {header.get('bytes', 'none')!r}")
    known = {field.name for field in fields(IndexOptions)}
    wrong = [name for name, value in header["options"].items() if name not in known or isinstance(value, (dict, list))]
    if wrong or header["options"].get("kind") not in KINDS:
        raise ValueError(f"options: {(wrong or ['kind'])[0]}")
    return header


def load_index(path: Path, belongs_to: Mapping[str, str], count: int, dim: int) -> VectorIndex:
    """Read an index that belongs to a model and a catalogue.

    Args:
        belongs_to: as given to :func:`save_index`.
        count, dim: M and D of the catalogue's vectors.

    Raises:
        DataError: the file is no whole index, or one of something else; the message says of what.
        ResourceError: not enough memory.
    """
    header = read_index_header(path)
    expected = {**belongs_to, "count": count, "dim": dim}
    found = {**header["belongs_to"], "count": header["count"], "dim": header["dim"]}
    for key, value in expected.items():
        if found.get(key) != value:
            raise DataError(
                f"{path}: expected an index whose {key} is {value}, found {found.get(key)}. "
                "Delete the file to have it built anew, or name another."
            )
    options = IndexOptions(**header["options"])
    require_memory(options.size(count, dim), f"{path}", "Use --index=exact, or a machine with more.")
    if "digest" in header and header["digest"] != _digest(path, header):  # earlier versions wrote none
        raise DataError(f"{path}: expected a whole index, found a damaged one. Delete the file to have it built anew.")
    try:
        raw = faiss().read_index(str(path))
    except RuntimeError as error:
        raise DataError(f"{path}: expected a whole index, but {_first_line(error)}.") from error
    return VectorIndex(options, raw, header["radius"], header["effort"])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200].rstrip(".")
