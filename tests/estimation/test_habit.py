"""Tests of a habit: known coefficients, labels that mean nothing, and rows that do not see themselves."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.estimation import habit
from recbole_decm.estimation.choices import log_preference

KINDS = np.eye(3)


def choices(rows: int, strength: float, each: int = 5, seed: int = 0, unseen: float = 0.0):
    """(content, kinds chosen, log-preferences, uploaders) of a conditional logit of three kinds.

    Args:
        unseen: deviation of what all videos of an uploader have and ``content`` does not show.
    """
    rng = np.random.default_rng(seed)
    uploader = np.arange(rows) // each
    preference = rng.dirichlet(np.ones(3), rows // each + 1)[uploader]
    content, taste = rng.normal(size=(rows, 3)), log_preference(preference, KINDS).astype(float)
    hidden = unseen * rng.normal(size=(rows // each + 1, 3))[uploader] if unseen else 0
    chances = np.exp(content + hidden + strength * taste)
    chances /= chances.sum(axis=1, keepdims=True)
    return content, (rng.random((rows, 1)) < chances.cumsum(axis=1)).argmax(axis=1), taste, uploader


def test_slope_and_strength_that_were_put_in_are_found():
    content, kind, taste, _ = choices(4_000, 0.7)
    found = habit.fit_kinds(0.5 * content + [0, 1, 2], kind, taste)
    assert found.numbers[0] == pytest.approx(2, abs=0.15)
    assert found.numbers[-1] == pytest.approx(0.7, abs=0.08)
    np.testing.assert_allclose(found.chances.sum(axis=0), np.bincount(kind), rtol=0.01)


@pytest.mark.parametrize("each, unseen, strength", [(5, 0.0, 0.5), (20, 1.5, 3.0)])
def test_the_score_finds_a_habit_and_keeps_its_size(each, unseen, strength):
    """Also where what the features miss is the same in all videos of an uploader, so that they are no 20 draws."""

    def p_value(strength, seed):
        content, kind, taste, uploader = choices(800, strength, each, seed, unseen)
        return habit.score_test(content, kind, taste, uploader, seed)

    assert all(p_value(strength, seed) < 0.05 for seed in range(5))
    none = [p_value(0.0, seed) for seed in range(60)]
    assert sum(p < 0.05 for p in none) <= 8  # 1 in 600 by chance
    assert 0.3 < np.mean(none) < 0.7


def test_a_preference_that_the_features_tell_has_no_rest():
    rng = np.random.default_rng(0)
    described, noise = np.c_[np.ones(500), rng.normal(size=(500, 4))], rng.normal(size=(500, 3))
    told = described @ rng.normal(size=(5, 3))
    np.testing.assert_allclose(habit.beyond_features(told, described), 0, atol=1e-9)
    rest = habit.beyond_features(told + noise, described)
    np.testing.assert_allclose(described.T @ rest, 0, atol=1e-9)
    assert np.corrcoef(rest.ravel(), noise.ravel())[0, 1] > 0.98


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


def tasted(rows: int, deviation: float, each: int, seed: int = 0):
    """(fit by content alone, kinds chosen, uploaders): each uploader has a normal taste for each of three kinds."""
    rng = np.random.default_rng(seed)
    uploader = rng.permutation(rows) // each
    content = rng.normal(size=(rows, 3))
    chances = np.exp(content + deviation * rng.normal(size=(rows // each + 1, 3))[uploader])
    chances /= chances.sum(axis=1, keepdims=True)
    kind = (rng.random((rows, 1)) < chances.cumsum(axis=1)).argmax(axis=1)
    return habit.fit_kinds(content, kind), kind, uploader


@pytest.mark.parametrize("each", [2, 5, 40])
def test_the_deviation_of_tastes_is_found_however_few_rows_an_uploader_has(each):
    found = habit.taste_deviation(*tasted(6_000, 0.5, each))
    assert found.value == pytest.approx(0.5, abs=0.12)  # to first order
    assert found.value - 0.2 < found.low < found.value < found.high < found.value + 0.2
    none = habit.taste_deviation(*tasted(6_000, 0.0, each))
    assert none.low == 0 and none.value < none.high < 0.35


def test_sums_over_pairs_are_those_of_a_double_loop():
    rng = np.random.default_rng(0)
    for rows in (3, 5):  # fewer and more than kinds
        p, residual = rng.dirichlet(np.ones(4), rows), rng.normal(size=(rows, 4))
        v = [np.diag(row) - np.outer(row, row) for row in p]
        pairs = [(i, j) for i in range(rows) for j in range(rows) if i != j]
        wanted = sum(residual[i] @ residual[j] for i, j in pairs), sum(np.trace(v[i] @ v[j]) for i, j in pairs)
        np.testing.assert_allclose(habit._pairs(residual, p), wanted)


def test_nobody_with_two_rows_has_no_deviation():
    fit, kind, _ = tasted(60, 0.5, 5)
    assert habit.taste_deviation(fit, kind, np.arange(60)).value == 0


def test_a_risk_ratio_of_no_habit_is_one_and_grows_with_it():
    even = habit.Fit(0.0, np.full((5, 2), 0.5), np.zeros(3))
    assert habit.risk_ratio(even, 0.0) == 1 and habit.risk_ratio(even, np.log(3)) == pytest.approx(1.5)
    assert habit.e_value(1.0) == 1 and habit.e_value(0.5) == habit.e_value(2.0) == pytest.approx(2 + 2**0.5)
