"""The choice model as a whole: penalty by left-out rows, cross-fitting in three folds, then the mixed logit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.logit import fit_logit, negative_log_likelihood
from recbole_decm.estimation.mixed import Mixing, fit_mixing

FOLDS = 3
PENALTIES = (2000.0, 500.0, 200.0, 80.0, 20.0, 5.0)
"""Tried from the strongest on, until left-out rows become less likely."""
MOST_ROWS = 20_000
"""Rows that the model is fitted on, at most."""


@dataclass(frozen=True)
class ChoiceModel:
    """A fitted model of which track a video gets.

    Attributes:
        matrix: (F, Y) float32, mean of D over the folds; mixing: what stands above it.
        penalty: that was chosen; plain_strength: c of the logit without a random part, mean over the folds.
    """

    matrix: np.ndarray
    mixing: Mixing
    penalty: float
    plain_strength: float

    def arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`of_arrays` makes the same model of."""
        mixing = self.mixing
        numbers = (mixing.scale, mixing.unseen, mixing.strength, mixing.deviation, self.penalty, self.plain_strength)
        return {"matrix": self.matrix, "spread": mixing.spread, "numbers": np.array(numbers)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ChoiceModel:
        """From :meth:`arrays`, such as a file of them."""
        scale, unseen, strength, deviation, penalty, plain = arrays["numbers"].tolist()
        mixing = Mixing(scale, unseen, strength, arrays["spread"], deviation)
        return cls(arrays["matrix"], mixing, penalty, plain)


def fit_choice_model(choices: Choices, tracks: Tracks, seed: int = 0) -> ChoiceModel:
    """Fit on training rows alone.

    The mixed logit is fitted on matches of matrices that did not see the row: in sample, an overfitted match would
    leave too little to the random part and to the preference.
    """
    choices = some_rows(choices, seed)
    match, fits, penalty = cross_fit(choices, tracks, PENALTIES, seed)
    plain = float(np.mean([fit[-1] for fit in fits]))
    width = tracks.described.shape[1]
    matrix = np.mean([fit[:-1].reshape(-1, width) for fit in fits], axis=0)
    return ChoiceModel(matrix.astype(np.float32), fit_mixing(match, choices, tracks, plain, seed), penalty, plain)


def some_rows(choices: Choices, seed: int) -> Choices:
    """At most :data:`MOST_ROWS` of the rows, drawn without replacement."""
    if len(choices) <= MOST_ROWS:
        return choices
    return choices.take(np.sort(np.random.default_rng(seed).permutation(len(choices))[:MOST_ROWS]))


def cross_fit(
    choices: Choices, tracks: Tracks, penalties: Sequence[float], seed: int = 0, with_taste: bool = True
) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Fit without each of :data:`FOLDS` parts of the rows in turn.

    Args:
        penalties: to choose from, by the likelihood of the first part.

    Returns:
        (n, Y) float32 match e of each row by the fit that did not see it; the fits; the penalty.
    """
    fold = np.random.default_rng(seed).permutation(len(choices)) % FOLDS
    first, penalty = _fit_first(choices.take(fold != 0), choices.take(fold == 0), tracks, penalties, with_taste)
    fits = [first]
    fits += [fit_logit(choices.take(fold != part), tracks, penalty, first, with_taste) for part in range(1, FOLDS)]
    match = np.empty((len(choices), tracks.described.shape[1]), dtype=np.float32)
    for part, fit in enumerate(fits):
        rows = fold == part
        match[rows] = choices.described[rows] @ fit[:-1].reshape(-1, match.shape[1]).astype(np.float32)
    return match, fits, penalty


def _fit_first(
    seen: Choices, left_out: Choices, tracks: Tracks, penalties: Sequence[float], with_taste: bool
) -> tuple[np.ndarray, float]:
    found: tuple[float, np.ndarray, float] | None = None
    for penalty in penalties:
        fit = fit_logit(seen, tracks, penalty, None if found is None else found[1], with_taste)
        loss = negative_log_likelihood(fit, left_out, tracks)[0]
        if found is not None and loss > found[0]:
            break
        found = (loss, fit, penalty)
    assert found is not None
    return found[1], found[2]
