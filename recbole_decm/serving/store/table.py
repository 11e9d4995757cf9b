"""A catalogue's table in memory: vectors, ids, metadata and columns of tracks, changed row by row while others read.

A change never touches what a reader sees. A track that changes gets a new row and its old one dies; a dead row is used
again when every reader that may have seen it alive has gone. What readers see is a :class:`Snapshot`, which one
assignment replaces.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recbole_decm.serving.filters import Filter
from recbole_decm.serving.store.columns import LiveColumn
from recbole_decm.serving.store.keys import Keys
from recbole_decm.serving.store.rows import TEXT, cell
from recbole_decm.serving.store.texts import Shorthand, Texts

_ROOM = 65_536
_MASKS = 32


@dataclass(frozen=True)
class Snapshot:
    """The table at one moment, n rows.

    Attributes:
        vectors: (n, E) float32; alive: (n,) bool, the rows that are tracks; dead: int64, the others.
        ids, metadata: the texts of rows, metadata as JSON.
        columns: of metadata, by name.
        born: (n,) int32, the generations in which rows became what they are.
        masks: filter -> (n,) bool of the filters that were asked of this moment.
    """

    generation: int
    vectors: np.ndarray
    alive: np.ndarray
    dead: np.ndarray
    ids: Texts
    metadata: Texts
    columns: Mapping[str, LiveColumn]
    born: np.ndarray
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Tracks."""
        return len(self.alive) - len(self.dead)

    def _view(self, name: str, column: LiveColumn) -> Any:
        def text_of(row: int) -> str:
            found = cell(json.loads(self.metadata[row] or b"{}").get(name), TEXT)
            return found[0] if found else ""

        return column.view(len(self.alive), text_of)

    def mask(self, where: Filter) -> np.ndarray:
        """(n,) bool, the rows that are tracks and match a filter.

        Raises:
            ConfigError: it does not fit the columns.
        """
        found = self.masks.get(where.text)
        if found is None:
            views = {name: self._view(name, column) for name, column in self.columns.items()}
            found = where.mask(views) & self.alive
            if len(self.masks) < _MASKS:
                self.masks[where.text] = found
        return found


class Table:
    """Rows that one writer at a time changes.

    Args:
        dim: E; room: tracks to make room for. Memory is taken as rows come.
    """

    def __init__(self, dim: int, room: int = 0):
        capacity = room + room // 8 + _ROOM
        self._vectors = np.empty((capacity, dim), np.float32)
        self._born = np.zeros(capacity, np.int32)
        self._keys, self._shorthand = Keys(), Shorthand()
        self._free: deque[tuple[int, int]] = deque()  # (first generation without it, row)
        self._readers: dict[int, int] = {}
        self._gate = threading.Lock()
        nothing = np.zeros(0, np.int64)
        self.now = Snapshot(
            generation=0,
            vectors=self._vectors[:0],
            alive=nothing.astype(bool),
            dead=nothing,
            ids=Texts(capacity),
            metadata=Texts(capacity, self._shorthand),
            columns={},
            born=self._born[:0],
        )

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """The table as it is now; its rows stay as they are until the end of the block."""
        with self._gate:
            now = self.now
            self._readers[now.generation] = self._readers.get(now.generation, 0) + 1
        try:
            yield now
        finally:
            with self._gate:
                left = self._readers[now.generation] - 1
                if left:
                    self._readers[now.generation] = left
                else:
                    del self._readers[now.generation]

    def rows(self, tracks: Sequence[str], now: Snapshot) -> np.ndarray:
        """(n,) int64 rows of some ids, -1 for those of no track.

        Args:
            now: what is being read.
        """
        return np.array([self._row(track, now) for track in tracks], np.int64)

    def _row(self, track: str, now: Snapshot) -> int:
        row = self._keys.get(track, now.ids)
        there = 0 <= row < len(now.alive) and now.alive[row] and now.ids[row] == track.encode()
        return row if there else -1

    def change(
        self,
        ids: Sequence[str],
        metadata: Sequence[str | None],
        vectors: np.ndarray,
        kinds: Mapping[str, str],
    ) -> None:
        """Put tracks and remove others; readers see all of it or nothing.

        Args:
            ids: of n tracks, each once.
            metadata: JSON of each, None to remove it.
            vectors: (n, E), of those to remove anything.
            kinds: column -> ``number`` or ``text``.
        """
        before = self.now
        old = self._keys.rows(ids, before.ids)
        put = np.flatnonzero([text is not None for text in metadata])
        rows = self._places(len(put))
        now = self.now  # with more room, where it was needed
        count = max(len(now.alive), int(rows.max(initial=-1)) + 1)
        alive = np.zeros(count, bool)
        alive[: len(now.alive)] = now.alive
        alive[old[old >= 0]] = False
        alive[rows] = True
        names = [ids[at] for at in put.tolist()]
        texts = [metadata[at] or "" for at in put.tolist()]
        self._vectors[rows], self._born[rows] = vectors[put], now.generation + 1
        now.ids.set(rows, [name.encode() for name in names])
        self._shorthand.learn(kinds)
        now.metadata.set(rows, [text.encode() for text in texts])
        columns = self._columns(now, rows, texts, kinds, alive)
        gone = old[old >= 0]
        after = Snapshot(
            generation=now.generation + 1,
            vectors=self._vectors[:count],
            alive=alive,
            dead=np.flatnonzero(~alive),
            ids=now.ids.swept(),
            metadata=now.metadata.swept(),
            columns=columns,
            born=self._born[:count],
        )
        removed = [track for track, text in zip(ids, metadata, strict=True) if text is None]
        self._keys.change(removed, names, rows, after.ids)
        self._free.extend((after.generation, row) for row in gone.tolist())
        with self._gate:
            self.now = after

    def settle(self) -> None:
        """Put what was needed for the changes of a whole catalogue away."""
        self._keys.settle(self.now.ids)
        with suppress(OSError, AttributeError):  # glibc's heap keeps what reading took; others have no such call
            ctypes.CDLL(None).malloc_trim(0)

    def _columns(
        self, now: Snapshot, rows: np.ndarray, texts: list[str], kinds: Mapping[str, str], alive: np.ndarray
    ) -> dict[str, LiveColumn]:
        records = json.loads(f"[{','.join(texts)}]")
        columns = dict(now.columns)
        for name in kinds.keys() - columns.keys():
            columns[name] = LiveColumn(kinds[name], len(self._vectors))
        for name, column in columns.items():
            values = [record.get(name) for record in records]
            column.set(rows, values, lambda name=name: _values(name, now.metadata, len(alive)))  # type: ignore[misc]
            columns[name] = column.swept(alive)
        return columns

    def _places(self, count: int) -> np.ndarray:
        """``count`` rows that no reader looks at: dead ones, then new ones."""
        with self._gate:
            oldest = min(self._readers, default=self.now.generation)
        rows: list[int] = []
        while len(rows) < count and self._free and self._free[0][0] <= oldest:
            rows.append(self._free.popleft()[1])
        start = len(self.now.alive)
        more = count - len(rows)
        if start + more > len(self._vectors):
            self._grow(start + more)
        return np.concatenate([np.array(rows, np.int64), np.arange(start, start + more)])

    def _grow(self, needed: int) -> None:
        capacity, now = 2 * needed + _ROOM, self.now
        vectors = np.empty((capacity, self._vectors.shape[1]), np.float32)
        vectors[: len(now.alive)] = now.vectors
        self._vectors, self._born = vectors, np.concatenate([now.born, np.zeros(capacity - len(now.born), np.int32)])
        grown = replace(
            now,
            vectors=vectors[: len(now.alive)],
            born=self._born[: len(now.alive)],
            ids=now.ids.grown(capacity),
            metadata=now.metadata.grown(capacity),
            columns={name: column.grown(capacity) for name, column in now.columns.items()},
        )
        with self._gate:
            self.now = grown


def _values(name: str, metadata: Texts, count: int) -> list[Any]:
    """The values of a column in the first rows."""
    return [json.loads(metadata[row] or b"{}").get(name) for row in range(count)]
