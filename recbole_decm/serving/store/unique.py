"""Texts of which there are about as many as rows, titles and addresses: 16 bytes a row, the texts stand elsewhere."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recbole_decm.serving.filters import Match

_START = 8
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    **{"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
}


class Unique:
    """One text a row, or none, as a hash of 64 bits under the process's secret key, and its first bytes.

    Equal texts are told by their hashes: of a million texts, two share one with a chance of 3e-8. Which of two texts
    comes first is told by their first 8 bytes, and by the texts themselves where these are the same.

    Args:
        capacity: rows that there is room for.
    """

    def __init__(self, capacity: int):
        self.hashes, self.starts = np.zeros(capacity, np.int64), np.zeros(capacity, np.uint64)

    def set(self, rows: np.ndarray, texts: Sequence[str | None]) -> None:
        """Set the texts of some rows."""
        self.hashes[rows] = np.fromiter((0 if text is None else _hash(text) for text in texts), np.int64, len(texts))
        self.starts[rows] = _starts([text or "" for text in texts])

    def grown(self, capacity: int) -> Unique:
        """A copy with room for more rows."""
        other = Unique(capacity)
        other.hashes[: len(self.hashes)], other.starts[: len(self.starts)] = self.hashes, self.starts
        return other

    def where(self, count: int, text_of: Callable[[int], str], sign: str, wanted: Sequence[str]) -> Match:
        """Which of the first ``count`` rows match, in Unicode's order.

        Args:
            text_of: the text of a row.
        """
        hashes, starts = self.hashes[:count], self.starts[:count]
        known = hashes != 0
        if sign in ("=", "!="):
            equal = np.isin(hashes, np.array([_hash(text) for text in wanted], np.int64))
            yes = equal if sign == "=" else known & ~equal
            return Match(yes, known & ~yes)
        (start,), compare = _starts(wanted[:1]), _COMPARE[sign]
        yes = compare(starts, start) & known & (starts != start)
        for row in np.flatnonzero((starts == start) & known).tolist():
            yes[row] = compare(text_of(row), wanted[0])
        return Match(yes, known & ~yes)


def _hash(text: str) -> int:
    return hash(text) or 1


def _starts(texts: Sequence[str]) -> np.ndarray:
    """(n,) uint64, the first bytes of texts, in the order of which stand texts of which these differ."""
    return np.array([text.encode()[:_START] for text in texts], f"S{_START}").view(">u8").astype(np.uint64)
