"""Tests, intervals and effect sizes for paired comparisons: pure functions of arrays, no framework, no config.

Which test. Per-video metrics are mostly zeros and ties (with one chosen music a video, Recall@k is 0 or 1). Wilcoxon's
signed-rank test drops the zeros, approximates under ties, and tests a location of ranks, not the mean that a table
prints. The sign-flip permutation test asks about that mean itself, exactly: were the two models alike, each video's
difference would as well have had the other sign. It is what studies of retrieval evaluation recommend over Wilcoxon
and sign tests.

Clusters. Videos of one uploader resemble each other, so that a model that suits the uploader is better at all of them:
taken one by one, they count as more evidence than they are. Where the uploaders are known, whole uploaders have their
signs flipped, and whole uploaders are drawn for an interval.

References:
    Mark D. Smucker, James Allan, Ben Carterette. "A Comparison of Statistical Significance Tests for Information
        Retrieval Evaluation." CIKM 2007.
    A. Colin Cameron, Jonah B. Gelbach, Douglas L. Miller. "Bootstrap-Based Improvements for Inference with Clustered
        Errors." Review of Economics and Statistics 90, 2008.
    Claude Nadeau, Yoshua Bengio. "Inference for the Generalization Error." Machine Learning 52, 2003.
    Remco R. Bouckaert, Eibe Frank. "Evaluating the Replicability of Significance Tests for Comparing Learning
        Algorithms." PAKDD 2004 (the same for folds that are drawn several times).
    Sture Holm. "A Simple Sequentially Rejective Multiple Test Procedure." Scandinavian Journal of Statistics 6, 1979.
    Bradley Efron. "Better Bootstrap Confidence Intervals." JASA 82, 1987.
    Daniel Lakens. "Calculating and reporting effect sizes to facilitate cumulative science." Frontiers in Psychology 4,
        2013 (d_z: section "Cohen's d in within-subjects designs").
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

ALPHA = 0.05
RESAMPLES = 9_999
BOOTSTRAP_RESAMPLES = 1_999
LARGE = 5_000  # from here on the central limit theorem serves: t-test and t-interval, in no time
_BATCH_ENTRIES = 2_000_000


class Interval(NamedTuple):
    """A two-sided confidence interval; NaN where there are too few values."""

    low: float
    high: float


class Units(NamedTuple):
    """What was sampled, independently of each other: the clusters of videos, or the videos where there are none.

    Attributes:
        totals: (n,) sum of the weighted values of each.
        sizes: (n,) sum of the weights of each; the mean is sum(totals) / sum(sizes).
    """

    totals: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, clusters: np.ndarray | None = None, weights: np.ndarray | None = None) -> Units:
        """The units of (n,) values by video, with the (n,) cluster and weight of each, if any."""
        weights = np.ones(len(values)) if weights is None else weights
        if clusters is None:
            return cls(values * weights, weights)
        index = np.unique(clusters, return_inverse=True)[1]
        return cls(np.bincount(index, values * weights), np.bincount(index, weights))


def paired_test(
    differences: np.ndarray,
    clusters: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> float:
    """Two-sided p-value of "the mean difference is zero", by flipping signs.

    Every pattern of signs is counted where there are at most ``resamples`` of them, else ``resamples`` are drawn
    (p is then at least 2 / (resamples + 1)); past ``LARGE`` units it is the t-test, to which the two converge.

    Args:
        differences: (n,) one a video, model minus reference.
        clusters: (n,) integers, the cluster of each video, whose differences flip together; None: each its own.
        weights: (n,) what each counts in the mean; None: all alike.

    Returns:
        p in (0, 1]; 1 where all differences are zero, NaN for fewer than two clusters.
    """
    totals = Units.of(differences, clusters, weights).totals
    size = np.abs(totals).sum()
    if len(totals) < 2:
        return float("nan")
    if size == 0:
        return 1.0
    if len(totals) > LARGE:
        return float(stats.ttest_1samp(totals, 0).pvalue)
    scaled = totals / size
    # Zeros stay zero under every sign: leaving them out of the draws changes nothing but the time.
    scaled = scaled[scaled != 0]
    if len(scaled) == 1:
        return 1.0  # either sign is as far from zero

    def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.round(values.sum(axis=axis), 12)  # patterns that tie must not differ in their last bits

    if 2 ** len(scaled) <= resamples:
        exact = stats.permutation_test((scaled,), mean, permutation_type="samples", vectorized=True, n_resamples=np.inf)
        return float(exact.pvalue)
    generator = np.random.default_rng(seed)

    def flipped(size: tuple[int, ...]) -> np.ndarray:
        return scaled * (generator.integers(0, 2, size=size, dtype=np.int8) * 2 - 1)

    batch = max(1, _BATCH_ENTRIES // len(scaled))
    drawn = stats.monte_carlo_test(scaled, flipped, mean, vectorized=True, n_resamples=resamples, batch=batch)
    return float(drawn.pvalue)


def seeds_test(differences: np.ndarray, alternative: str = "two-sided", shared: float = 0.0) -> float:
    """p-value of the paired t-test over seeds, or of the corrected resampled t-test over folds.

    Folds train on rows that other folds train on as well, so their differences vary less than those of training sets
    drawn anew. Nadeau and Bengio put s² (1 / S + test rows / training rows) in the place of s² / S for the variance of
    the mean.

    Args:
        differences: (S,) one a seed or fold, mean of the model minus mean of the reference.
        alternative: ``two-sided``, or ``less``: is the model below?
        shared: test rows by training rows of a fold; 0 for seeds.

    Returns:
        NaN for fewer than two seeds, and where all differ by the same amount (there is no variation to test against);
        1 where nothing differs at all.
    """
    if len(differences) < 2:
        return float("nan")
    if np.ptp(differences) <= 1e-12 * max(1.0, float(np.abs(differences).max())):
        return 1.0 if abs(float(differences.mean())) < 1e-12 else float("nan")
    found = stats.ttest_1samp(differences, 0, alternative=alternative)
    if not shared:
        return float(found.pvalue)
    reached = found.statistic / math.sqrt(1 + len(differences) * shared)
    tail = stats.t.cdf(reached if alternative == "less" else -abs(reached), len(differences) - 1)
    return float(tail if alternative == "less" else 2 * tail)


def harm_test(gains: Sequence[np.ndarray]) -> np.ndarray:
    """Which of several changes, each tried with the same seeds, makes a score worse: Holm's over one-sided t-tests.

    The tests share the seeds and the score without a change, which Holm allows; each has its own variance, since a
    change can make training more or less steady.

    Args:
        gains: W arrays of (S,), score with the change minus score without, positive where it helps.

    Returns:
        (W,) adjusted p-values: one below alpha comes up in at most that share of families without effect. NaN for
        fewer than two seeds, which cannot tell.
    """
    return holm(np.array([seeds_test(gain, "less") for gain in gains]))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment: the i-th smallest of m p-values times m - i + 1, made monotone, at most 1.

    Args:
        p: (m,) one family of tests; NaN (no test) stays NaN and does not count.

    Returns:
        (m,) adjusted p-values; rejecting those below alpha keeps the family-wise error at alpha, however dependent.
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return adjusted


def mean_interval(
    values: np.ndarray,
    clusters: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval (BCa) of a mean, or of a mean paired difference when given differences.

    Args:
        values: (n,) one a video, the mean over seeds in each.
        clusters, weights: as of :func:`paired_test`; whole clusters are drawn.

    Returns:
        NaN for fewer than two clusters, the value itself twice where all are equal; past ``LARGE`` clusters the
        t-interval.
    """
    values = np.asarray(values, dtype=np.float64)
    units = Units.of(values, clusters, weights)
    count = len(units.totals)
    if count < 2:
        return Interval(float("nan"), float("nan"))
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    if count > LARGE:
        mean = units.totals.sum() / units.sizes.sum()
        error = stats.sem(units.totals - mean * units.sizes) * count / units.sizes.sum()
        return Interval(*map(float, stats.t.interval(level, count - 1, mean, error)))
    found = _bootstrap(units, level, seed, "BCa")
    return found if np.isfinite(found).all() else _bootstrap(units, level, seed, "percentile")


def _bootstrap(units: Units, level: float, seed: int, method: str) -> Interval:
    def mean(totals: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
        return totals.sum(axis=axis) / sizes.sum(axis=axis)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate data, where BCa has no answer; the caller then goes without it
        found = stats.bootstrap(
            units,
            mean,
            paired=True,
            confidence_level=level,
            n_resamples=BOOTSTRAP_RESAMPLES,
            batch=max(1, _BATCH_ENTRIES // len(units.totals)),
            method=method,
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    return Interval(float(found.low), float(found.high))


def seeds_interval(values: np.ndarray, level: float = 0.95, shared: float = 0.0) -> Interval:
    """t-interval of a mean over seeds or folds, where no values by video exist: (S,); NaN for fewer than two.

    Args:
        shared: as of :func:`seeds_test`.
    """
    if len(values) < 2:
        return Interval(float("nan"), float("nan"))
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    error = stats.sem(values) * math.sqrt(1 + len(values) * shared)
    return Interval(*map(float, stats.t.interval(level, len(values) - 1, np.mean(values), error)))


def cohens_dz(differences: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean difference in standard deviations of the differences, (n,) with (n,) weights or all alike; 0 where all are
    0, NaN where all are equal."""
    if len(differences) < 2:
        return float("nan")
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] == 0 else float("nan")
    mean = np.average(differences, weights=weights)
    variance = np.average((differences - mean) ** 2, weights=weights) * len(differences) / (len(differences) - 1)
    return float(mean / variance**0.5)


def superiority(differences: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Share of pairs in which the model is above, ties counted half: (n,) -> [0, 1], 0.5 for no effect.

    The common-language effect size for paired values (McGraw and Wong, Psychological Bulletin 111, 1992).
    """
    above = (np.sign(differences) + 1) / 2
    return float(np.average(above, weights=weights)) if len(differences) else float("nan")
