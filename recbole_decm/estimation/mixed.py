"""What the features of a video do not show, as a random coefficient: a mixed logit by simulated maximum likelihood.

U = k (e_i + sqrt(rho) z)' y_m + c l_u,kind(m), z ~ N(0, Cov(e)) (Train, "Discrete Choice Methods with Simulation",
2009, chapters 6 and 10). Without it, that an uploader took a genre which it dislikes would say nothing about the video.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.logit import fit_blocks, normalised

DRAWS = 64
"""Antithetic draws a row; with 16, rho comes out too small."""
MOST_ROWS = 1_200
"""Rows of the fit: three numbers need no more."""
_RHO = (-2.0, 1.5)
"""Mean and deviation of a weak prior on log(rho)."""


@dataclass(frozen=True)
class Mixing:
    """A mixed logit above a matrix D.

    Attributes:
        scale: k; unseen: rho; strength: c; spread: (Y, Y) float32, a root of Cov(e).
        deviation: standard error of c, from the outer products of the slopes of rows, or of groups of rows where they
            are given (Liang and Zeger, Biometrika, 1986); the matrix D counts as known.
    """

    scale: float
    unseen: float
    strength: float
    spread: np.ndarray
    deviation: float = float("nan")

    def coefficients(self, match: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(B, Y) match and (B, R, Y) standard normal draws -> (B, R, Y) coefficients of the tracks' descriptions."""
        drawn = np.float32(np.sqrt(self.unseen)) * (noise @ self.spread)
        return np.float32(self.scale) * (match[:, None, :] + drawn)


def draw_noise(rows: int, draws: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, draws, size) float32 standard normal numbers, the second half of the draws the negatives of the first."""
    half = rng.standard_normal((rows, draws // 2, size), dtype=np.float32)
    return np.concatenate([half, -half], axis=1)


def fit_mixing(
    match: np.ndarray,
    choices: Choices,
    tracks: Tracks,
    strength: float,
    seed: int = 0,
    group: np.ndarray | None = None,
) -> Mixing:
    """Fit k, rho and c.

    Args:
        match: (n, Y) float32, e of each row by a matrix that was fitted without it.
        strength: where to start c.
        group: (n,) numbers of the uploaders, whose rows are not independent.
    """
    spread = _root(np.cov(match, rowvar=False).reshape(match.shape[1], -1))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(choices))[:MOST_ROWS])
    match, choices = match[rows], choices.take(rows)
    noise = draw_noise(len(choices), DRAWS, match.shape[1], rng) @ spread
    columns = tracks.columns

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        value, slopes = _negative_log_likelihood(free, match, noise, choices, tracks, columns)
        slope = slopes.sum(axis=0)
        away = (free[1] - _RHO[0]) / _RHO[1]
        slope[1] += away / _RHO[1]
        return value + away**2 / 2, slope

    bounds = [(-3.0, 3.0), (-8.0, 3.0), (-10.0, 10.0)]
    done = minimize(
        loss,
        np.array([0.0, _RHO[0], strength]),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": 25, "ftol": 1e-6},
    )
    slopes = _negative_log_likelihood(done.x, match, noise, choices, tracks, columns)[1]
    information = slopes.T @ slopes + np.diag([1e-9, _RHO[1] ** -2, 1e-9])
    inverse = np.linalg.inv(information)
    if group is not None:
        of_group = np.zeros((int(group.max()) + 1, 3))
        np.add.at(of_group, group[rows], slopes)
        inverse = inverse @ (of_group.T @ of_group) @ inverse
    deviation = float(np.sqrt(inverse[2, 2]))
    return Mixing(float(np.exp(done.x[0])), float(np.exp(done.x[1])), float(done.x[2]), spread, deviation)


def _negative_log_likelihood(
    free: np.ndarray, match: np.ndarray, noise: np.ndarray, choices: Choices, tracks: Tracks, columns: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the simulated log-likelihood at (log k, log rho, c), and (n, 3) its gradient row by row."""
    scale, root, c = np.float32(np.exp(free[0])), np.float32(np.exp(free[1] / 2)), np.float32(free[2])
    draws, width, value, slopes = noise.shape[1], match.shape[1], 0.0, np.empty((len(choices), 3))
    for rows in fit_blocks(len(choices), tracks, draws):
        unseen = scale * root * noise[rows]
        seen = scale * match[rows][:, None, :] + unseen
        taste = np.repeat(choices.taste[rows][:, None, :], draws, axis=1)
        chosen = np.repeat(choices.chosen[rows], draws)
        coefficients = np.concatenate([seen, c * taste], axis=2).reshape(-1, columns.shape[1])
        log_chosen, mean = normalised(coefficients, columns, tracks.drawn(rows.start), chosen)
        gap = (columns[chosen] - mean).reshape(-1, draws, columns.shape[1])
        likelihood = np.exp(log_chosen.reshape(-1, draws).astype(np.float64))
        total = likelihood.sum(axis=1, keepdims=True)
        weight = likelihood / total
        value -= float(np.log(total / draws).sum())
        parts = ((seen, gap[..., :width]), (unseen / 2, gap[..., :width]), (taste, gap[..., width:]))
        for number, (moved, by) in enumerate(parts):
            slopes[rows, number] = -(weight * (moved * by).sum(axis=2)).sum(axis=1)
    return value, slopes


def _root(covariance: np.ndarray) -> np.ndarray:
    """A float32 matrix A with A' A = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (np.sqrt(values.clip(min=0))[:, None] * vectors.T).astype(np.float32)
