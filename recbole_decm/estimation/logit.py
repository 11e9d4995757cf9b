"""A bilinear conditional logit of tracks, fitted by penalised maximum likelihood.

P(m | x, u) = exp(U) / sum of exp(U) over the tracks, U = x' D y_m + c l_u,kind(m) (McFadden, 1974). In a large
catalogue the sum runs over a uniform sample beside the chosen track. A fit draws one for every few rows and counts each
track once: its numbers are then right for samples of any size (McFadden, "Modelling the choice of residential
location", 1978). Chances take a sample for as many tracks as there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import minimize

from recbole_decm.estimation.choices import Choices, Tracks

_BLOCK_CELLS = 1 << 19
SHARE_A_SAMPLE = 16
"""Rows of a fit for which the same tracks are drawn."""
FREE_PENALTY = 1.0
"""Penalty of the tracks' own attraction, the row of D that belongs to the column of ones."""


def fit_logit(
    choices: Choices, tracks: Tracks, penalty: float, start: np.ndarray | None = None, with_taste: bool = True
) -> np.ndarray:
    """Fit D and c: minus the summed log-likelihood, plus ``penalty / 2`` times the squares of D.

    Args:
        start: of an earlier fit, to begin with.
        with_taste: whether c is fitted; else it is 0.

    Returns:
        (F * Y + 1,) float64: D row by row, and c.
    """
    shape = (choices.described.shape[1], tracks.described.shape[1])
    weights = np.full(shape, penalty)
    weights[0] = min(penalty, FREE_PENALTY)
    found = np.zeros(weights.size + 1) if start is None else start.copy()
    # In units in which all directions bend about alike, fewer steps are needed.
    spread = np.outer(np.sqrt(np.square(choices.described).mean(axis=0)), tracks.described.std(axis=0) + 0.05)
    units = np.append(1 / np.sqrt(len(choices) * spread**2 + weights).ravel(), 1 / np.sqrt(len(choices)))

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        free = scaled * units
        value, slope = negative_log_likelihood(free, choices, tracks)
        value += float((weights.ravel() * free[:-1] ** 2).sum()) / 2
        slope[:-1] += weights.ravel() * free[:-1]
        slope[-1] *= with_taste
        return value, slope * units

    done = minimize(loss, found / units, jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-7})
    return done.x * units


def negative_log_likelihood(free: np.ndarray, choices: Choices, tracks: Tracks) -> tuple[float, np.ndarray]:
    """Minus the summed log-likelihood at D and c, as :func:`fit_logit` returns them, and its gradient."""
    width = tracks.described.shape[1]
    matrix, c = free[:-1].reshape(-1, width).astype(np.float32), np.float32(free[-1])
    columns, value = tracks.columns, 0.0
    slope, slope_c = np.zeros(matrix.shape), 0.0
    for rows in fit_blocks(len(choices), tracks):
        x, taste = choices.described[rows], choices.taste[rows]
        coefficients = np.concatenate([x @ matrix, c * taste], axis=1)
        log_chosen, mean = normalised(coefficients, columns, tracks.drawn(rows.start), choices.chosen[rows])
        value -= float(log_chosen.sum(dtype=np.float64))
        gap = mean - columns[choices.chosen[rows]]
        slope += x.T @ gap[:, :width]
        slope_c += float((gap[:, width:] * taste).sum(dtype=np.float64))
    return value, np.append(slope.ravel(), slope_c)


def normalised(
    coefficients: np.ndarray, columns: np.ndarray, tracks: Tracks, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of the chosen tracks, and the mean of the tracks' columns under the model.

    Args:
        coefficients: (B, Y + T) float32; columns: (M, Y + T), whose product are the utilities.
        chosen: (B,) tracks.

    Returns:
        (B,) and (B, Y + T) float32.
    """
    own = columns[chosen]
    own_utility = np.einsum("bc,bc->b", coefficients, own)
    terms, weight_own, _ = shares(coefficients, columns, tracks, chosen, own_utility, counted_once=True)
    mean = terms @ columns[tracks.sample] + weight_own[:, None] * own
    return np.log(np.maximum(weight_own, np.finfo(np.float32).tiny)), mean


def shares(
    coefficients: np.ndarray,
    columns: np.ndarray,
    tracks: Tracks,
    chosen: np.ndarray,
    own_utility: np.ndarray,
    counted_once: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of the sampled tracks, each with those it stands for, and of the chosen track beside them.

    Args:
        counted_once: a sampled track stands for itself alone.

    Returns:
        (B, S), 0 where a row chose the track; (B,) of the chosen track; (B,) logarithm of the normaliser.
    """
    utilities = coefficients @ columns[tracks.sample].T
    place = np.searchsorted(tracks.sample, chosen).clip(max=len(tracks.sample) - 1)
    sampled = tracks.sample[place] == chosen
    utilities[np.flatnonzero(sampled), place[sampled]] = -np.inf
    others = np.maximum(len(tracks.sample) - sampled, 1)
    correction = np.ones(1) if counted_once else (len(tracks.kind) - 1) / others
    top = np.maximum(utilities.max(axis=1), own_utility)
    utilities -= top[:, None]
    terms = np.exp(utilities, out=utilities)
    terms *= correction[:, None].astype(np.float32)
    own = np.exp(own_utility - top)
    total = terms.sum(axis=1) + own
    terms /= total[:, None]
    return terms, own / total, top + np.log(total)


def fit_blocks(rows: int, tracks: Tracks, draws: int = 1) -> Iterator[slice]:
    """Blocks of rows that share a sample of the tracks, or that fit into memory where there is no sample."""
    cells = draws * len(tracks.sample)
    return blocks(rows, cells if tracks.is_whole else max(cells, _BLOCK_CELLS // SHARE_A_SAMPLE))


def blocks(rows: int, cells_a_row: int) -> Iterator[slice]:
    """Slices of the rows, of about half a million cells each, which stay in a cache."""
    step = max(1, _BLOCK_CELLS // max(1, cells_a_row))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
