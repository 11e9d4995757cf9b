"""What a store of tracks promises, whichever database keeps it.

A catalogue is a table of tracks that changes. Every change gets the next number, so that a reader who has seen all up
to a number asks for what came after it. A row never changes: a changed track is a new row with a new number, and a
vector that was computed from a row belongs to its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact, Tracks

FORMAT_VERSION = 1
PAGE = 8192
"""Rows that are read at a time."""


class Written(NamedTuple):
    """A change that is durable.

    Attributes:
        seq: the number of its last row; rows: how many there are, which have the numbers up to it.
    """

    seq: int
    rows: int


@dataclass(frozen=True)
class Track:
    """One track: field -> (F,) float32, NaN where a field is missing; its metadata as they were given."""

    id: str
    features: dict[str, np.ndarray]
    metadata: dict[str, Any]
    seq: int


@dataclass(frozen=True)
class Changes:
    """Rows in the order of their numbers.

    Attributes:
        seq: the number up to which these are all.
        more: whether there are more.
        active: the version that answers, None before any was published.
        ids: n of them; seqs: (n,) int64 their numbers.
        metadata: JSON of each, None for a track that was deleted.
        vectors: of each for the version asked for, None where the store keeps none.
        kinds: column -> ``number`` or ``text``, of all columns that filters can read.
    """

    seq: int
    more: bool
    active: str | None
    ids: list[str]
    seqs: np.ndarray
    metadata: list[str | None]
    vectors: list[bytes | None]
    kinds: dict[str, str]

    @classmethod
    def page(
        cls,
        rows: Sequence[tuple[str, int, str | None, bytes | None]],
        span: tuple[int, int],
        limit: int,
        active: str | None,
        kinds: dict[str, str],
    ) -> Changes:
        """At most ``limit`` rows of id, number, metadata and vector, of those whose numbers are asked for.

        Args:
            span: the number above which, and that of the last change that there is.
        """
        ids, seqs, metadata, vectors = (list(part) for part in zip(*rows, strict=True)) if rows else ([], [], [], [])
        more = len(rows) == limit
        seq = seqs[-1] if more else max(span)
        return cls(seq, more, active, ids, np.array(seqs, np.int64), metadata, vectors, kinds)


class Version(NamedTuple):
    """A published artefact: its id, when it came (seconds since 1970), and whether it answers."""

    id: str
    published: float
    active: bool


class Store(Protocol):
    """A catalogue that is kept. What a call has returned from is durable, and other processes see it.

    Every method raises :class:`~recbole_decm.errors.StoreUnavailable` while the database cannot be reached, after which
    the change may be there or not; the next call tries to reach it again. Methods may be called from several threads.
    """

    def put(self, tracks: Tracks, vectors: tuple[str, np.ndarray] | None = None) -> Written:
        """Add tracks, or replace those of the same ids, all or none.

        Args:
            vectors: a version, and the (M, E) vectors that it gives them, kept beside them. The features are taken as
                made by what makes this version's.

        Raises:
            DataError: an id, a feature or a value of metadata that cannot be kept.
        """

    def delete(self, ids: Iterable[str]) -> Written:
        """Remove tracks; ids of no track count nothing."""

    def get(self, track: str) -> Track | None:
        """One track, or None."""

    def count(self) -> int:
        """Tracks that there are."""

    def publish(self, artefact: Artefact, replace: bool = False) -> None:
        """Make an artefact's encoders a version, and add those of its tracks that this catalogue never held.

        Tracks that are here stay as they are, and those that were deleted stay away. A version that is here already
        is written again.

        Args:
            replace: the artefact's tracks become the catalogue: all of them, as they are there, and no others.

        Raises:
            DataError: tracks are kept whose features the artefact cannot encode.
        """

    def activate(self, version: str) -> None:
        """Let a published version answer from now on, everywhere.

        Raises:
            ConfigError: no such version.
        """

    def active(self) -> str | None:
        """The version that answers; None before any was published."""

    def versions(self) -> list[Version]:
        """What was published, the oldest first."""

    def forget(self, version: str) -> None:
        """Remove a version and its vectors.

        Raises:
            ConfigError: it is the active one, or there is none such.
        """

    def files(self, version: str) -> dict[str, bytes]:
        """The files of a version's encoders, by name.

        Raises:
            ConfigError: no such version.
        """

    def state(self) -> tuple[int, str | None]:
        """The number of the last change, and the version that answers: what a follower asks all the time."""

    def changes(self, since: int, version: str | None = None, limit: int = PAGE) -> Changes:
        """The rows whose number is above ``since``; of a track that changed several times, the last alone.

        Args:
            version: whose vectors to give.
        """

    def features(self, seqs: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Features of some rows, those that are still there.

        Returns:
            (n,) int64 their numbers, and field -> (n, F) float32, NaN where a field is missing.
        """

    def keep_vectors(self, version: str, seqs: np.ndarray, vectors: np.ndarray) -> None:
        """Keep the (n, E) vectors that a version gives some rows, so that nobody computes them again."""

    def interrupt(self, thread: int) -> None:
        """Have what a thread waits for raise StoreUnavailable, where it waits for a server."""

    def close(self) -> None:
        """Let go of the database."""
