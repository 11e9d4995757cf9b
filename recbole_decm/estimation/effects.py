"""Estimates of what lists would be worth without the uploaders' habits, with intervals, from weighted choices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recbole_decm.errors import DataError

BOOTSTRAPS = 200
LEVEL = 0.95
FEWEST_EFFECTIVE = 30.0
SMALLEST_SHARE = 0.05
_ELSE = "Give more rows, or do without DoRecall, DoNDCG and DoMRR."


class Estimate(NamedTuple):
    """An estimate at every cut-off, and its 95 % interval: (k,) float64 each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def augmented(gains: np.ndarray, expected: np.ndarray, weight: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """theta = mean(mu) + sum(b w (gain - mu)) / sum(b w), at every cut-off.

    Augmented inverse-probability weighting (Robins, Rotnitzky and Zhao, 1994), self-normalised, with overlap weights
    (Li, Morgan and Zaslavsky, 2018): right where either the chances without habit or the weights are.

    Args:
        gains: (n, k) what the chosen track gives at each cut-off, such as 1 where it is listed.
        expected: (n, k) its mean without habit, mu.
        weight, overlap: (n,) of an :class:`~recbole_decm.estimation.intervention.Intervention`.

    Returns:
        (k,) float64.
    """
    both = weight * overlap
    return expected.mean(axis=0) + both @ (gains - expected) / both.sum()


def estimate(
    gains: np.ndarray, expected: np.ndarray, weight: np.ndarray, overlap: np.ndarray, seed: int = 0
) -> Estimate:
    """:func:`augmented`, with an interval by the bootstrap over rows; the choice model stays as it was fitted."""
    both, counts = weight * overlap, bootstrap_counts(len(gains), seed)
    drawn = counts @ expected / len(gains) + (counts @ (both[:, None] * (gains - expected))) / (counts @ both)[:, None]
    return Estimate(augmented(gains, expected, weight, overlap), *interval(drawn))


def mean_with_interval(values: np.ndarray, seed: int = 0) -> Estimate:
    """The mean of (n, k) values over rows, such as a direct estimate, with an interval by the bootstrap."""
    return Estimate(values.mean(axis=0), *interval(bootstrap_counts(len(values), seed) @ values / len(values)))


def bootstrap_counts(rows: int, seed: int) -> np.ndarray:
    """(:data:`BOOTSTRAPS`, rows) float64, how often each row is drawn."""
    rng = np.random.default_rng([seed, rows])
    drawn = rng.integers(rows, size=(BOOTSTRAPS, rows)) + rows * np.arange(BOOTSTRAPS)[:, None]
    return np.bincount(drawn.ravel(), minlength=BOOTSTRAPS * rows).reshape(BOOTSTRAPS, rows).astype(np.float64)


def interval(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The percentiles of (draws, k) values between which :data:`LEVEL` of them lie."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def effective_sample_size(weights: np.ndarray) -> float:
    """Rows of equal weight that would tell as much (Kish, 1965): (sum w)^2 / sum w^2.

    >>> effective_sample_size(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    return float(weights.sum() ** 2 / np.square(weights).sum())


def require_overlap(weight: np.ndarray, overlap: np.ndarray, what: str) -> float:
    """The effective sample size of the weights, refused where an estimate would rest on a few rows.

    Args:
        what: the rows, for the message, such as ``the test split``.

    Raises:
        DataError: fewer than :data:`FEWEST_EFFECTIVE` effective rows, or less than :data:`SMALLEST_SHARE` of the rows.
    """
    found, count = effective_sample_size(weight * overlap), len(weight)
    needed = max(FEWEST_EFFECTIVE, SMALLEST_SHARE * count)
    if not found >= needed:
        raise DataError(
            f"{what}: expected an effective sample of at least {needed:.0f} of its {count} choices, found "
            f"{found:.1f}: too few uploaders choose against their habit to tell what would be chosen without it. "
            + _ELSE
        )
    return found


def require_rows(count: int, what: str) -> None:
    """Refuse rows of which :func:`require_overlap` cannot find enough, before a choice model is fitted.

    Raises:
        DataError: fewer than :data:`FEWEST_EFFECTIVE`.
    """
    if count < FEWEST_EFFECTIVE:
        raise DataError(
            f"{what}: expected an effective sample of at least {FEWEST_EFFECTIVE:.0f} choices, found {count}. {_ELSE}"
        )
