"""The exact top k of dot products, by numpy alone."""

from __future__ import annotations

import numpy as np

from recbole_decm.serving.best import best

_SCORES = 8_000_000
"""Scores that are held at a time."""


def exact_top_k(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k tracks of largest dot product for every query; of equal scores the lower row comes first.

    Args:
        queries: (B, E) float32; vectors: (M, E) float32, in memory or mapped.
        k: at least 1; may exceed M.
        allowed: (M,) bool, the tracks to choose from; None for all.

    Returns:
        (B, k) float32 scores, the largest first, and (B, k) int64 rows; -inf and -1 where there are fewer.

    Examples:
        >>> exact_top_k(np.eye(2, dtype=np.float32)[:1], np.array([[0.2, 9], [0.9, 0], [0.5, 1]], np.float32), 2)[1]
        array([[1, 2]])
    """
    if k < 1 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"expected k of at least 1 and vectors of one length, found {k}, {queries.shape}, {vectors.shape}"
        )
    rows = None if allowed is None else np.flatnonzero(allowed)
    if rows is not None:
        vectors = vectors[rows]
    scores = np.full((len(queries), k), -np.inf, np.float32)
    found = np.full((len(queries), k), -1, np.int64)
    step = max(1, _SCORES // max(1, len(vectors)))
    for start in range(0, len(queries), step):
        products = np.asarray(queries[start : start + step], np.float32) @ vectors.T
        for at, own in enumerate(products, start):
            places = best(own, min(k, len(own)))
            scores[at, : len(places)] = own[places]
            found[at, : len(places)] = places if rows is None else rows[places]
    return scores, found
