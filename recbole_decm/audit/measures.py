"""What an audit measures, as pure functions of scores and priors; no model, no config.

Shapes: V videos, M music, K genre groups. Scores are float64, so that rounding is far below every tolerance here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-9
"""Differences of scores below this share of the largest score are rounding, not rank changes."""


def changed_lists(lists: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether each list is no longer a ranking of its first k under other scores.

    Args:
        lists: (V, k) columns, best first, under the scores they were made with.
        scores: (V, M) the other scores. Music that tie within the tolerance may stand in any order.

    Returns:
        (V,) bool.
    """
    slack = TOLERANCE * max(1.0, float(np.abs(scores).max()))
    listed = np.take_along_axis(scores, lists, axis=1)
    others = scores.copy()
    np.put_along_axis(others, lists, -np.inf, axis=1)
    disorder = (np.diff(listed, axis=1) > slack).any(axis=1)
    return disorder | (others.max(axis=1) > listed[:, -1] + slack)


def replaced_share(lists: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Share of each list's entries that are not among the first k under other scores; ties as above. (V,) float64."""
    slack = TOLERANCE * max(1.0, float(np.abs(scores).max()))
    k = lists.shape[1]
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    return (np.take_along_axis(scores, lists, axis=1) < last - slack).mean(axis=1)


def uneven_shift(one: np.ndarray, two: np.ndarray) -> float:
    """How differently a change of prior moves the tracks of a video, relative to the spread of its scores.

    Args:
        one, two: (V, M) scores under two priors.

    Returns:
        Mean over videos of std_m(two - one) / std_m(one); 0 where every music of a video moves by the same number, and
        then no ranking can change.
    """
    spread = np.maximum(one.std(axis=1), np.finfo(np.float64).tiny)
    return float(((two - one).std(axis=1) / spread).mean())


def explained_share(own: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Share of the variance of the scores that the uploader's own preference accounts for.

    Args:
        own: (V, M) scores of each video under its uploader's prior.
        mean: (V, M) the same under the population's prior.

    Returns:
        (of all variance, of the variance between the tracks of a video, which alone decides a ranking). The variance of
        ``own - mean`` divided by that of ``own``; above 1 where preference and match work against each other.
    """
    shift = own - mean
    within = (own - own.mean(axis=1, keepdims=True)).var()
    within_shift = (shift - shift.mean(axis=1, keepdims=True)).var()
    tiny = np.finfo(np.float64).tiny
    return float(shift.var() / max(own.var(), tiny)), float(within_shift / max(within, tiny))


def batch_prior_variance(
    priors: np.ndarray, sizes: Sequence[int], rng: np.random.Generator, draws: int = 200
) -> list[dict[str, float]]:
    """Variance of the Monte Carlo estimate of P(k), the mean of a batch's priors, by batch size.

    Args:
        priors: (n, K) priors of the training rows.
        sizes: batch sizes; those above n are left out.
        rng: source of the drawn batches.
        draws: batches to draw for each size.

    Returns:
        For each size the total variance over the K groups: ``measured`` over the draws, and ``expected`` of a batch
        drawn without replacement, trace(cov) / B * (n - B) / (n - 1); ``deviation`` is the square root of ``expected``.
    """
    count, mean = len(priors), priors.mean(axis=0)
    trace = float(((priors - mean) ** 2).sum(axis=1).mean())
    rows = []
    for size in (size for size in sizes if size <= count):
        means = np.stack([priors[rng.choice(count, size, replace=False)].mean(axis=0) for _ in range(draws)])
        expected = trace / size * (count - size) / max(1, count - 1)
        measured = float(((means - mean) ** 2).sum(axis=1).mean())
        rows.append({"size": size, "measured": measured, "expected": expected, "deviation": expected**0.5})
    return rows
