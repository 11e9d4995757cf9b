"""The files of an artefact, looked at before they are read: in the folder, of the right size, and what was written."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.io.digest import of_files

_HEADER = 4096
"""Bytes that the header of a ``.npy`` file may take; those that are written take 128."""


def regular(folder: Path, name: str) -> Path:
    """The path of a file in a folder.

    Raises:
        DataError: none, none that can be read, no plain file (reading a pipe or a device may never end), or a link that
            leaves the folder.
    """
    path = folder / name
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:200]
        raise DataError(f"{path}: expected a file of the artefact, but {reason}.") from error
    if not inside:
        raise DataError(f"{path}: expected a file in the artefact's folder, found a link that leaves it.")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: expected a plain file, found a folder, a pipe or a device.")
    return path


def require_size(path: Path, most: int) -> None:
    """Refuse a large file before it is read.

    Raises:
        DataError: it has more bytes than ``most``.
    """
    if (size := path.stat().st_size) > most:
        raise DataError(f"{path}: expected at most {most:,} bytes, found {size:,}.")


def require_whole(path: Path, digest: str) -> None:
    """Compare a file with its digest.

    Raises:
        DataError: it is another one, or cannot be read.
    """
    try:
        found = of_files([path])
    except OSError as error:
        raise DataError(f"{path}: expected a file of the artefact, but {error.strerror}.") from error
    if found != digest:
        raise DataError(f"{path}: expected what was written, found other bytes: damaged, or of another artefact.")


def require_matrix(path: Path, shape: tuple[int, int]) -> None:
    """Compare the size of a ``.npy`` file with that of its matrix, before anything of it is read.

    Raises:
        DataError: the sizes differ.
    """
    bytes_of = 4 * shape[0] * shape[1]
    if not bytes_of < (size := path.stat().st_size) <= bytes_of + _HEADER:
        raise DataError(f"{path}: expected a header and {bytes_of:,} bytes of the shape {shape}, found {size:,} bytes.")


def mapped(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A float32 matrix of this shape, memory-mapped.

    Raises:
        DataError: another shape or type, or no matrix.
    """
    from recbole_decm.io.npy import open_matrix

    values = open_matrix(path, "vectors")
    if values.shape != shape or values.dtype != np.float32:
        raise DataError(f"{path}: expected float32 of the shape {shape}, found {values.dtype} of {values.shape}.")
    return values


def read_at_most(path: Path, most: int) -> bytes:
    """The content of a plain file.

    Raises:
        DataError: it is larger.
        OSError: it cannot be read.
    """
    require_size(path, most)
    with path.open("rb") as file:
        return file.read(most)
