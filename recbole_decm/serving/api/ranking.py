"""From requests that came together to their lists: one product for all, then what each asks for beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json

from recbole_decm.errors import DecCMError
from recbole_decm.serving.api.asked import Asked, Priors, priors_of
from recbole_decm.serving.api.diversity import POOL, choose, pool_size
from recbole_decm.serving.api.explaining import Explainer
from recbole_decm.serving.api.problems import Problem, of_error
from recbole_decm.serving.artefact.neighbours import Neighbours
from recbole_decm.serving.store.scan import Hits, Want

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact
    from recbole_decm.serving.store.live import Live, View


_FURTHEST = 10_000
"""Tracks that are looked at for a list with ``max_per``."""


@dataclass(frozen=True)
class Listed:
    """The list of one video, the best track first.

    Attributes:
        ids, scores, metadata: of n tracks; metadata as JSON.
        explanations: of the tracks; None where nobody asked.
        prior: (K,) what the genres counted; habit: (K,) of the uploader; None where there is none.
        kind: of the prior.
    """

    ids: Sequence[str]
    scores: Sequence[float]
    metadata: Sequence[bytes]
    explanations: Sequence[dict[str, Any]] | None
    prior: np.ndarray | None
    habit: np.ndarray | None
    kind: str


@dataclass(frozen=True)
class Lists:
    """The lists of a request, what made them, and the names of its genres."""

    artefact: str
    genres: Sequence[str]
    videos: Sequence[Listed]


@dataclass(frozen=True)
class _Ready:
    place: int
    asked: Asked
    priors: Priors
    rows: slice


class _Unanswered(Exception):
    """Stands where an answer is to come."""


def rank(
    live: Live, batch: Sequence[Asked], neighbours: tuple[str, Neighbours] | None = None
) -> list[Lists | Exception]:
    """The lists of some requests, or what is wrong with each.

    Args:
        neighbours: of the artefact with this id, for explanations.
    """
    view = live.view()
    answers: list[Lists | Exception] = [_Unanswered()] * len(batch)
    ready: list[_Ready] = []
    start = 0
    for place, asked in enumerate(batch):
        found = _or_problem(_priors, view, asked)
        if isinstance(found, Problem):
            answers[place] = found
        else:
            ready.append(_Ready(place, asked, found, slice(start, start + len(asked))))
            start += len(asked)
    if ready:
        queries = _queries(view.artefact, ready)
        for one in [one for one in ready if not np.isfinite(queries[one.rows]).all()]:
            place = int(np.flatnonzero(~np.isfinite(queries[one.rows]).all(axis=1))[0])
            words = f"videos, entry {place + 1}: expected features that the model can encode, found numbers beyond it."
            answers[one.place] = Problem(422, words)
            queries[one.rows] = 0.0
        hits = view.search_each(queries, [want for one in ready for want in [_want(one)] * len(one.asked)])
        for one in [one for one in ready if isinstance(answers[one.place], _Unanswered)]:
            near = neighbours[1] if neighbours is not None and neighbours[0] == view.artefact.manifest.id else None
            answers[one.place] = _or_problem(_lists, view, one, queries[one.rows], hits[one.rows], near)
    return answers


def _or_problem(work: Callable[..., Any], *given: Any) -> Any:
    try:
        return work(*given)
    except Problem as problem:
        return problem
    except DecCMError as error:
        return of_error(error)


def _priors(view: View, asked: Asked) -> Priors:
    """What the genres count; raises what keeps this request from being ranked."""
    expected = view.artefact.manifest.video_fields
    if {name: matrix.shape[1] for name, matrix in asked.features.items()} != dict(expected):
        raise Problem(503, "the artefact has changed, and takes other features now: see /v1/artefact.", 1)
    if asked.where is not None:
        view.check(asked.where)
    known = view.table.now.columns
    if unknown := [column for column in asked.options.max_per if column not in known]:
        raise Problem(422, f"max_per: expected columns of the tracks ({', '.join(known)}), found '{unknown[0][:100]}'.")
    return priors_of(view.artefact, asked, view.metadata_of)


def _queries(artefact: Artefact, ready: Sequence[_Ready]) -> np.ndarray:
    """(sum of B, E) of all requests."""
    fields = artefact.manifest.video_fields
    features = {name: np.concatenate([one.asked.features[name] for one in ready]) for name in fields}
    used = [one.priors.used for one in ready if one.priors.used is not None]
    return artefact.query_vectors(features, np.concatenate(used) if used else None)


def _want(one: _Ready) -> Want:
    options = one.asked.options
    wide = options.diversity or options.max_per
    return Want(pool_size(options.k) if wide else options.k, one.asked.where, one.asked.exclude)


def _lists(view: View, one: _Ready, queries: np.ndarray, hits: Sequence[Hits], near: Neighbours | None) -> Lists:
    options, priors = one.asked.options, one.priors
    explainer = Explainer(view, one.asked, priors, queries, near) if options.explain else None
    videos = []
    for row, found in enumerate(hits):
        found, chosen = _chosen(view, one, queries[row : row + 1], found)
        ids, vectors = [found.ids[at] for at in chosen], found.vectors[list(chosen)]
        prior = None if priors.used is None else priors.used[row]
        habit = None if priors.habit is None or np.isnan(priors.habit[row]).any() else priors.habit[row]
        videos.append(
            Listed(
                ids,
                found.scores[list(chosen)].tolist(),
                [found.texts[at] for at in chosen],
                None if explainer is None else explainer.of(row, ids, vectors, chosen, _metadata(found, chosen, near)),
                prior,
                habit,
                priors.kind,
            )
        )
    return Lists(view.artefact.manifest.id, view.artefact.manifest.genres, videos)


def _chosen(view: View, one: _Ready, query: np.ndarray, found: Hits) -> tuple[Hits, Sequence[int]]:
    """Candidates of a list, and the places of those in it. Where ``max_per`` leaves too few, more are looked at."""
    options = one.asked.options
    if not options.diversity and not options.max_per:
        return found, range(len(found.ids))
    want = _want(one)
    while True:
        metadata = found.metadata if options.max_per else ()
        chosen = choose(found.scores, found.vectors, options.k, options.diversity, options.max_per, metadata)
        if len(chosen) >= options.k or len(found.ids) < want.k or want.k >= _FURTHEST:
            return found, chosen
        want = want._replace(k=min(POOL * want.k, _FURTHEST))
        (found,) = view.search_each(query, [want])


def _metadata(found: Hits, chosen: Sequence[int], near: Neighbours | None) -> list[dict[str, Any]]:
    """Of the chosen tracks, where neighbours need them."""
    return [] if near is None else [from_json(found.texts[at]) for at in chosen]
