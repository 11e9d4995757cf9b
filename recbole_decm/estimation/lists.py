"""What lists gain where a track is chosen, and what they would gain without habit, rank by rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from recbole_decm.estimation.effects import Estimate, estimate

_RANKS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "dorecall": lambda rank: np.ones(len(rank)),
    "dondcg": lambda rank: 1 / np.log2(rank + 1),
    "domrr": lambda rank: 1 / rank,
}
METRICS = tuple(_RANKS)
"""Names of the estimated metrics: recall, gain and reciprocal rank of each chosen track, a ranking task of its own."""


def estimated(metric: str) -> bool:
    """Whether a metric, with or without its cut-off, is one of :data:`METRICS`.

    >>> estimated("DoRecall@10"), estimated("recall@10")
    (True, False)
    """
    return metric.partition("@")[0].lower() in METRICS


def estimate_of_lists(metric: str, hits: np.ndarray, chances: np.ndarray, seed: int = 0) -> Estimate:
    """A metric of lists as it would be without the uploaders' habits, at every cut-off, with its interval: from 0 to 1.

    Args:
        metric: one of :data:`METRICS`.
        hits: (n, k) bool, whether the chosen track of a row stands at each rank.
        chances: (n, k + 2) float64: the chance without habit of the track at each rank, the row's weight, its overlap.
    """
    worth = _RANKS[metric](np.arange(1, hits.shape[1] + 1))
    gains, expected = ((part * worth).cumsum(axis=1) for part in (hits, chances[:, :-2]))
    found = estimate(gains, expected, chances[:, -2], chances[:, -1], seed)
    return Estimate(*(part.clip(0, 1) for part in found))
