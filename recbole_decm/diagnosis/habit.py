"""What the uploader adds to what the video shows: content model, test, strength, overlap, sensitivity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_decm.diagnosis import measures
from recbole_decm.estimation import habit
from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.logit import blocks
from recbole_decm.estimation.mixed import fit_mixing
from recbole_decm.estimation.model import cross_fit

PENALTIES = (500.0, 200.0, 80.0)
SAMPLED_TRACKS = 500
"""Of a catalogue of twice as many; the samples of a smaller one would cost more than they save."""


@dataclass(frozen=True)
class Subject:
    """The data under diagnosis: N training rows, of which n are looked at.

    Attributes:
        seen: (n, C) components of their videos; heard: (M, C') of the tracks; genres: (M, K) of the tracks.
        rows: (n,) which rows they are; chosen: (N,) tracks.
        uploader: (N,) numbers, or None; preference: (n, K) known from outside, or None to count it.
    """

    seen: np.ndarray
    heard: np.ndarray
    genres: np.ndarray
    rows: np.ndarray
    chosen: np.ndarray
    uploader: np.ndarray | None
    preference: np.ndarray | None


def examine(subject: Subject, seed: int = 0, progress: Callable[[str], None] = lambda step: None) -> dict[str, Any]:
    """All that a diagnosis measures.

    Returns:
        ``p_value`` and ``test``; ``strength``: value and 95 % interval of the coefficient of the log-preference, or of
        the uploaders' tastes where preferences are counted; ``detectable``: the strength that would have been found in
        four of five data sets like this one; ``risk_ratio`` of one standard deviation more log-preference or taste and
        its ``e_value``, with that of the interval's end nearer to no habit; ``overlap``, ``concentration`` and
        ``never_chosen``.
    """
    whole = len(subject.heard) < 2 * SAMPLED_TRACKS
    tracks = Tracks.of(subject.heard, subject.genres, seed, len(subject.heard) if whole else SAMPLED_TRACKS)
    membership, kind = tracks.membership, tracks.kind[subject.chosen[subject.rows]]
    all_genres = subject.genres[subject.chosen].astype(np.float64)
    preference = subject.preference
    if preference is None:
        assert subject.uploader is not None
        preference = habit.others_preference(subject.uploader, all_genres, subject.rows)
    choices = Choices.of(subject.seen, preference, subject.chosen[subject.rows], tracks)
    progress("content model")
    match, _, penalty = cross_fit(choices, tracks, PENALTIES, seed, with_taste=False)
    content = log_kinds(match, choices, tracks)
    without = habit.fit_kinds(content, kind)
    taste = choices.taste.astype(np.float64)
    with_taste = habit.fit_kinds(content, kind, taste)
    found: dict[str, Any] = {"rows_examined": len(choices), "penalty": penalty}
    progress("test")
    if subject.preference is not None:
        # A match that was fitted without the preference holds the part of it that features happen to go with.
        fair, _, _ = cross_fit(choices, tracks, [penalty], seed)
        group = _groups(subject)
        mixing = fit_mixing(fair, choices, tracks, float(with_taste.numbers[-1]), seed, group)
        c, reach, unit = mixing.strength, 1.96 * mixing.deviation, float(taste.std())
        strength = habit.Strength(c, c - reach, c + reach, 2.8 * mixing.deviation)
        rest = habit.beyond_features(taste, choices.described.astype(np.float64))
        p_value = habit.score_test(content, kind, rest, group, seed)
        found |= {"test": "score of the uploaders", "p_value": p_value}
    else:
        assert subject.uploader is not None
        own, unit = subject.uploader[subject.rows], 1.0
        strength = habit.taste_deviation(without, kind, own, seed)
        residual = np.eye(len(membership))[kind] - without.chances
        found |= {"test": "permutation of uploaders", "p_value": habit.permutation_test(own, residual, seed)}
    found["strength"] = {"value": strength.value, "low": strength.low, "high": strength.high}
    found["detectable"] = strength.detectable
    progress("overlap")
    nearer = 0.0 if strength.low <= 0 <= strength.high else min(strength.low, strength.high, key=abs)
    ratio, ratio_nearer = (habit.risk_ratio(without, unit * value) for value in (strength.value, nearer))
    found |= {"risk_ratio": ratio, "e_value": habit.e_value(ratio), "e_value_of_interval": habit.e_value(ratio_nearer)}
    found["overlap"] = measures.overlap(_without_habit(content, with_taste), with_taste.chances, kind)
    found["overlap"]["kinds"] = membership.tolist()
    if subject.uploader is not None:
        own, genres = subject.uploader[subject.rows], all_genres[subject.rows]
        expected = without.chances @ membership
        found["concentration"] = measures.concentration(own, genres, expected)
        found["concentration"]["videos"] = len(subject.chosen)
        occurs = without.chances @ (membership > 0)
        found["never_chosen"] = measures.never_chosen(own, genres, occurs)
    return found


def _groups(subject: Subject) -> np.ndarray:
    """(n,) whose rows they are: of uploaders, or of preferences where no uploader is known."""
    if subject.uploader is not None:
        return subject.uploader[subject.rows]
    assert subject.preference is not None
    return np.unique(subject.preference, axis=0, return_inverse=True)[1].reshape(-1)


def log_kinds(match: np.ndarray, choices: Choices, tracks: Tracks) -> np.ndarray:
    """(n, T) float64 log-probability of each kind of track by the match alone.

    A kind is summed over the sampled tracks; which track was chosen does not enter.
    """
    kinds = np.eye(len(tracks.membership))[tracks.kind[tracks.sample]]
    found = np.empty((len(choices), kinds.shape[1]))
    for rows in blocks(len(choices), len(tracks.sample)):
        utility = match[rows] @ tracks.described[tracks.sample].T
        terms = np.exp(utility - utility.max(axis=1, keepdims=True))
        found[rows] = np.log(terms @ kinds + 1e-12)
    return found


def _without_habit(content: np.ndarray, fit: habit.Fit) -> np.ndarray:
    """(n, T) chances of a fit at c = 0."""
    utility = fit.numbers[0] * content + fit.numbers[1:-1]
    terms = np.exp(utility - utility.max(axis=1, keepdims=True))
    return terms / terms.sum(axis=1, keepdims=True)
