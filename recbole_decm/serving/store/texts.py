"""Texts of rows one after the other in one buffer: 12 bytes a row beside the texts themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PART = 8_192
"""Rows that are copied at a time."""


class Texts:
    """A text for each row, which can be set again; what was there before is swept out once it is half of all.

    Readers go on while one writer sets rows that no reader looks at.
    """

    def __init__(self, capacity: int):
        self._content = bytearray()
        self._starts, self._lengths = np.zeros(capacity, np.int64), np.zeros(capacity, np.int32)
        self._used = 0

    def __getitem__(self, row: int) -> bytes:
        start = int(self._starts[row])
        return bytes(self._content[start : start + int(self._lengths[row])])

    def of(self, rows: np.ndarray) -> list[bytes]:
        """The texts of some rows."""
        starts, content = self._starts[rows], self._content
        ends = (starts + self._lengths[rows]).tolist()
        return [bytes(content[start:end]) for start, end in zip(starts.tolist(), ends, strict=True)]

    def set(self, rows: np.ndarray, texts: Sequence[bytes]) -> None:
        """Set the texts of some rows."""
        lengths = np.fromiter(map(len, texts), np.int32, len(texts))
        ends = len(self._content) + np.cumsum(lengths, dtype=np.int64)
        self._content += b"".join(texts)
        self._used += int(lengths.sum()) - int(self._lengths[rows].sum())
        self._starts[rows], self._lengths[rows] = ends - lengths, lengths

    def swept(self) -> Texts:
        """This, or a copy of what is used where that is less than half of the buffer."""
        if 2 * self._used + 65_536 >= len(self._content):
            return self
        return self.grown(len(self._starts))

    def grown(self, capacity: int) -> Texts:
        """A copy with room for more rows, without what is not used."""
        other, filled = Texts(capacity), np.flatnonzero(self._lengths)
        for start in range(0, len(filled), _PART):
            rows = filled[start : start + _PART]
            other.set(rows, self.of(rows))
        return other
