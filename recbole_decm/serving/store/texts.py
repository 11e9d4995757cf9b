"""Texts of rows one after the other in one buffer: 12 bytes a row beside the texts themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic_core import to_json

_PART = 8_192
"""Rows that are copied at a time."""
_FREE = [bytes([code]) for code in range(1, 32) if code not in b"\t\n\r"]


class Shorthand:
    """One byte for each name of a column in JSON, where the same names stand in every row.

    JSON has no control characters but blanks: it writes them as escapes. So they are free to stand for names, and every
    text comes back as it was.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, bytes] = {}

    def learn(self, names: Iterable[str]) -> None:
        """Shorten some names from now on, while there are bytes for them."""
        new = {to_json(name) + b":" for name in names} - self._names.keys()
        if new:
            free = _FREE[len(self._names) :]
            self._names = self._names | dict(zip(sorted(new), free, strict=False))

    def short(self, text: bytes) -> bytes:
        """As it is kept."""
        for name, code in self._names.items():
            text = text.replace(name, code)
        return text

    def whole(self, text: bytes) -> bytes:
        """As it was."""
        for name, code in self._names.items():
            text = text.replace(code, name)
        return text


class Texts:
    """A text for each row, which can be set again; what was there before is swept out once it is half of all.

    Readers go on while one writer sets rows that no reader looks at.

    Args:
        capacity: rows.
        shorthand: of texts in JSON; None to keep them as they are.
    """

    def __init__(self, capacity: int, shorthand: Shorthand | None = None):
        self.shorthand = shorthand
        self._content = bytearray()
        self._starts, self._lengths = np.zeros(capacity, np.int64), np.zeros(capacity, np.int32)
        self._used = 0

    def __getitem__(self, row: int) -> bytes:
        start = int(self._starts[row])
        kept = bytes(self._content[start : start + int(self._lengths[row])])
        return kept if self.shorthand is None else self.shorthand.whole(kept)

    def of(self, rows: np.ndarray) -> list[bytes]:
        """The texts of some rows."""
        kept = self._kept(rows)
        return kept if self.shorthand is None else [self.shorthand.whole(text) for text in kept]

    def set(self, rows: np.ndarray, texts: Sequence[bytes]) -> None:
        """Set the texts of some rows."""
        self._set(rows, texts if self.shorthand is None else [self.shorthand.short(text) for text in texts])

    def _kept(self, rows: np.ndarray) -> list[bytes]:
        starts, content = self._starts[rows], self._content
        ends = (starts + self._lengths[rows]).tolist()
        return [bytes(content[start:end]) for start, end in zip(starts.tolist(), ends, strict=True)]

    def _set(self, rows: np.ndarray, kept: Sequence[bytes]) -> None:
        lengths = np.fromiter(map(len, kept), np.int32, len(kept))
        ends = len(self._content) + np.cumsum(lengths, dtype=np.int64)
        self._content += b"".join(kept)
        self._used += int(lengths.sum()) - int(self._lengths[rows].sum())
        self._starts[rows], self._lengths[rows] = ends - lengths, lengths

    def swept(self) -> Texts:
        """This, or a copy of what is used where that is less than half of the buffer."""
        if 2 * self._used + 65_536 >= len(self._content):
            return self
        return self.grown(len(self._starts))

    def grown(self, capacity: int) -> Texts:
        """A copy with room for more rows, without what is not used."""
        other, filled = Texts(capacity, self.shorthand), np.flatnonzero(self._lengths)
        for start in range(0, len(filled), _PART):
            rows = filled[start : start + _PART]
            other._set(rows, self._kept(rows))
        return other
