"""Estimates without the habit: sums where the world is small, the observed value where there is no habit, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.errors import DataError
from recbole_decm.estimation import effects
from recbole_decm.estimation.choices import Choices, Tracks
from recbole_decm.estimation.intervention import intervene
from recbole_decm.estimation.lists import estimate_of_lists
from recbole_decm.estimation.mixed import Mixing
from recbole_decm.estimation.model import ChoiceModel


def known(rows: int, strength: float, unseen: float = 0.0, tracks: int = 12, whole: int = 2_000, seed: int = 0):
    """A model with numbers that were put in, rows that chose each track once, and the catalogue."""
    rng = np.random.default_rng(seed)
    catalogue = Tracks.of(rng.normal(size=(tracks, 2)).astype(np.float32), np.eye(3)[np.arange(tracks) % 3], 0, whole)
    width = catalogue.described.shape[1]
    mixing = Mixing(1.0, unseen, strength, 0.5 * np.eye(width, dtype=np.float32))
    model = ChoiceModel(rng.normal(0, 0.5, size=(4, width)).astype(np.float32), mixing, 1.0, strength)
    video, chosen = np.repeat(np.arange(rows), tracks), np.tile(np.arange(tracks), rows)
    preference = rng.dirichlet(np.ones(3), rows)[video]
    choices = Choices.of(rng.normal(size=(rows, 3)).astype(np.float32)[video], preference, chosen, catalogue)
    return model, choices, catalogue


def softmax(values):
    terms = np.exp(values - values.max(axis=-1, keepdims=True))
    return terms / terms.sum(axis=-1, keepdims=True)


def test_weights_chances_and_overlap_are_sums_over_the_catalogue():
    model, choices, tracks = known(20, 1.3)
    found = intervene(model, choices, tracks)
    match = choices.described @ model.matrix @ tracks.described.T
    q, p = softmax(match), softmax(match + 1.3 * choices.taste[:, tracks.kind])
    rows = np.arange(len(choices))
    np.testing.assert_allclose(found.weight, (q / p)[rows, choices.chosen], rtol=1e-4)
    np.testing.assert_allclose(found.overlap, 1 / (q**2 / p).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(found.kinds, q @ np.eye(3)[tracks.kind], rtol=1e-4)
    np.testing.assert_allclose(found.observed_kinds, p @ np.eye(3)[tracks.kind], rtol=1e-4)
    listed = np.array([[3, 1, 7], [0, 11, 2]])
    np.testing.assert_allclose(found.chances(5, listed), np.take_along_axis(q[5:7], listed, axis=1), rtol=1e-4)


def test_chances_do_not_depend_on_the_rows_they_are_asked_for_with():
    model, choices, tracks = known(30, 1.0, unseen=0.5)
    found = intervene(model, choices, tracks)
    listed = np.tile(np.arange(12), (len(choices), 1))
    whole = found.chances(0, listed)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(found.chances(100, listed[100:250]), whole[100:250], rtol=1e-5)


def test_a_sampled_catalogue_gives_about_the_same():
    parts = [known(2, 1.0, tracks=1_500, whole=most) for most in (2_000, 1_000)]
    some = np.arange(0, 3_000, 50)
    whole, sampled = (intervene(model, choices.take(some), tracks) for model, choices, tracks in parts)
    np.testing.assert_allclose(sampled.kinds.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(sampled.overlap, whole.overlap, rtol=0.1)
    np.testing.assert_allclose(sampled.weight, whole.weight, rtol=0.15)
    np.testing.assert_allclose(sampled.kinds, whole.kinds, atol=0.05)


def test_without_habit_the_estimate_is_the_observed_value():
    model, choices, tracks = known(20, 0.0, unseen=0.3)
    found = intervene(model, choices, tracks)
    gains = (choices.chosen < 4).astype(float)[:, None]
    expected = np.random.default_rng(0).random(gains.shape)  # whatever the chances are
    np.testing.assert_allclose(found.weight, 1, rtol=1e-5)
    np.testing.assert_allclose(found.overlap, 1, rtol=1e-5)
    assert effects.augmented(gains, expected, found.weight, found.overlap)[0] == pytest.approx(4 / 12, rel=1e-5)


def test_wrong_chances_are_put_right_by_the_weights_and_wrong_weights_by_the_chances():
    rng = np.random.default_rng(0)
    worth = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    q, p = np.array([0.3, 0.3, 0.1, 0.1, 0.1, 0.1]), np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.2])
    chosen = rng.choice(6, size=200_000, p=p)
    gains, ones = worth[chosen][:, None], np.ones(len(chosen))
    wrong = np.full_like(gains, 0.9)
    assert effects.augmented(gains, wrong, (q / p)[chosen], ones)[0] == pytest.approx(0.6, abs=0.01)
    # Gains that are what they were expected to be leave nothing to weigh.
    right = np.full_like(gains, 0.6)
    assert effects.augmented(right, right, rng.random(len(chosen)), ones)[0] == pytest.approx(0.6)


def test_an_interval_is_as_wide_as_a_mean_is_uncertain():
    values = np.random.default_rng(0).normal(size=(2_500, 1))
    found = effects.estimate(values, np.zeros_like(values), np.ones(2_500), np.ones(2_500))
    assert found.value[0] == pytest.approx(values.mean())
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.96 / 50, rel=0.15)
    direct = effects.mean_with_interval(values)
    np.testing.assert_allclose(direct, found)


def test_an_estimate_and_its_interval_stay_where_the_metric_can_be():
    """Few weighted hits below what was expected would give less than nothing."""
    hits, chances = np.zeros((50, 3), bool), np.full((50, 5), 0.01)
    chances[:, 3:] = 1.0
    hits[0, 0] = True
    chances[0, 3] = 60.0
    found = estimate_of_lists("dorecall", hits, chances)
    assert all((part >= 0).all() and (part <= 1).all() for part in found) and found.low[-1] == 0


def test_a_few_heavy_rows_are_no_sample():
    weight = np.ones(400)
    assert effects.require_overlap(weight, weight, "here") == 400
    weight[:5] = 1_000
    with pytest.raises(DataError, match=r"the test split: expected an effective sample of at least 30 .* found 5\."):
        effects.require_overlap(weight, np.ones(400), "the test split")
    with pytest.raises(DataError, match="at least 150 of its 3000"):
        effects.require_overlap(np.repeat([1.0, 0.0], [100, 2_900]), np.ones(3_000), "x")
