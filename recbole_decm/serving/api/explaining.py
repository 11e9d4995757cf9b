"""Why a track is in a list, in numbers that can be checked: parts of the score, and places under other priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_decm.serving.api.asked import Asked, Priors
from recbole_decm.serving.api.diversity import values_of
from recbole_decm.serving.artefact.neighbours import Neighbours, unit

if TYPE_CHECKING:
    from recbole_decm.serving.store.live import View


class Explainer:
    """Explains the lists of one request.

    Args:
        view: the catalogue as it was searched.
        asked: the request; priors: what the genres counted in it.
        queries: (B, E) that it was searched with.
        neighbours: the training videos, where the artefact has them.
    """

    def __init__(
        self, view: View, asked: Asked, priors: Priors, queries: np.ndarray, neighbours: Neighbours | None = None
    ) -> None:
        self._view, self._asked, self._queries, self._neighbours = view, asked, queries, neighbours
        nothing: dict[str, np.ndarray | None] = {"habit": None, "neutral": None}
        self._others = nothing if priors.used is None else self._under(priors)

    def _under(self, priors: Priors) -> dict[str, np.ndarray | None]:
        """(B, E) queries under the uploaders' habits and under no preference."""
        artefact, count = self._view.artefact, len(self._asked)
        neutral = artefact.query_vectors(self._asked.features, artefact.priors("neutral", count))
        if priors.habit is None:
            return {"habit": None, "neutral": neutral}
        known = ~np.isnan(priors.habit).any(axis=1)
        assert priors.used is not None
        habits = np.where(known[:, None], priors.habit, priors.used)  # rows without one are not looked at
        habit = artefact.query_vectors(self._asked.features, habits)
        habit[~known] = np.nan
        return {"habit": habit, "neutral": neutral}

    def of(
        self,
        row: int,
        ids: Sequence[str],
        vectors: np.ndarray,
        places: Sequence[int],
        metadata: Sequence[Mapping[str, Any]] = (),
    ) -> list[dict[str, Any]]:
        """The explanations of one video's tracks.

        Args:
            row: of the video in the request.
            ids: its tracks, n of them; vectors: (n, E); places: where the search found them, from 0;
                metadata: of each, for neighbours.
        """
        if not ids:
            return []
        artefact = self._view.artefact
        match, adjustment = artefact.parts(self._queries[row : row + 1], vectors)
        ranks: dict[str, list[int | None]] = {}
        for name, queries in self._others.items():
            if queries is None or np.isnan(queries[row]).any():
                ranks[name] = [None] * len(ids)
            else:
                found = self._view.ranks(queries[row : row + 1], ids, self._asked.where, self._asked.exclude)[0]
                ranks[name] = [int(place) or None for place in found]  # None: it went away meanwhile
        genres = artefact.manifest.genres
        explanations: list[dict[str, Any]] = []
        for at, place in enumerate(places):
            parts = None if adjustment is None else dict(zip(genres, adjustment[0, at].tolist(), strict=True))
            explanations.append(
                {
                    "match": None if match is None else float(match[0, at]),
                    "adjustment": parts,
                    "ranks": {"served": place + 1, "habit": ranks["habit"][at], "neutral": ranks["neutral"][at]},
                }
            )
        if self._neighbours is not None:
            query = unit((self._queries if self._others["neutral"] is None else self._others["neutral"])[[row]])[0]
            for at, (track, record) in enumerate(zip(ids, metadata, strict=True)):
                near = self._neighbours.near(query, track, values_of(record.get("genre")))
                explanations[at]["neighbours"] = near
        return explanations
