"""The rows of ids: 12 bytes an id, where a dictionary takes more than a hundred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_decm.serving.store.texts import Texts

_RECENT = 4_096


class Keys:
    """id -> row. The ids themselves stand with the rows; here are their hashes, sorted, and what has changed since.

    One writer; readers may be a change behind, and compare the id that stands at the row.
    """

    def __init__(self) -> None:
        self._sorted: tuple[np.ndarray, np.ndarray, dict[str, int]] = (np.zeros(0, np.int64), np.zeros(0, np.int32), {})

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
        at = int(hashes.searchsorted(wanted))
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
        near = np.array([track in recent for track in tracks], bool)
        if len(hashes):
            wanted = np.fromiter(map(hash, tracks), np.int64, len(tracks))
            near |= hashes[np.minimum(hashes.searchsorted(wanted), len(hashes) - 1)] == wanted
        for place in np.flatnonzero(near).tolist():
            found[place] = self.get(tracks[place], ids)
        return found

    def change(self, gone: Sequence[str], names: Sequence[str], rows: np.ndarray, ids: Texts) -> None:
        """Forget some ids, and set the rows of others; their ids stand there already."""
        recent = self._sorted[2]
        recent.update(dict.fromkeys(gone, -1))
        recent.update(zip(names, rows.tolist(), strict=True))
        if len(recent) > _RECENT + len(self._sorted[0]) // 32:
            self.settle(ids)

    def settle(self, ids: Texts) -> None:
        """Sort what has changed among the rest, as after a catalogue was read."""
        hashes, rows, recent = self._sorted
        changed = np.fromiter(map(hash, recent), np.int64, len(recent))
        places = np.fromiter(recent.values(), np.int32, len(recent))
        kept = np.ones(len(hashes), bool)
        first, last = (hashes.searchsorted(changed, side) for side in ("left", "right"))
        for at in np.flatnonzero(first < last).tolist():  # what has changed, or shares a hash with it
            for place in range(first[at], last[at]):
                kept[place] = ids[int(rows[place])].decode() not in recent
        new = np.flatnonzero(places >= 0)
        new = new[changed[new].argsort()]
        hashes, rows = np.concatenate([hashes[kept], changed[new]]), np.concatenate([rows[kept], places[new]])
        order = hashes.argsort(kind="stable")  # two runs, which are merged
        self._sorted = (hashes[order], rows[order], {})
