"""How often a training pair is drawn, so that genres come equally often."""

from __future__ import annotations

import numpy as np


def balanced_chances(membership: np.ndarray, power: float) -> np.ndarray:
    """The chance of each training pair to be the next one.

    A pair of genre g counts (pairs of g)^-power; one of several genres, the mean over them. Tracks without a genre are
    a group of their own.

    Args:
        membership: (n, K) genres of each pair's track, rows that sum to 1 or to 0.
        power: 1 draws all genres alike, 0 all pairs.

    Returns:
        (n,) float64, above 0, of sum 1.

    Examples:
        >>> balanced_chances(np.array([[1, 0], [1, 0], [1, 0], [0, 1]]), power=1.0).round(3).tolist()
        [0.167, 0.167, 0.167, 0.5]
    """
    member = membership.astype(np.float64)
    member = np.concatenate([member, 1 - member.sum(axis=1, keepdims=True).clip(0, 1)], axis=1)
    counts = member.sum(axis=0)
    weights = member @ np.where(counts > 0, counts.clip(min=1e-9), 1) ** -power
    return weights / weights.sum()
