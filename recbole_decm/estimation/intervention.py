"""Evaluated rows under the fitted model: chances of tracks without the uploaders' habits, and the choices' weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.logit import blocks, shares
from recbole_decm.estimation.mixed import DRAWS, draw_noise
from recbole_decm.estimation.model import ChoiceModel

_NOISE_ROWS = 64


@dataclass(frozen=True)
class Intervention:
    """What a choice model says of some rows, each a video with a track that was chosen for it.

    q is the chance of a track at c = 0, P at the fitted c; both are means over the draws.

    Attributes:
        weight: (n,) float64, q / P of the chosen track.
        overlap: (n,) float64, b = 1 / sum over the tracks of q^2 / P: the inverse second moment of the row's weight.
        kinds: (n, T) float64, q of each kind of track; observed_kinds: the same of P.
        log_normaliser: (n, R) float32, of each draw at c = 0.
    """

    model: ChoiceModel
    tracks: Tracks
    match: np.ndarray
    weight: np.ndarray
    overlap: np.ndarray
    kinds: np.ndarray
    observed_kinds: np.ndarray
    log_normaliser: np.ndarray
    seed: int

    def chances(self, start: int, listed: np.ndarray) -> np.ndarray:
        """q of some tracks: (B, k) tracks of the rows from ``start`` on -> (B, k) float64."""
        rows = slice(start, start + len(listed))
        seen = self.model.mixing.coefficients(self.match[rows], _noise(rows, self.match.shape[1], self.seed))
        utility = seen @ self.tracks.described[listed].transpose(0, 2, 1)
        return np.exp(utility - self.log_normaliser[rows][:, :, None]).mean(axis=1, dtype=np.float64)


def intervene(model: ChoiceModel, choices: Choices, tracks: Tracks, seed: int = 0) -> Intervention:
    """Weigh the choices of rows that the model was not fitted on."""
    count, kinds = len(choices), len(tracks.membership)
    match = choices.described @ model.matrix
    found = {name: np.empty(count) for name in ("weight", "overlap")}
    by_kind = {name: np.empty((count, kinds)) for name in ("kinds", "observed_kinds")}
    log_normaliser = np.empty((count, DRAWS), dtype=np.float32)
    kind_of_sample = np.eye(kinds)[tracks.kind[tracks.sample]]
    for rows in blocks(count, DRAWS * len(tracks.sample)):
        chosen, taste = choices.chosen[rows], model.mixing.strength * choices.taste[rows]
        seen = model.mixing.coefficients(match[rows], _noise(rows, match.shape[1], seed))
        q, q_own, log_normaliser[rows] = _mean_shares(seen, None, tracks, chosen)
        p, p_own, _ = _mean_shares(seen, taste, tracks, chosen)
        found["weight"][rows] = q_own / p_own
        # A term stands for as many tracks as the sample leaves out; its square stands for as many squares.
        held = (len(tracks.kind) - 1) / np.maximum((q > 0).sum(axis=1, keepdims=True), 1)
        moment = np.divide(np.square(q), p * held, out=np.zeros_like(q), where=p > 0) * held
        found["overlap"][rows] = 1 / (moment.sum(axis=1) + q_own**2 / p_own)
        own = np.eye(kinds)[tracks.kind[chosen]]
        by_kind["kinds"][rows] = q @ kind_of_sample + q_own[:, None] * own
        by_kind["observed_kinds"][rows] = p @ kind_of_sample + p_own[:, None] * own
    return Intervention(model, tracks, match, **found, **by_kind, log_normaliser=log_normaliser, seed=seed)


def _mean_shares(
    seen: np.ndarray, taste: np.ndarray | None, tracks: Tracks, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`~recbole_decm.estimation.logit.shares`, means over the draws: (B, S) and (B,) float64, (B, R)."""
    rows, draws, _ = seen.shape
    coefficients, columns = seen.reshape(rows * draws, -1), tracks.described
    if taste is not None:
        columns = tracks.columns
        coefficients = np.concatenate([coefficients, np.repeat(taste.astype(np.float32), draws, axis=0)], axis=1)
    repeated = np.repeat(chosen, draws)
    own_utility = np.einsum("bc,bc->b", coefficients, columns[repeated])
    terms, own, log_normaliser = shares(coefficients, columns, tracks, repeated, own_utility)
    mean = terms.reshape(rows, draws, -1).mean(axis=1, dtype=np.float64)
    return mean, own.reshape(rows, draws).mean(axis=1, dtype=np.float64), log_normaliser.reshape(rows, draws)


def _noise(rows: slice, size: int, seed: int) -> np.ndarray:
    """The draws of some rows, the same whichever rows they are asked for with."""
    first, last = rows.start // _NOISE_ROWS, max(rows.stop - 1, rows.start) // _NOISE_ROWS
    sources = (np.random.default_rng([seed, part]) for part in range(first, last + 1))
    return np.concatenate([draw_noise(_NOISE_ROWS, DRAWS, size, source) for source in sources])[
        rows.start - first * _NOISE_ROWS :
    ][: rows.stop - rows.start]
