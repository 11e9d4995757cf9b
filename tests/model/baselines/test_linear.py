"""Ridge and CCA from moments: against scikit-learn, against closed forms, and on planted maps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from recbole_decm.model.baselines.linear import fit_cca, fit_ridge
from recbole_decm.model.baselines.moments import paired_moments


def moments_of(x, y, rows=100):
    blocks = (torch.from_numpy(part).float().split(rows) for part in (x, y))
    return paired_moments(zip(*blocks, strict=True))


def mapped(features, affine):
    return features @ affine.weight.numpy() + affine.bias.numpy()


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 9)) * rng.uniform(0.1, 9, size=9) + rng.normal(size=9)
    y = x @ rng.normal(size=(9, 5)) + 3 * rng.normal(size=(400, 5)) + 2
    return x, y


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 300.0])
def test_ridge_is_scikit_learns(data, alpha):
    x, y = data
    fit = fit_ridge(moments_of(x, y), alpha)
    by_x, by_y = StandardScaler().fit(x), StandardScaler().fit(y)
    other = Ridge(alpha=alpha).fit(by_x.transform(x), by_y.transform(y))
    expected = other.predict(by_x.transform(x))
    assert np.allclose(mapped(x, fit.video), expected, atol=1e-4)
    assert np.allclose(mapped(y, fit.music), by_y.transform(y), atol=1e-4)
    assert fit.unexplained == pytest.approx(np.mean((by_y.transform(y) - expected) ** 2), abs=1e-4)


def test_ridge_finds_a_planted_map(data):
    x, _ = data
    plan = np.random.default_rng(2).normal(size=(9, 4))
    fit = fit_ridge(moments_of(x, x @ plan), 1e-3)
    assert fit.unexplained < 1e-5
    assert np.allclose(mapped(x, fit.video), mapped(x @ plan, fit.music), atol=1e-3)


def test_correlations_are_those_of_the_eigenvalue_problem(data):
    """Squared canonical correlations are the eigenvalues of C_xx^-1 C_xy C_yy^-1 C_yx, whatever the scales."""
    x, y = data
    fit = fit_cca(moments_of(x, y), 5, 1e-9, 0.0)
    both = np.cov(np.concatenate([x, y], axis=1).T)
    xx, xy, yy = both[:9, :9], both[:9, 9:], both[9:, 9:]
    squared = scipy.linalg.eigvals(np.linalg.solve(xx, xy) @ np.linalg.solve(yy, xy.T)).real
    assert np.allclose(fit.correlations, np.sqrt(np.sort(squared)[::-1][:5]), atol=1e-4)


def test_regularised_correlations_solve_the_regularised_problem(data):
    x, y = data
    fit = fit_cca(moments_of(x, y), 5, 0.5, 0.0)
    both = np.corrcoef(np.concatenate([x, y], axis=1).T)
    xx, xy, yy = both[:9, :9] + 0.5 * np.eye(9), both[:9, 9:], both[9:, 9:] + 0.5 * np.eye(5)
    squared = scipy.linalg.eigvals(np.linalg.solve(xx, xy) @ np.linalg.solve(yy, xy.T)).real
    assert np.allclose(fit.correlations, np.sqrt(np.sort(squared)[::-1][:5]), atol=1e-4)


def test_canonical_variates_are_white_and_correlate_as_told(data):
    x, y = data
    fit = fit_cca(moments_of(x, y), 3, 1e-9, 0.0)
    left, right = mapped(x, fit.video), mapped(y, fit.music)
    assert np.allclose(left.T @ left / 400, np.eye(3), atol=1e-3)
    assert np.allclose(right.T @ right / 400, np.eye(3), atol=1e-3)
    assert np.allclose(left.T @ right / 400, np.diag(fit.correlations), atol=1e-3)


def test_cca_agrees_with_scikit_learns_iteration(data):
    x, y = data
    found = fit_cca(moments_of(x, y), 2, 1e-9, 0.0).correlations
    scores = CCA(n_components=2, max_iter=5000, tol=1e-10).fit_transform(x, y)
    assert np.allclose(found, [np.corrcoef(*(part[:, i] for part in scores))[0, 1] for i in range(2)], atol=1e-4)


def test_correlations_of_a_known_population():
    """x_i and y_i correlate by r_i and with nothing else, before both are mixed."""
    rng, known = np.random.default_rng(3), np.array([0.9, 0.5, 0.0])
    x = rng.normal(size=(50_000, 3))
    y = known * x + np.sqrt(1 - known**2) * rng.normal(size=(50_000, 3))
    found = fit_cca(moments_of(x @ rng.normal(size=(3, 3)), y @ rng.normal(size=(3, 3)), 8192), 3, 1e-9, 0.0)
    assert np.allclose(found.correlations, known, atol=0.02)


def test_the_power_scales_each_direction_by_its_correlation(data):
    x, y = data
    plain, scaled = (fit_cca(moments_of(x, y), 4, 0.1, power) for power in (0.0, 2.0))
    for side in ("video", "music"):
        expected = getattr(plain, side).weight * plain.correlations**2
        assert torch.allclose(getattr(scaled, side).weight, expected)


def test_dependent_features_need_a_penalty(data):
    x, y = data
    x = np.concatenate([x, x[:, :1] + x[:, 1:2]], axis=1)
    with pytest.raises(ValueError, match="a larger penalty, found 0"):
        fit_cca(moments_of(x, y), 3, 0.0, 0.0)
    with pytest.raises(ValueError, match="a larger penalty"):
        fit_ridge(moments_of(x, y), 1e-12)
    assert torch.isfinite(fit_cca(moments_of(x, y), 3, 0.1, 0.0).video.weight).all()


def test_a_dead_feature_changes_nothing(data):
    """Also at a small penalty: it is constant, not dependent on others."""
    x, y = data
    dead = np.concatenate([x, np.zeros((400, 1))], axis=1)
    plain, wider = fit_ridge(moments_of(x, y), 0.01), fit_ridge(moments_of(dead, y), 0.01)
    assert torch.allclose(plain.video.weight, wider.video.weight[:9], atol=1e-6)
    assert (wider.video.weight[9] == 0).all()
    wider = fit_cca(moments_of(dead, y), 5, 1e-6, 0.0)
    assert torch.allclose(fit_cca(moments_of(x, y), 5, 1e-6, 0.0).correlations, wider.correlations, atol=1e-5)
