"""Does the uploader predict the genre chosen beyond what the video shows? Tests and strength, by kind of track.

Shapes: n rows, T kinds of tracks; ``content`` is the (n, T) log-probability of each kind by what the video shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

PERMUTATIONS = 999
BOOTSTRAPS = 400
SMOOTHING = 2.0
"""Rows that stand behind the shares of all uploaders in a preference that is counted from choices."""


FEWEST_EXPECTED = 20
"""Choices of a genre with preference 0 that chance would give, from which on none at all gives a count away."""
MANY_ZEROS = 0.05
MANY_COUNTS, COUNT_TOLERANCE, MOST_COUNTED = 0.5, 0.006, 400
"""Share of the uploaders whose preferences are their own counts, from which on that is no chance; how near they have to
be, which allows for two digits; uploaders that are looked at."""


def looks_counted(
    preference: np.ndarray, genres: np.ndarray, group: np.ndarray | None = None
) -> tuple[bool, str | None]:
    """Signs that preferences were counted from the very choices that they are to explain.

    Such a preference gives no 0 to a genre that was chosen, and of few choices it has many zeros; or, smoothed, it is
    (c_k + b_k) / sum_j (c_j + b_j) of the uploader's counts c and numbers b that all share.

    Args:
        preference: (n, K) probabilities; genres: (n, K) of the chosen tracks.
        group: (n,) numbers of the uploaders; None to take rows of one preference for one uploader's.

    Returns:
        Whether that is as good as certain, and what the sign is, None where there is none.
    """
    impossible = preference == 0
    zeros = float(impossible.mean())
    observed, expected = float((genres * impossible).sum()), float((impossible @ genres.mean(axis=0)).sum())
    found = f"{zeros:.0%} of the preferences are 0, and {observed:.0f} of {len(preference)} rows chose such a genre, "
    found += f"where {expected:.0f} would by the genres' shares"
    if observed == 0 and expected >= FEWEST_EXPECTED:
        return True, found
    share = max(smoothed_counts(preference, part, group) for part in (genres, genres > 0))
    if share >= MANY_COUNTS:
        return True, f"{share:.0%} of the uploaders' preferences are the genres of their own choices, smoothed"
    return False, found if zeros > MANY_ZEROS else None


def smoothed_counts(preference: np.ndarray, genres: np.ndarray, group: np.ndarray | None = None) -> float:
    """Share of the uploaders whose preference is (c_k + b_k) / sum_j (c_j + b_j) with one b for all.

    b solves linear equations, b_k - p_uk sum_j b_j = n_u p_uk - c_uk, over the half of the uploaders that they fit best
    (least trimmed squares). Preferences for one genre alone fit every count of that genre, and are passed over.
    """
    if group is None:
        group = np.unique(preference, axis=0, return_inverse=True)[1].reshape(-1)
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    p = preference[first].astype(np.float64)
    counts = np.stack([np.bincount(group, column, len(first)) for column in genres.astype(np.float64).T], axis=1)
    kept = np.flatnonzero((p.max(axis=1) < 1 - 4 * COUNT_TOLERANCE) & (counts.sum(axis=1) > 0))
    if len(kept) < FEWEST_EXPECTED:
        return 0.0
    kept = np.random.default_rng(0).permutation(kept)[:MOST_COUNTED]
    p, counts = p[kept], counts[kept]
    size, total = p.shape[1], counts.sum(axis=1, keepdims=True)
    equations, wanted = np.eye(size) - p[:, :, None], total * p - counts

    def apart(b: np.ndarray) -> np.ndarray:
        return np.abs(p - (counts + b) / np.maximum(total + b.sum(), 1e-9)).max(axis=1)

    best = 0.0
    for start in (0.0, 0.1, 1.0, 5.0):
        b = np.full(size, start)
        for _ in range(6):
            near = np.argsort(apart(b), kind="stable")[: max(size, len(p) // 2)]
            solved = np.linalg.lstsq(equations[near].reshape(-1, size), wanted[near].ravel(), rcond=None)[0]
            b = np.maximum(solved, 0)
        best = max(best, float((apart(b) < COUNT_TOLERANCE).mean()))
    return best


class Fit(NamedTuple):
    """A conditional logit of kinds: log-likelihood, (n, T) probabilities, and its numbers."""

    likelihood: float
    chances: np.ndarray
    numbers: np.ndarray


def fit_kinds(content: np.ndarray, kind: np.ndarray, taste: np.ndarray | None = None) -> Fit:
    """Maximum likelihood of softmax(s content + a_k + c taste): a slope, a number for each kind, and c where asked.

    The slope and the kinds' numbers put right a content model that was fitted under a penalty.

    Args:
        kind: (n,) chosen; taste: (n, T) log-preference.

    Returns:
        ``numbers`` are s, a_1 ... a_T, and c (0 without taste).
    """
    kinds = content.shape[1]
    counts = np.bincount(kind, minlength=kinds).astype(np.float64)
    rows = np.arange(len(kind))
    free = 1 + kinds + (taste is not None)

    def log_chances(at: np.ndarray) -> np.ndarray:
        utility = at[0] * content + at[1 : 1 + kinds]
        return log_softmax(utility if taste is None else utility + at[-1] * taste, axis=1)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_chances(at)
        p = np.exp(logs)
        ridge = 1e-3 * at[1 : 1 + kinds]  # the kinds' numbers count up to a constant
        slope = [(p * content).sum() - content[rows, kind].sum(), *(p.sum(axis=0) - counts + ridge)]
        slope += [] if taste is None else [(p * taste).sum() - taste[rows, kind].sum()]
        return float(-logs[rows, kind].sum() + (ridge * at[1 : 1 + kinds]).sum() / 2), np.array(slope)

    start = np.zeros(free)
    start[0] = 1.0
    done = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-4 * len(kind) ** 0.5})
    logs = log_chances(done.x)
    numbers = done.x if taste is not None else np.append(done.x, 0.0)
    return Fit(float(logs[rows, kind].sum()), np.exp(logs), numbers)


def beyond_features(taste: np.ndarray, described: np.ndarray) -> np.ndarray:
    """What is left of (n, T) log-preferences after a regression on the videos' (n, F) description.

    Where a preference shows in the videos, an error of the content model goes with it and looks like a habit. The rest
    does not (Robinson, "Root-N-consistent semiparametric regression", Econometrica, 1988).
    """
    return taste - described @ np.linalg.lstsq(described, taste, rcond=None)[0]


def score_test(content: np.ndarray, kind: np.ndarray, taste: np.ndarray, group: np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of no habit: the score of c at 0, by the signs of the groups' parts.

    Rows of one uploader are no independent rows: what the features miss of its content comes back in all of them, and a
    likelihood ratio would reject at every chance. So each uploader's part of the score, less what slope and kinds'
    numbers explain, counts as one draw, and its sign is drawn anew (the score bootstrap of Kline and Santos, "A score
    based approach to wild bootstrap inference", Journal of Econometric Methods, 2012).

    Args:
        content: (n, T); kind: (n,) chosen; taste: (n, T) log-preference; group: (n,) numbers of the uploaders.
    """
    without = fit_kinds(content, kind)
    residual = np.eye(content.shape[1])[kind] - without.chances
    own = (residual * taste).sum(axis=1)
    others = np.column_stack([(residual * content).sum(axis=1), residual])
    means = (without.chances * taste).sum(axis=1, keepdims=True)
    # what a move of slope and numbers would take of the score, by the information matrix at the fit
    spread = without.chances * (taste - means)
    across = np.append((spread * content).sum(), spread.sum(axis=0))
    centred = content - (without.chances * content).sum(axis=1, keepdims=True)
    with_slope = without.chances * centred
    among = np.diag(without.chances.sum(axis=0)) - without.chances.T @ without.chances
    information = np.block(
        [
            [np.array([[(with_slope * content).sum()]]), with_slope.sum(axis=0)[None]],
            [with_slope.sum(axis=0)[:, None], among],
        ]
    )
    part = own - others @ (np.linalg.pinv(information, hermitian=True) @ across)
    sums = np.bincount(np.unique(group, return_inverse=True)[1], part)
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], size=(PERMUTATIONS, len(sums)))
    return float((1 + (np.abs(flips @ sums) >= abs(sums.sum())).sum()) / (1 + PERMUTATIONS))


def others_preference(
    uploader: np.ndarray, genres: np.ndarray, rows: np.ndarray, smoothing: float = SMOOTHING
) -> np.ndarray:
    """Preferences counted from an uploader's *other* rows, so that a row's own genre never enters its preference.

    Args:
        uploader: (N,) numbers from 0 on; genres: (N, K) of the chosen tracks, each row a distribution or zeros.
        rows: (n,) the rows to give preferences of.

    Returns:
        (n, K), rows sum to 1; the shares of all rows for an uploader without others.
    """
    overall = genres.sum(axis=0) / max(float(genres.sum()), 1e-12)
    counts = np.stack([np.bincount(uploader, column) for column in genres.T], axis=1)
    others = np.maximum(counts[uploader[rows]] - genres[rows], 0) + smoothing * overall
    return others / others.sum(axis=1, keepdims=True)


def permutation_test(
    uploader: np.ndarray, residual: np.ndarray, seed: int = 0, permutations: int = PERMUTATIONS
) -> float:
    """One-sided p-value of no habit: do the rows of one uploader depart from content alike, more than any rows do?

    The statistic is the score of a variance of the uploaders' tastes (Lin, "Variance component testing in generalised
    linear models with random effects", Biometrika, 1997): the sum over pairs of rows of one uploader of the inner
    product of their residuals, every kind in units of its deviation. The rows' labels are permuted.

    Args:
        uploader: (n,) numbers; residual: (n, T), the chosen kind as a one less its probability by content.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(uploader, kind="stable")
    first = np.flatnonzero(np.diff(uploader[order], prepend=-1))
    scaled = residual / np.maximum(residual.std(axis=0), 1e-9)

    def statistic(rows: np.ndarray) -> float:  # with the pairs of a row with itself, whose sum no permutation changes
        return float(np.square(np.add.reduceat(scaled[rows], first, axis=0)).sum())

    own = statistic(order)
    above = sum(statistic(rng.permutation(order)) >= own for _ in range(permutations))
    return (1 + above) / (1 + permutations)


class Strength(NamedTuple):
    """How strong a habit is, with its 95 % interval, and what would be found in four of five data sets like this one.

    Of a given preference the coefficient of its logarithm, of counted choices :func:`taste_deviation`.
    """

    value: float
    low: float
    high: float
    detectable: float


def taste_deviation(without: Fit, kind: np.ndarray, uploader: np.ndarray, seed: int = 0) -> Strength:
    """Standard deviation of the uploaders' tastes for kinds of tracks, as log-odds, beyond what content tells.

    By moments of pairs of rows of one uploader: to first order the mean product of two residuals is the variance of the
    tastes times tr(V_i V_j), V the covariance of the chosen kind by content. No row is paired with itself, so that the
    noise of a few choices, which would shrink a coefficient of counted shares, does not enter (errors in variables). A
    coefficient of counted shares is no strength even when it is corrected for their reliability: it is then near 1 for
    every habit, since the shares hold the habit already. Interval by the bootstrap over uploaders.

    Args:
        without: the fit by content alone; kind: (n,) chosen; uploader: (n,) numbers.
    """
    order = np.argsort(uploader, kind="stable")
    first = np.flatnonzero(np.diff(uploader[order], prepend=-1))
    residual = np.eye(without.chances.shape[1])[kind] - without.chances
    sums = np.array([_pairs(residual[rows], without.chances[rows]) for rows in np.split(order, first[1:])])
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=BOOTSTRAPS)

    def variance(of: np.ndarray) -> np.ndarray:
        return np.divide(of[..., 0], of[..., 1], out=np.zeros(of.shape[:-1]), where=of[..., 1] > 1e-12)

    variances = variance(drawn @ sums)
    low, high = np.sqrt(np.quantile(variances, [0.025, 0.975]).clip(min=0))
    value = float(variance(sums.sum(axis=0)).clip(min=0)) ** 0.5
    return Strength(value, float(low), float(high), float((2.8 * variances.std()) ** 0.5))


def _pairs(residual: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Sums over ordered pairs of different rows: of the residuals' products, and of tr(V_i V_j)."""
    squares = np.square(p)
    one, total = squares.sum(axis=1), p.sum(axis=0)
    gram = p.T @ p if len(p) > p.shape[1] else p @ p.T  # of one norm
    covariances = total @ total - one.sum() - 2 * (total @ squares.sum(axis=0) - (p * squares).sum())
    covariances += np.square(gram).sum() - np.square(one).sum()
    return float(np.square(residual.sum(axis=0)).sum() - np.square(residual).sum()), float(covariances)


def e_value(ratio: float) -> float:
    """How strongly something unmeasured would have to go with both the uploader and the genre to explain a risk ratio.

    VanderWeele and Ding, "Sensitivity Analysis in Observational Research: Introducing the E-Value", Annals of Internal
    Medicine, 2017: RR + sqrt(RR (RR - 1)), of 1 / RR where RR is below 1.

    >>> round(e_value(3.9), 2)
    7.26
    """
    ratio = max(ratio, 1 / ratio)
    return ratio + (ratio * (ratio - 1)) ** 0.5


def risk_ratio(without: Fit, raised: float) -> float:
    """How much likelier a kind becomes as its log-odds rise by so much; mean over rows and kinds."""
    p, factor = without.chances, np.exp(raised)
    return float((p * factor / (1 - p + p * factor)).sum() / p.sum())
