"""The exact top k of products with vectors, for queries that each want something else of the same table."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recbole_decm.serving.best import best, best_of_columns
from recbole_decm.serving.filters import Filter
from recbole_decm.serving.store.table import Snapshot

_NARROW = 16
"""Where a filter leaves less than one in so many tracks, they are gathered, and the others not multiplied with."""
_SCORES = 8_000_000
"""Scores that are held at a time."""


class Want(NamedTuple):
    """What a query wants: the best ``k`` tracks that match, without some."""

    k: int
    where: Filter | None = None
    exclude: Collection[str] = ()


@dataclass(frozen=True)
class Hits:
    """The tracks of one list, the best first: n of them, fewer than k where no more match.

    Attributes:
        scores: (n,) float32; vectors: (n, E) float32; texts: their metadata as JSON.
    """

    ids: list[str]
    scores: np.ndarray
    vectors: np.ndarray
    texts: list[bytes]

    @property
    def metadata(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]


def search(now: Snapshot, queries: np.ndarray, wants: Sequence[Want]) -> list[Hits]:
    """The tracks of largest product with each query, of equal ones the one whose row is first.

    Args:
        queries: (B, E) float32; wants: B.

    Raises:
        ConfigError: a filter does not fit the columns.
    """
    masks = [None if want.where is None else now.mask(want.where) for want in wants]
    narrow = [mask is not None and int(mask.sum()) * _NARROW < len(mask) for mask in masks]
    found: list[Hits | None] = [None] * len(wants)
    for at in np.flatnonzero(narrow).tolist():
        rows = np.flatnonzero(masks[at])
        found[at] = hits_of(now, now.vectors[rows] @ queries[at], wants[at], rows)
    wide = np.flatnonzero(~np.array(narrow, bool))
    step = max(1, _SCORES // max(1, len(now.alive)))
    for start in range(0, len(wide), step):
        part = wide[start : start + step].tolist()
        scores = now.vectors @ queries[part].T  # the few queries are what is copied into another order
        scores[now.dead] = -np.inf
        for column, at in enumerate(part):
            if (mask := masks[at]) is not None:
                scores[~mask, column] = -np.inf
        places = best_of_columns(scores, [_enough(wants[at], len(scores)) for at in part])
        for column, at in enumerate(part):
            found[at] = _hits(now, places[column], scores[places[column], column], wants[at])
    return [hits for hits in found if hits is not None]


def hits_of(now: Snapshot, scores: np.ndarray, want: Want, rows: np.ndarray) -> Hits:
    """One list from the scores of some rows, in their order."""
    places = best(scores, _enough(want, len(scores)))
    return _hits(now, rows[places], scores[places], want)


def _enough(want: Want, count: int) -> int:
    """Tracks that are enough for a list: it may leave out all that are excluded."""
    return min(want.k + len(want.exclude), count)


def _hits(now: Snapshot, chosen: np.ndarray, scores: np.ndarray, want: Want) -> Hits:
    ids = [text.decode() for text in now.ids.of(chosen)]
    if want.exclude:
        left_out = want.exclude if isinstance(want.exclude, (set, frozenset)) else set(want.exclude)
        kept = [at for at, track in enumerate(ids) if track not in left_out][: want.k]
        ids, scores, chosen = [ids[at] for at in kept], scores[kept], chosen[kept]
    return Hits(ids, scores, now.vectors[chosen], now.metadata.of(chosen))
