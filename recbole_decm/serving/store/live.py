"""The catalogue that answers: a store's active version in memory, which follows every change of the store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_decm.errors import ConfigError, StoreUnavailable
from recbole_decm.serving.filters import Filter
from recbole_decm.serving.index import IndexOptions
from recbole_decm.serving.store.contract import Changes, Store, Track, Written
from recbole_decm.serving.store.encoding import completed, encoded
from recbole_decm.serving.store.nearby import Nearby
from recbole_decm.serving.store.rows import Rows, checked_ids, new_kinds
from recbole_decm.serving.store.scan import Hits, Want, search
from recbole_decm.serving.store.table import Table
from recbole_decm.serving.store.versions import open_version

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact, Tracks

POLL = 0.2
"""Seconds between two looks at what others have changed."""
_LONGEST_WAIT = 30.0
_FEW, _PATIENCE = 20, 2.0
"""Tracks up to which their ranks are counted and not sorted for; seconds that an end waits for a look at the store."""


@dataclass(frozen=True)
class View:
    """A version and its tracks: what encodes a query and what it is compared with belong together.

    Changes go on to be seen, until another version takes over; then a view stays as it was.
    """

    version: str
    artefact: Artefact
    table: Table
    nearby: Nearby | None = None

    @property
    def size(self) -> int:
        """Tracks."""
        return self.table.now.size

    def search(
        self,
        queries: np.ndarray,
        k: int,
        where: Filter | str | None = None,
        exclude: Collection[str] = (),
    ) -> list[Hits]:
        """The k best tracks for each of (B, E) queries that match a filter, without some; fewer where no more match.

        Raises:
            ConfigError: the filter is not of the grammar or does not fit the columns.
        """
        chosen = Filter.parse(where) if isinstance(where, str) else where
        return self.search_each(queries, [Want(k, chosen, exclude)] * len(queries))

    def search_each(self, queries: np.ndarray, wants: Sequence[Want]) -> list[Hits]:
        """The same where each query wants something else, as one product of matrices.

        Raises:
            ConfigError: a filter does not fit the columns; :meth:`check` tells before.
        """
        with self.table.reading() as now:
            search_here = search if self.nearby is None else self.nearby.search
            return search_here(now, np.ascontiguousarray(queries, np.float32), wants)

    def check(self, where: Filter) -> None:
        """Raise ConfigError unless a filter fits the columns."""
        with self.table.reading() as now:
            now.mask(where)

    def vectors_of(self, ids: Sequence[str]) -> np.ndarray:
        """(n, E) vectors of tracks, NaN for ids of none."""
        with self.table.reading() as now:
            rows = self.table.rows(ids, now)
            found = now.vectors[rows] if now.size else np.empty((len(ids), now.vectors.shape[1]), np.float32)
            found[rows < 0] = np.nan
            return found

    def metadata_of(self, ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Metadata of tracks, None for ids of none."""
        with self.table.reading() as now:
            rows = self.table.rows(ids, now).tolist()
            return [json.loads(now.metadata[row]) if row >= 0 else None for row in rows]

    def ranks(
        self,
        queries: np.ndarray,
        ids: Sequence[str],
        where: Filter | str | None = None,
        exclude: Collection[str] = (),
    ) -> np.ndarray:
        """(B, n) int64, the ranks from 1 that tracks have for other queries; 0 for those that no list could hold."""
        chosen = Filter.parse(where) if isinstance(where, str) else where
        with self.table.reading() as now:
            allowed = now.alive.copy() if chosen is None else now.mask(chosen).copy()
            left_out = self.table.rows(list(exclude), now)
            allowed[left_out[left_out >= 0]] = False
            rows = self.table.rows(ids, now)
            found = np.zeros((len(queries), len(ids)), np.int64)
            for at, query in enumerate(np.asarray(queries, np.float32)):
                scores = now.vectors @ query
                scores[~allowed] = -np.inf
                own = scores[rows]
                if len(own) <= _FEW:  # to count takes less than to sort
                    above = np.array([np.count_nonzero(scores > value) for value in own], np.int64)
                    alike = np.array([np.count_nonzero(scores == value) for value in own], np.int64)
                else:
                    order = np.sort(scores)
                    above = len(order) - np.searchsorted(order, own, side="right")
                    alike = len(order) - np.searchsorted(order, own) - above
                for place in np.flatnonzero(alike > 1):  # of equal ones the first row wins
                    above[place] += np.count_nonzero(scores[: rows[place]] == own[place])
                found[at] = np.where((rows >= 0) & allowed[rows], above + 1, 0)
            return found


class Live:
    """A store's active version in memory. Several threads may use it.

    What :meth:`put` and :meth:`delete` return from is durable and in every later answer; what others change in the
    store is seen after :data:`POLL` seconds. While the store is away, searches go on over what is known.

    Args:
        store: which this closes.
        opener: opens a version of a store.
        poll: seconds between two looks at the store.
        index: search large catalogues with an index (:class:`~recbole_decm.serving.store.nearby.Nearby`); None for
            exact search.

    Raises:
        ConfigError: nothing was published.
        StoreUnavailable: the store is away.
    """

    def __init__(
        self,
        store: Store,
        opener: Callable[[Store, str], Artefact] = open_version,
        poll: float = POLL,
        index: IndexOptions | None = None,
    ):
        self.store, self._opener, self._index = store, opener, index
        self._changing, self._switching = threading.RLock(), threading.Lock()
        version = store.active()
        if version is None:
            raise ConfigError("store: expected a published artefact, found none. Run recbole-decm publish first.")
        self._view, self._seen = self._load(version)
        self.reached = time.monotonic()
        """When the store was last reached, by the monotonic clock."""
        self.trouble: str | None = None
        """Why the store could not be followed at the last look; None where it was."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(poll,), name="follow the store", daemon=True)
        self._thread.start()

    # --- reading ----------------------------------------------------------------------------------------------------
    def view(self) -> View:
        """The version that answers now, with its tracks; take one for each request."""
        return self._view

    @property
    def artefact(self) -> Artefact:
        return self._view.artefact

    @property
    def version(self) -> str:
        return self._view.version

    @property
    def size(self) -> int:
        """Tracks."""
        return self._view.size

    @property
    def seq(self) -> int:
        """The number of the last change that answers see."""
        return self._seen

    def search(
        self, queries: np.ndarray, k: int, where: Filter | str | None = None, exclude: Collection[str] = ()
    ) -> list[Hits]:
        """As of :meth:`View.search`, of the version that answers now."""
        return self._view.search(queries, k, where, exclude)

    def vectors_of(self, ids: Sequence[str]) -> np.ndarray:
        """As of :meth:`View.vectors_of`."""
        return self._view.vectors_of(ids)

    def metadata_of(self, ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """As of :meth:`View.metadata_of`."""
        return self._view.metadata_of(ids)

    def get(self, track: str) -> Track | None:
        """A track with its features, from the store."""
        return self.store.get(track)

    # --- changing ---------------------------------------------------------------------------------------------------
    def put(self, tracks: Tracks) -> Written:
        """Add or replace tracks, all or none.

        Raises:
            DataError: the artefact cannot encode them, or they cannot be kept.
            StoreUnavailable: the store is away, and nothing was acknowledged.
        """
        rows = Rows.of(tracks)
        with self._changing:
            view = self._view
            vectors = encoded(view.artefact, tracks.features, rows.records)
            known = {name: column.kind for name, column in view.table.now.columns.items()}
            kinds = new_kinds(rows.ids, rows.records, known)
            written = self.store.put(tracks, (view.version, vectors))
            self._see(written, rows.ids, rows.metadata, vectors, kinds)
            return written

    def delete(self, ids: Iterable[str]) -> Written:
        """Remove tracks; ids of no track count nothing.

        Raises:
            StoreUnavailable: the store is away, and nothing was acknowledged.
        """
        gone = list(dict.fromkeys(checked_ids(ids)))
        with self._changing:
            written = self.store.delete(gone)
            nothing = np.empty((len(gone), self._view.table.now.vectors.shape[1]), np.float32)
            self._see(written, gone, [None] * len(gone), nothing, {})
            return written

    def _see(
        self,
        written: Written,
        ids: list[str],
        metadata: Sequence[str | None],
        vectors: np.ndarray,
        kinds: dict[str, str],
    ) -> None:
        """Show a change of our own, after those of others that came before it."""
        alone = written.seq == self._seen + written.rows
        if not alone:
            try:
                self._catch_up()
                return
            except StoreUnavailable:  # the change is kept all the same; others' come once the store is back
                pass
        self._view.table.change(ids, metadata, vectors, kinds)
        if alone:
            self._seen = written.seq

    def switch(self, version: str) -> None:
        """Let another version answer, here when this returns and in other processes soon after.

        Its vectors are computed while the old one answers; what changes meanwhile is replayed before it takes over. To
        go back is to switch to the earlier version. Nothing changes where this raises.

        Raises:
            ConfigError: no such version.
            DataError: it cannot encode the tracks.
        """
        with self._switching:
            view, seen = self._load(version)
            with self._changing:
                seen = self._apply(view, seen)
                self.store.activate(version)
                self._view, self._seen = view, seen

    # --- following --------------------------------------------------------------------------------------------------
    def _load(self, version: str) -> tuple[View, int]:
        artefact = self._opener(self.store, version)
        table = Table(artefact.dim, self.store.count())
        view = View(version, artefact, table, None if self._index is None else Nearby(table, self._index))
        seen = self._apply(view, 0)
        table.settle()
        return view, seen

    def _apply(self, view: View, seen: int) -> int:
        """Bring a view up to the store's last change; its number."""
        while True:
            page = self.store.changes(seen, view.version)
            if page.ids:
                self._change(view, page)
            seen = page.seq
            if not page.more:
                return seen

    def _change(self, view: View, page: Changes) -> None:
        kept, vectors = completed(self.store, view.artefact, view.version, page)
        ids, texts = [page.ids[at] for at in kept], [page.metadata[at] for at in kept]
        view.table.change(ids, texts, vectors, page.kinds)

    def _catch_up(self) -> None:
        with self._changing:
            self._seen = self._apply(self._view, self._seen)

    def _follow(self, poll: float) -> None:
        wait = poll
        while not self._ended.wait(wait):
            try:
                seq, version = self.store.state()
                if version != self._view.version:
                    self._take_over()
                elif seq > self._seen:
                    self._catch_up()
                if self._view.nearby is not None:
                    self._view.nearby.look()
                self.reached, self.trouble, wait = time.monotonic(), None, poll
            except StoreUnavailable as error:
                self._note(error)
            except Exception as error:  # whatever it is, answers go on, and a later look may go well
                self._note(error)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _take_over(self) -> None:
        with self._switching:
            version = self.store.active()
            if version is not None and version != self._view.version:
                view, seen = self._load(version)
                with self._changing:
                    self._view, self._seen = view, self._apply(view, seen)

    def _note(self, error: Exception) -> None:
        told = " ".join(str(error).split()) or type(error).__name__
        if told != self.trouble:
            getLogger().warning(f"the store is not followed: {told}")
        self.trouble = told

    def close(self) -> None:
        """End following, and let go of the store."""
        self._ended.set()
        self._thread.join(_PATIENCE)
        while self._thread.is_alive():  # it waits for a database that does not answer
            self.store.interrupt(self._thread.ident or 0)
            self._thread.join(_PATIENCE)
        self.store.close()
