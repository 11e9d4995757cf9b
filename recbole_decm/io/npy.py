"""Matrices in ``.npy`` files: opened without running code, checked, and read row by row where they are large.

Rows are read when they are asked for, so that the file takes no memory of the process.

A memory map is faster where all of it may stay (half the time for random rows), but what stays cannot be bounded: a
system with large pages maps a megabyte around each row that is touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np

from recbole_decm.errors import DataError

_CHECK_ROWS = 16_384
_LARGEST = float(np.finfo(np.float32).max)
LARGEST_MAP = 512 * 2**20
"""Bytes up to which ``feature_residency: auto`` maps a file; the rows of a larger one are read from it."""


class FileRows:
    """Rows of an array in a file.

    Args:
        path: the ``.npy`` file.
        mapped: the same file as ``numpy.load(path, mmap_mode=...)`` gives it; its rows lie one after the other.
    """

    def __init__(self, path: Path, mapped: np.memmap):
        self.path, self.dtype, self.shape = path, mapped.dtype, mapped.shape
        self._file = path.open("rb", buffering=0)
        self._start = mapped.offset
        self._row_bytes = mapped.dtype.itemsize * mapped.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Rows ``start:stop`` as one read."""
        start, stop, _ = rows.indices(len(self))
        block = np.empty((stop - start, self.shape[1]), self.dtype)
        self._read([[block.data.cast("B")]], [self._start + start * self._row_bytes], block.nbytes)
        return block

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some rows in any order, (B,) int64 -> (B, F) of the file's type.

        Raises:
            DataError: the file was cut or cannot be read any more.
        """
        block = np.empty((len(rows), self.shape[1]), self.dtype)
        if not len(rows):  # a process's share of a batch can be empty
            return block
        bytes_of, size = block.data.cast("B"), self._row_bytes
        places = [[bytes_of[at : at + size]] for at in range(0, block.nbytes, size)]
        self._read(places, (self._start + rows * size).tolist(), block.nbytes)
        return block

    def _read(self, places: list[list[memoryview]], offsets: list[int], expected: int) -> None:
        try:
            found = sum(map(os.preadv, repeat(self._file.fileno()), places, offsets))
        except OSError as error:
            raise DataError(f"{self.path}: expected to read its rows, but {error.strerror or error}.") from error
        if found != expected:
            raise DataError(f"{self.path}: expected {expected} bytes where rows are, found {found}: the file was cut.")


def open_matrix(path: Path, what: str, advice: str = "", mode: Literal["r", "c"] = "r") -> np.ndarray:
    """Memory-map a ``.npy`` file of a (R, F) matrix of float16, float32 or float64.

    Args:
        what: the values, for messages, such as ``visual features``.
        advice: what to do about a file that holds Python objects, which can carry code and is not read.
        mode: of :func:`numpy.load`.

    Raises:
        DataError: missing, truncated or no ``.npy``; objects; another shape, type or byte order; no columns.
    """
    try:
        values = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a .npy file of {what}, found none.") from error
    except Exception as error:  # a damaged header raises nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "allow_pickle" in reason:
            reason = "it is no .npy file, or one of Python objects"
        told = f"{path}: expected a .npy file of plain numbers, but {reason.rstrip('.')}. {advice}"
        raise DataError(told.strip()) from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        found = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(f"{path}: expected a 2-D matrix of floats, found {found}.")
    if not values.dtype.isnative or values.dtype.itemsize > 8:
        raise DataError(
            f"{path}: expected float16, float32 or float64 in this machine's byte order, found {values.dtype.str}. "
            "Write the matrix again with numpy.save(path, matrix.astype('float32'))."
        )
    if not values.shape[1]:
        raise DataError(f"{path}: expected at least one column of {what}, found the shape {values.shape}.")
    return values


def check_finite(
    values: np.ndarray | FileRows, name: str, where: str, on_rows: Callable[[int], object] = lambda rows: None
) -> None:
    """Raise :class:`DataError` at the first row of (R, F) ``values`` that holds NaN or infinity; reads in blocks and
    tells ``on_rows`` the number of rows of each."""
    for start in range(0, len(values), _CHECK_ROWS):
        block = np.asarray(values[start : start + _CHECK_ROWS])
        # A sum is finite only if every summand is (or on overflow, which the second look settles).
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(block.sum(axis=1, dtype=np.float64)))
        for row in suspects:
            if not np.isfinite(block[row]).all():
                raise DataError(
                    f"{where}, row {start + row}: expected finite numbers in '{name}', found NaN or infinity."
                )
        if block.dtype.itemsize > 4 and block.size and np.abs(block).max() > _LARGEST:
            largest = int(np.abs(block).max(axis=1).argmax())
            raise DataError(
                f"{where}, row {start + largest}: expected numbers that float32 holds in '{name}', found "
                f"{np.abs(block[largest]).max():.3g}."
            )
        on_rows(len(block))


def missing_rows(values: np.ndarray | FileRows, name: str, where: str) -> np.ndarray:
    """Which rows of (R, F) ``values`` hold nothing but NaN: a field that is missing there. Reads in blocks.

    Returns:
        (R,) bool.

    Raises:
        DataError: the first row that holds an infinity, or NaN beside numbers.
    """
    missing = np.zeros(len(values), dtype=bool)
    for start in range(0, len(values), _CHECK_ROWS):
        block = np.asarray(values[start : start + _CHECK_ROWS])
        empty = np.isnan(block).all(axis=1)
        missing[start : start + len(block)] = empty
        bad = np.flatnonzero(~empty & ~np.isfinite(block).all(axis=1))
        if bad.size:
            raise DataError(
                f"{where}, row {start + bad[0]}: expected finite numbers in '{name}', or a row of NaN alone where the "
                "field is missing, found NaN or infinity beside numbers."
            )
    return missing


def write_blocks(
    path: Path,
    blocks: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> None:
    """Write (R, F) a block of rows after the other, to a file that is not mapped: its pages would count as memory of
    this process. ``on_rows`` is told the number of rows of each.
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).data)
            on_rows(len(block))
