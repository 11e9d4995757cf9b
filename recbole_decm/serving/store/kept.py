"""What stores have in common: how changes, versions and features are kept, above what a database does by its words.

A track is a row of ``tracks``, deleted ones without metadata, so that followers learn of them and no later artefact
brings them back. Its features, and its vectors of each version, stand in tables of their own under the row's number.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_decm.errors import ConfigError, suggest
from recbole_decm.serving.store.contract import PAGE, Version, Written
from recbole_decm.serving.store.rows import Rows, checked_ids, new_kinds
from recbole_decm.serving.store.versions import Encoders, fits

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact, Tracks


class Kept:
    """A :class:`~recbole_decm.serving.store.contract.Store` but for the words of its database."""

    # --- what a database says in its own words ----------------------------------------------------------------------
    def _writing(self) -> AbstractContextManager[None]:
        """A transaction that no other writer interleaves; durable at its end, gone if anything is raised."""
        raise NotImplementedError

    def _next(self, count: int) -> int:
        """Take ``count`` numbers; the last of them."""
        raise NotImplementedError

    def _seqs(self, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """The numbers of tracks that are or were here, and whether they are here."""
        raise NotImplementedError

    def _remove(self, seqs: Sequence[int]) -> None:
        """Remove rows, with their features and vectors."""
        raise NotImplementedError

    def _insert(self, seqs: Sequence[int], rows: Rows, vectors: tuple[int, np.ndarray] | None) -> None:
        """Add rows, and their vectors of a version's number."""
        raise NotImplementedError

    def _insert_deleted(self, seqs: Sequence[int], ids: Sequence[str]) -> None:
        """Add rows of tracks that are gone."""
        raise NotImplementedError

    def _kinds(self) -> dict[str, str]:
        raise NotImplementedError

    def _add_kinds(self, kinds: Mapping[str, str]) -> None:
        raise NotImplementedError

    def _here(self) -> list[str]:
        """The ids of all tracks that are here."""
        raise NotImplementedError

    def _layouts(self) -> list[str]:
        """The layouts that rows' features have."""
        raise NotImplementedError

    def _write_version(self, encoders: Encoders, published: float) -> int:
        """Write a version, in the place of one of the same id; its number."""
        raise NotImplementedError

    def _fields(self, number: int) -> dict[str, dict[str, Any]]:
        """What a version reads (:attr:`~recbole_decm.serving.store.versions.Encoders.fields`)."""
        raise NotImplementedError

    def _numbered(self) -> dict[str, tuple[int, Version]]:
        """Versions by id with their numbers, the oldest first."""
        raise NotImplementedError

    def _set_active(self, number: int) -> None:
        raise NotImplementedError

    def _drop_version(self, number: int) -> None:
        """Remove a version, its files and vectors."""
        raise NotImplementedError

    # --- what follows from it ---------------------------------------------------------------------------------------
    def put(self, tracks: Tracks, vectors: tuple[str, np.ndarray] | None = None) -> Written:
        with self._writing():
            given = None if vectors is None else (self._number(vectors[0]), vectors[1])
            cards = None if given is None else {name: part["card"] for name, part in self._fields(given[0]).items()}
            return self._put(Rows.of(tracks, cards), given)

    def _put(self, rows: Rows, vectors: tuple[int, np.ndarray] | None) -> Written:
        kinds = new_kinds(rows.ids, rows.records, self._kinds())
        if kinds:
            self._add_kinds(kinds)
        last = self._next(len(rows))
        for start in range(0, len(rows), PAGE):
            part = rows.part(start, start + PAGE)
            self._remove([seq for seq, _ in self._seqs(part.ids).values()])
            first = last - len(rows) + 1 + start
            given = None if vectors is None else (vectors[0], vectors[1][start : start + PAGE])
            self._insert(range(first, first + len(part)), part, given)
        return Written(last, len(rows))

    def delete(self, ids: Iterable[str]) -> Written:
        wanted = checked_ids(ids)
        with self._writing():
            return self._delete(wanted)

    def _delete(self, ids: Sequence[str]) -> Written:
        gone: list[str] = []
        old: list[int] = []
        for part in _pages(list(dict.fromkeys(ids))):
            for track, (seq, here) in self._seqs(part).items():
                if here:
                    gone.append(track)
                    old.append(seq)
        last = self._next(len(gone))
        for part in _pages(old):
            self._remove(part)
        self._insert_deleted(range(last - len(gone) + 1, last + 1), gone)
        return Written(last, len(gone))

    def publish(self, artefact: Artefact, replace: bool = False) -> None:
        encoders = Encoders.of(artefact)
        rows = Rows.of(artefact.tracks, encoders.cards)
        vectors = np.asarray(artefact.vectors, np.float32)
        with self._writing():
            if replace:
                kept = set(rows.ids)
                self._delete([track for track in self._here() if track not in kept])
                chosen = np.arange(len(rows))
            else:
                for layout in self._layouts():
                    fits(layout, encoders)
                known = {track for part in _pages(rows.ids) for track in self._seqs(part)}
                chosen = np.array([at for at, track in enumerate(rows.ids) if track not in known], dtype=np.int64)
            number = self._write_version(encoders, time.time())
            if len(chosen):
                self._put(rows.take(chosen), (number, vectors[chosen]))
            if self.active() is None:
                self._set_active(number)

    def activate(self, version: str) -> None:
        with self._writing():
            self._set_active(self._number(version))

    def state(self) -> tuple[int, str | None]:
        raise NotImplementedError

    def active(self) -> str | None:
        return self.state()[1]

    def versions(self) -> list[Version]:
        return [version for _, version in self._numbered().values()]

    def forget(self, version: str) -> None:
        with self._writing():
            number = self._number(version)
            if self._numbered()[version][1].active:
                raise ConfigError(f"version: expected one that does not answer, found the active '{version}'.")
            self._drop_version(number)

    def interrupt(self, thread: int) -> None:
        """A database in this process keeps nobody waiting."""

    def _number(self, version: str) -> int:
        found = self._numbered()
        if version not in found:
            raise ConfigError(
                f"version: expected one that was published ({', '.join(found) or 'none'}), found '{version}'."
                f"{suggest(version, found)}"
            )
        return found[version][0]


def _pages(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), PAGE):
        yield values[start : start + PAGE]
