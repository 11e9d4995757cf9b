"""An index over a table that changes, for catalogues too large to be compared track by track.

It is built in the background over the rows of one moment. Rows that came later are compared one by one, those that died
are left out, and where a filter lets too few of what it finds pass, all tracks that match are compared after all. How
far it must look is measured on queries that were asked, against exact search; without enough of them, or where it does
not reach the recall that is wanted, search stays exact.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger

import numpy as np

from recbole_decm.serving.best import best
from recbole_decm.serving.index import IndexOptions, VectorIndex, build_index, calibrate
from recbole_decm.serving.store.scan import Hits, Want, hits_of, search
from recbole_decm.serving.store.table import Snapshot, Table

QUERIES = 64
"""Queries that must have been asked before an index is built."""
_K, _BLOCK = 50, 65_536
_FURTHEST = 2_000
"""Tracks that an index is asked for at most; beyond it exact search takes no longer."""
_STALE = 0.1
"""The share of rows that came later at which an index is built anew."""


@dataclass(frozen=True)
class _Built:
    index: VectorIndex
    generation: int

    def later(self, now: Snapshot) -> np.ndarray:
        """Tracks that are not in it, int64 rows."""
        return np.flatnonzero((now.born > self.generation) & now.alive)


class Nearby:
    """Search with an index where there is one, and exactly where not.

    Args:
        recall: share of the exact top k that is found, to be reached on queries that were asked.
        least: tracks from which on an index is worth it.

    Attributes:
        reached: what the index that answers reached; None while search is exact.
    """

    def __init__(self, table: Table, options: IndexOptions, recall: float = 0.95, least: int = 200_000):
        self._table, self._options, self._recall, self._least = table, options, recall, least
        self._asked: deque[np.ndarray] = deque(maxlen=QUERIES)
        self._built: _Built | None = None
        self._tried = -1
        self._worker: threading.Thread | None = None
        self.reached: float | None = None

    def search(self, now: Snapshot, queries: np.ndarray, wants: Sequence[Want]) -> list[Hits]:
        """As of :func:`~recbole_decm.serving.store.scan.search`, but for what an index misses."""
        self._asked.append(queries[-1].copy())
        built = self._built
        if built is None or now.generation < built.generation:
            return search(now, queries, wants)
        found = self._near(built, now, queries, wants)
        left = [at for at, hits in enumerate(found) if hits is None]
        if left:
            for at, hits in zip(left, search(now, queries[left], [wants[at] for at in left]), strict=True):
                found[at] = hits
        return [hits for hits in found if hits is not None]

    def _near(self, built: _Built, now: Snapshot, queries: np.ndarray, wants: Sequence[Want]) -> list[Hits | None]:
        """Lists of those queries whose lists the index can fill."""
        masks = [now.alive if want.where is None else now.mask(want.where) for want in wants]
        shares = [mask.mean() if want.where else 1.0 for mask, want in zip(masks, wants, strict=True)]
        needed = [want.k + len(want.exclude) for want in wants]
        asked = [int(2 * count / max(share, 1e-9)) for count, share in zip(needed, shares, strict=True)]
        near = [at for at, count in enumerate(asked) if count <= _FURTHEST]
        found: list[Hits | None] = [None] * len(wants)
        if not near:
            return found
        _, rows = built.index.search(queries[near], max(asked[at] for at in near))
        later = built.later(now)
        for at, own in zip(near, rows, strict=True):
            own = own[own >= 0]
            own = own[masks[at][own] & (now.born[own] <= built.generation)]
            if len(own) >= needed[at]:
                chosen = np.sort(np.concatenate([own, later[masks[at][later]]]))
                found[at] = hits_of(now, now.vectors[chosen] @ queries[at], wants[at], chosen)
        return found

    def look(self) -> None:
        """Have an index built in the background where one is due."""
        now, built = self._table.now, self._built
        if self._worker is not None and self._worker.is_alive():
            return
        if now.size < self._least or len(self._asked) < QUERIES or now.generation == self._tried:
            return
        since = self._tried if built is None else built.generation
        if since >= 0 and int((now.born > since).sum()) < _STALE * now.size:
            return
        self._worker = threading.Thread(target=self._build, name="build an index", daemon=True)
        self._worker.start()

    def _build(self) -> None:
        try:
            self.build()
        except Exception as error:
            getLogger().warning(f"index: search stays exact, since {' '.join(str(error).split())}")

    def build(self) -> None:
        """Build an index over the tracks of now, and let it answer where it finds enough.

        Raises:
            ConfigError: faiss is not installed.
            ResourceError: not enough memory.
        """
        with self._table.reading() as now:
            self._tried, count = now.generation, len(now.vectors)
            blocks = [now.vectors[start : start + _BLOCK] for start in range(0, count, _BLOCK)]
            index = build_index(blocks, count, now.vectors.shape[1], self._options)
            asked = np.stack(list(self._asked))
            exact = np.stack([best(now.vectors @ query, _K) for query in asked])  # dead rows, too, as the index has
            reached = calibrate(index, asked, exact, self._recall)
        if reached >= self._recall:
            self._built, self.reached = _Built(index, now.generation), reached
        else:
            self._built = self.reached = None
            getLogger().warning(f"index: search stays exact, since recall is {reached:.3f} below {self._recall:g}")
