"""The choice model: gradients against differences, chances against sums, and a strength that was put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from recbole_decm.estimation import mixed
from recbole_decm.estimation.choices import Choices, Tracks, log_preference
from recbole_decm.estimation.components import principal_components
from recbole_decm.estimation.logit import fit_logit, negative_log_likelihood
from recbole_decm.estimation.model import cross_fit, fit_choice_model


def world(rows: int, tracks: int = 30, strength: float = 0.0, seed: int = 0, whole: int = 2_000):
    """Choices of a bilinear logit: (choices, tracks, (rows, M) chances without habit, D)."""
    rng = np.random.default_rng(seed)
    genre = rng.permutation(np.arange(tracks) % 3)
    catalogue = Tracks.of(rng.normal(size=(tracks, 2)).astype(np.float32), np.eye(3)[genre], whole=whole)
    matrix = rng.normal(size=(4, catalogue.described.shape[1]))
    choices = Choices.of(
        rng.normal(size=(rows, 3)).astype(np.float32), rng.dirichlet(np.ones(3), rows), np.zeros(rows, int), catalogue
    )
    match = choices.described @ matrix @ catalogue.described.T
    chances = [np.exp(part) for part in (match, match + strength * choices.taste[:, catalogue.kind])]
    chances = [part / part.sum(axis=1, keepdims=True) for part in chances]
    chosen = (rng.random((rows, 1)) < chances[1].cumsum(axis=1)).argmax(axis=1)
    return replace(choices, chosen=chosen), catalogue, chances[0], matrix


@pytest.mark.parametrize("whole", [2_000, 12])
def test_the_gradient_of_the_logit_is_that_of_differences(whole):
    choices, tracks, _, matrix = world(40, whole=whole)
    free = np.append(0.3 * matrix.ravel(), 0.4)
    slope = negative_log_likelihood(free, choices, tracks)[1]
    differences = approx_fprime(free, lambda at: negative_log_likelihood(at, choices, tracks)[0], 1e-3)
    np.testing.assert_allclose(slope, differences, rtol=0.02, atol=0.05)


def test_the_gradient_of_the_mixed_logit_is_that_of_differences():
    choices, tracks, _, matrix = world(40)
    match = (choices.described @ matrix).astype(np.float32) * np.float32(0.4)
    noise = mixed.draw_noise(40, 8, match.shape[1], np.random.default_rng(0))

    def loss(free):
        return mixed._negative_log_likelihood(free, match, noise, choices, tracks, tracks.columns)

    free = np.array([0.2, -1.0, 0.5])
    differences = approx_fprime(free, lambda at: loss(at)[0], 1e-3)
    np.testing.assert_allclose(loss(free)[1].sum(axis=0), differences, rtol=0.02, atol=0.05)


def test_a_fit_over_a_small_sample_of_the_catalogue_finds_the_same_strength():
    choices, _, _, matrix = world(3_000, tracks=300, strength=1.0, seed=1)
    sampled = world(10, tracks=300, whole=80, seed=1)[1]
    assert len(sampled.sample) == 80
    found = fit_logit(choices, sampled, 1.0)
    assert found[-1] == pytest.approx(1.0, abs=0.12)
    spread = choices.described[:, 1:] @ found[:-1].reshape(matrix.shape)[1:, :2]
    wanted = choices.described[:, 1:] @ matrix[1:, :2]
    assert (spread * wanted).sum() / (wanted**2).sum() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_strength_that_was_put_in_is_found(strength):
    choices, tracks, _, _ = world(4_000, strength=strength, seed=3)
    found = fit_logit(choices, tracks, 1.0)
    assert found[-1] == pytest.approx(strength, abs=0.08)
    model = fit_choice_model(choices, tracks)
    assert model.mixing.strength == pytest.approx(strength, abs=0.12)
    assert 0.02 < model.mixing.deviation < 0.08
    assert model.plain_strength == pytest.approx(strength, abs=0.1)


def test_a_match_comes_from_a_fit_that_did_not_see_the_row():
    choices, tracks, _, _ = world(90)
    match, _, penalty = cross_fit(choices, tracks, [5.0])
    fold = np.random.default_rng(0).permutation(90) % 3
    row = int(np.flatnonzero(fold == 1)[0])
    other = replace(choices, chosen=np.where(np.arange(90) == row, (choices.chosen + 1) % 30, choices.chosen))
    again, _, _ = cross_fit(other, tracks, [5.0])
    assert penalty == 5.0
    change = np.abs(match - again)
    assert change[fold == 1].max() < 1e-3 < 0.01 < change[fold == 2].max()


def test_the_strongest_penalty_that_left_out_rows_like_is_kept():
    rng = np.random.default_rng(0)
    choices, tracks, _, _ = world(300)
    noise = replace(choices, chosen=rng.integers(30, size=300))
    assert cross_fit(noise, tracks, [1000.0, 1.0])[2] == 1000.0
    assert cross_fit(world(2_000)[0], tracks, [1000.0, 1.0])[2] == 1.0


def test_log_preferences_of_tracks_of_several_genres_and_of_none():
    found = log_preference(np.array([[0.5, 0.3, 0.2]]), np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]]))
    wanted = np.log(np.array([0.5, 0.25, 1 / 3]) + 0.01)
    np.testing.assert_allclose(found[0], wanted - wanted.mean(), rtol=1e-5)


def test_components_are_those_of_the_singular_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5)) + 7
    found = principal_components(lambda rows: values[rows], np.arange(300), np.arange(300), 3)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    wanted = left[:, :3] * singular[:3]
    correlation = np.abs(np.einsum("ij,ij->j", found, wanted)) / np.linalg.norm(found, axis=0) / singular[:3]
    np.testing.assert_allclose(correlation, 1, atol=1e-4)
    assert found.var(axis=0).sum() == pytest.approx(3, rel=1e-3)


def test_components_of_rows_in_any_order_with_missing_and_constant_columns():
    values = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    values[:, 3] = 2.0
    values[7] = np.nan
    found = principal_components(lambda rows: values[rows], np.arange(50), np.array([9, 7, 3]), 8)
    again = principal_components(lambda rows: values[rows], np.arange(50), np.array([3, 7, 9]), 8)
    assert found.shape == (3, 4) and np.isfinite(found).all()
    np.testing.assert_allclose(found, again[::-1], atol=1e-6)
    np.testing.assert_array_equal(found[1], 0)
