"""The rows of ids: 16 bytes an id, where a dictionary takes more than a hundred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_decm.serving.store.texts import Texts

_RECENT = 8_192


class Keys:
    """id -> row. The ids themselves stand with the rows; here are their hashes, sorted, and what has changed since.

    One writer; readers may be a change behind, and compare the id that stands at the row.
    """

    def __init__(self, capacity: int):
        self._hashes = np.zeros(capacity, np.int64)
        empty = np.zeros(0, np.int64)
        self._sorted: tuple[np.ndarray, np.ndarray, dict[str, int]] = (empty, empty, {})

    def get(self, track: str, ids: Texts) -> int:
        """The row of an id, -1 where it has none.

        Args:
            ids: of the rows.
        """
        hashes, rows, recent = self._sorted
        row = recent.get(track)
        if row is not None:
            return row
        wanted, content = hash(track), track.encode()
        at = int(np.searchsorted(hashes, wanted))
        while at < len(hashes) and hashes[at] == wanted:
            if ids[int(rows[at])] == content:
                return int(rows[at])
            at += 1
        return -1

    def rows(self, tracks: Sequence[str], ids: Texts) -> np.ndarray:
        """(n,) int64, the rows of some ids, -1 for those that have none."""
        hashes, _, recent = self._sorted
        if len(tracks) < 16:
            return np.array([self.get(track, ids) for track in tracks], np.int64)
        found = np.full(len(tracks), -1, np.int64)
        wanted = np.fromiter(map(hash, tracks), np.int64, len(tracks))
        at = np.searchsorted(hashes, wanted)
        near = np.flatnonzero(hashes[np.minimum(at, len(hashes) - 1)] == wanted) if len(hashes) else at[:0]
        if recent:
            new = np.flatnonzero([track in recent for track in tracks])
            near = np.union1d(near, new)
        for place in near.tolist():
            found[place] = self.get(tracks[place], ids)
        return found

    def set(self, rows: np.ndarray, names: Sequence[str], alive: np.ndarray) -> None:
        """Set the rows of some ids.

        Args:
            alive: (n,) bool, which of the first n rows have an id, these included.
        """
        self._hashes[rows] = np.fromiter(map(hash, names), np.int64, len(names))
        if len(names) + len(self._sorted[2]) > _RECENT + len(self._sorted[0]) // 4:
            filled = np.flatnonzero(alive)
            order = np.argsort(self._hashes[filled], kind="stable")
            self._sorted = (self._hashes[filled[order]], filled[order], {})
        else:
            self._sorted[2].update(zip(names, rows.tolist(), strict=True))

    def remove(self, names: Sequence[str]) -> None:
        """Forget some ids."""
        self._sorted[2].update(dict.fromkeys(names, -1))

    def grow(self, capacity: int) -> None:
        """Make room for more rows."""
        self._hashes = np.concatenate([self._hashes, np.zeros(capacity - len(self._hashes), np.int64)])
