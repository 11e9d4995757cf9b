"""Rows of a ``.npy`` file that are read when they are asked for, so that the file takes no memory of the process.

A memory map is faster where all of it may stay (half the time for random rows), but what stays cannot be bounded: a
system with large pages maps a megabyte around each row that is touched.
"""

from __future__ import annotations

import os
from itertools import repeat
from pathlib import Path

import numpy as np
import torch

from recbole_decm.errors import DataError

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

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Some rows in any order, (B,) int64 -> (B, F) of the file's type.

        Raises:
            DataError: the file was cut or cannot be read any more.
        """
        block = np.empty((len(rows), self.shape[1]), self.dtype)
        if not len(rows):  # a process's share of a batch can be empty
            return torch.from_numpy(block)
        bytes_of, size = block.data.cast("B"), self._row_bytes
        places = [[bytes_of[at : at + size]] for at in range(0, block.nbytes, size)]
        self._read(places, (self._start + rows.numpy() * size).tolist(), block.nbytes)
        return torch.from_numpy(block)

    def _read(self, places: list[list[memoryview]], offsets: list[int], expected: int) -> None:
        try:
            found = sum(map(os.preadv, repeat(self._file.fileno()), places, offsets))
        except OSError as error:
            raise DataError(f"{self.path}: expected to read its rows, but {error.strerror or error}.") from error
        if found != expected:
            raise DataError(f"{self.path}: expected {expected} bytes where rows are, found {found}: the file was cut.")
