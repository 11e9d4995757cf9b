"""Ranking metrics as pure functions of hits and weights; no framework, no config.

IPW metrics weigh each test row by the inverse popularity of its music, normalised over the rows (self-normalised
inverse-propensity estimator: Swaminathan and Joachims, 2015; as used for unbiased recommender evaluation by Yang et
al., RecSys 2018). With one positive a video and weights w that sum to 1 they are the released DecCM metrics.
"""

from __future__ import annotations

import numpy as np


def top_lists(scores: np.ndarray, k: int) -> np.ndarray:
    """The k highest of each row: (V, M) scores -> (V, k) int64 columns, best first.

    Examples:
        >>> top_lists(np.array([[0.1, 0.9, 0.5]]), 2).tolist()
        [[1, 2]]
    """
    part = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1)


_GOLDEN, _MIX, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def tie_order(seed: int, videos: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """Random numbers that equal scores are ordered by: each depends on the seed and on its own video and track alone.

    So an order is the same however a ranking is cut into batches, and however many tracks are ranked. The mixing
    function is that of SplitMix64 (Steele et al., OOPSLA 2014).

    Args:
        videos, tracks: non-negative ids, of shapes that broadcast.

    Returns:
        float64 of the broadcast shape, at least 0 and below 1.
    """
    with np.errstate(over="ignore"):
        bits = _mixed(_mixed(np.uint64(seed % 2**64) + videos.astype(np.uint64)) + tracks.astype(np.uint64))
    return (bits >> np.uint64(11)) * 2.0**-53


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits + np.uint64(1)) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def list_recall(lists: np.ndarray, chosen: np.ndarray) -> float:
    """Share of the rows whose chosen column is in their list.

    Args:
        lists: (V, k) columns; chosen: (V,) columns, negative in rows that chose none, which are left out.

    Examples:
        >>> list_recall(np.array([[1, 2], [0, 2], [0, 1]]), np.array([2, 1, -1]))
        0.5
    """
    return float((lists == chosen[:, None]).any(axis=1)[chosen >= 0].mean())


def ipw_recall(hits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Self-normalised inverse-popularity-weighted recall at every cut-off.

    Args:
        hits: (P, k) bool; ``hits[p, r]``: positive p stands at rank r (0-based); at most one True a row.
        weights: (P,) non-negative, not all zero.

    Returns:
        (k,) float64; entry r is the metric at cut-off r + 1.
    """
    return _normalised(weights) @ hits.cumsum(axis=1)


def ipw_ndcg(hits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Self-normalised inverse-popularity-weighted gain 1 / log2(rank + 1) of the positive, at every cut-off.

    Each positive is a ranking task of its own with ideal gain 1, as in the released evaluation.

    Args:
        hits: (P, k) bool, as in :func:`ipw_recall`.
        weights: (P,) non-negative, not all zero.

    Returns:
        (k,) float64; entry r is the metric at cut-off r + 1.
    """
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    return _normalised(weights) @ (hits * discount).cumsum(axis=1)


def _normalised(weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum()
    if not total > 0 or (weights < 0).any():
        raise ValueError(f"expected non-negative weights with a positive sum, found a sum of {total}")
    return weights / total
