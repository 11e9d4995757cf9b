"""The k largest of many scores."""

from __future__ import annotations

import numpy as np

_STRIPES = 64


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the k largest of (n,) scores, the largest first, of equal ones the first place first; none of -inf.

    The k-th largest of the maxima of disjoint sets is at most the k-th largest of all, so only scores from there on are
    sorted. The sets are stripes, whose maxima take one pass of vector instructions.

    Examples:
        >>> best(np.array([1.0, 3.0, 2.0, 3.0, -np.inf]), 4).tolist()
        [1, 3, 2, 0]
    """
    count, least = len(scores), -np.inf
    width = count // _STRIPES
    if width > 4 * k:
        maxima = scores[: width * _STRIPES].reshape(_STRIPES, width).max(axis=0)
        least = np.partition(maxima, width - k)[width - k]
    elif count > 4 * k:
        least = np.partition(scores, count - k)[count - k]
    places = np.flatnonzero(scores > least if least == -np.inf else scores >= least)
    return places[np.argsort(-scores[places], kind="stable")[:k]]
