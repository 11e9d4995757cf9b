"""Cells of object arrays as numbers, with the row named where a cell is none."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from recbole_decm.errors import DataError

# Text does not count as a number, even where it looks like one; numpy would drop the imaginary part of a complex one.
_NO_NUMBERS = (str, bytes, complex, np.complexfloating)


def numbers(values: np.ndarray) -> np.ndarray | None:
    """An array of numbers, or of objects that are numbers, as float64 of the same shape; None where one is not."""
    if values.dtype.kind == "O" and any(isinstance(value, _NO_NUMBERS) for value in values.reshape(-1)):
        return None
    try:
        return values.astype(np.float64) if values.dtype.kind in "iufO" else None
    except (TypeError, ValueError, OverflowError):
        return None


def whole_numbers(path: Path, values: np.ndarray, what: str) -> np.ndarray:
    """A column of ids, (n,) numbers or objects, as int64; ids of this layout lie far below 2^53.

    Raises:
        DataError: a cell is no whole number; names ``path``, the row and ``what`` the column holds.
    """
    exact = numbers(values)
    if exact is None or exact.shape != values.shape:  # slow, but only to name the row
        cells = [numbers(np.array(value, dtype=object)) for value in values]
        exact = np.array([cell if cell is not None and cell.shape == () else np.nan for cell in cells])
    bad = np.flatnonzero(~((exact == np.floor(exact)) & (np.abs(exact) < 2**53)))
    if bad.size:
        found = np.asarray(values, dtype=object)[bad[0]]
        raise DataError(f"{path}, row {bad[0]}: expected a whole number for {what}, found {short(found)}.")
    return exact.astype(np.int64)


def short(value: object) -> str:
    """A value as text for a message."""
    return textwrap.shorten(repr(value), 60)
