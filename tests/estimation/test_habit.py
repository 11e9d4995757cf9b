"""Tests of a habit: known coefficients, labels that mean nothing, and rows that do not see themselves."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.estimation import habit
from recbole_decm.estimation.choices import log_preference

KINDS = np.eye(3)


def choices(rows: int, strength: float, each: int = 5, seed: int = 0):
    """(content, kinds chosen, log-preferences, uploaders) of a conditional logit of three kinds."""
    rng = np.random.default_rng(seed)
    uploader = np.arange(rows) // each
    preference = rng.dirichlet(np.ones(3), rows // each + 1)[uploader]
    content, taste = rng.normal(size=(rows, 3)), log_preference(preference, KINDS).astype(float)
    chances = np.exp(content + strength * taste)
    chances /= chances.sum(axis=1, keepdims=True)
    return content, (rng.random((rows, 1)) < chances.cumsum(axis=1)).argmax(axis=1), taste, uploader


def test_slope_and_strength_that_were_put_in_are_found():
    content, kind, taste, _ = choices(4_000, 0.7)
    found = habit.fit_kinds(0.5 * content + [0, 1, 2], kind, taste)
    assert found.numbers[0] == pytest.approx(2, abs=0.15)
    assert found.numbers[-1] == pytest.approx(0.7, abs=0.08)
    np.testing.assert_allclose(found.chances.sum(axis=0), np.bincount(kind), rtol=0.01)


def test_the_likelihood_ratio_finds_a_habit_and_keeps_its_size():
    def p_value(strength, seed):
        content, kind, taste, _ = choices(400, strength, seed=seed)
        return habit.likelihood_ratio(habit.fit_kinds(content, kind), habit.fit_kinds(content, kind, taste))

    assert all(p_value(0.5, seed) < 0.05 for seed in range(5))
    none = [p_value(0.0, seed) for seed in range(60)]
    assert sum(p < 0.05 for p in none) <= 8  # 1 in 600 by chance
    assert 0.3 < np.mean(none) < 0.7


def test_a_row_never_enters_its_own_preference():
    uploader, genres = np.array([0, 0, 0, 1]), KINDS[[0, 1, 1, 2]]
    overall = np.array([0.25, 0.5, 0.25])
    found = habit.others_preference(uploader, genres, np.arange(4))
    np.testing.assert_allclose(found[0], ([0, 2, 0] + 2 * overall) / 4)
    np.testing.assert_allclose(found[1], ([1, 1, 0] + 2 * overall) / 4)
    np.testing.assert_allclose(found[3], overall)


def test_permuted_labels_tell_a_habit_from_none():
    def p_value(strength, seed=0):
        content, kind, _, uploader = choices(600, strength, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(600)  # rows of one uploader need not be neighbours
        residual = KINDS[kind] - habit.fit_kinds(content, kind).chances
        return habit.permutation_test(7 * uploader[shuffled], residual[shuffled], permutations=99)

    assert p_value(1.5) == 0.01
    none = [p_value(0.0, seed) for seed in range(20)]
    assert sum(p <= 0.05 for p in none) <= 4 and 0.25 < np.mean(none) < 0.75


def test_uploaders_who_avoid_their_own_genre_are_no_sign_of_a_habit():
    uploader, kind = np.repeat(np.arange(50), 3), np.tile([0, 1, 2], 50)
    residual = KINDS[kind] - 1 / 3
    assert habit.permutation_test(uploader, residual, permutations=99) == 1.0
    assert habit.permutation_test(uploader, residual[np.argsort(kind)], permutations=99) == 0.01
    assert habit.permutation_test(np.arange(150), residual, permutations=9) == 1.0  # no pairs, nothing to tell


def test_counts_of_many_rows_are_reliable_and_those_of_few_are_not():
    found = {}
    for each in (2, 60):
        _, kind, _, uploader = choices(6_000, 2.0, each)
        found[each] = habit.reliability_of_counts(uploader, KINDS[kind], KINDS)
    assert found[60] > 0.85 > 0.5 > found[2]
    _, kind, _, uploader = choices(6_000, 0.0)
    assert habit.reliability_of_counts(uploader, KINDS[kind], KINDS) < 0.1
    assert habit.reliability_of_counts(np.arange(50), KINDS[kind[:50]], KINDS) == 0.05


def test_a_strength_is_divided_by_its_reliability():
    content, kind, taste, uploader = choices(3_000, 0.1)
    without = habit.fit_kinds(content, kind)
    plain, corrected = (habit.counted_strength(without, kind, taste, uploader, part) for part in (1.0, 0.5))
    assert plain.low < 0.1 < plain.high and plain.value == pytest.approx(0.1, abs=0.06)
    np.testing.assert_allclose(corrected, 2 * np.array(plain))


def test_a_risk_ratio_of_no_habit_is_one_and_grows_with_it():
    content, kind, taste, _ = choices(300, 0.0)
    without = habit.fit_kinds(content, kind)
    ratios = [habit.risk_ratio(without, taste, strength) for strength in (0.0, 0.5, 1.0)]
    assert ratios[0] == pytest.approx(1) and ratios[0] < ratios[1] < ratios[2]
    assert habit.e_value(1.0) == 1 and habit.e_value(0.5) == habit.e_value(2.0) == pytest.approx(2 + 2**0.5)


def test_preferences_that_were_counted_from_the_choices_are_found_out():
    rng = np.random.default_rng(0)
    uploader, genres = np.repeat(np.arange(100), 4), np.eye(5)[rng.integers(0, 5, 400)]
    shares = np.stack([np.bincount(uploader, column) / 4 for column in genres.T], axis=1)[uploader]
    counted, sign = habit.looks_counted(shares, genres)
    zeros = (shares == 0).mean()
    assert counted and f"{zeros:.0%} of the preferences are 0, and 0 of 400 rows" in sign
    counted, sign = habit.looks_counted(shares, genres[rng.permutation(400)])
    assert not counted and f"{zeros:.0%} of the preferences" in sign  # zeros, but choices against them
    assert habit.looks_counted(rng.dirichlet(np.ones(5), 400), genres) == (False, None)
