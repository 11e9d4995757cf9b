"""One-pass moments against numpy's, whatever the blocks and however far the features are from 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_decm.model.baselines.moments import mean_and_deviation, paired_moments


def pairs(seed=0, n=500, offset=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 7)) @ rng.normal(size=(7, 7)) + offset
    return torch.from_numpy(x).float(), torch.from_numpy(x[:, :3] + rng.normal(size=(n, 3))).float()


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("rows", [500, 64, 1])
def test_moments_are_numpys(rows, offset):
    x, y = pairs(offset=offset)
    moments = paired_moments(zip(x.split(rows), y.split(rows), strict=True))
    both = np.cov(np.concatenate([x.double(), y.double()], axis=1).T, bias=True)
    assert moments.pairs == 500
    assert np.allclose(moments.mean_x, x.double().mean(dim=0), atol=1e-6)
    assert np.allclose(moments.mean_y, y.double().mean(dim=0), atol=1e-6)
    for found, expected in (
        (moments.cov_xx, both[:7, :7]),
        (moments.cov_xy, both[:7, 7:]),
        (moments.cov_yy, both[7:, 7:]),
    ):
        assert np.allclose(found, expected, atol=2e-4)
    mean, deviation = mean_and_deviation(x.split(rows))
    assert np.allclose(mean, x.double().mean(dim=0), atol=1e-6)
    assert np.allclose(deviation, np.std(x.double().numpy(), axis=0), rtol=1e-4)


def test_standardised_moments_are_those_of_standardised_features():
    x, y = pairs(offset=3.0)
    scale_x, scale_y, scaled = paired_moments([(x, y)]).standardised()
    by_hand = paired_moments([((x / scale_x).float(), (y / scale_y).float())])
    for found, expected in zip(scaled, by_hand, strict=True):
        assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(scaled.cov_xx.diagonal(), 1)


def test_a_constant_feature_can_be_divided_by():
    x, y = pairs()
    x[:, 2] = 0.1  # not a binary fraction: its mean rounds
    x[:, 3] = 0.0
    scale_x, _, scaled = paired_moments(zip(x.split(30), y.split(30), strict=True)).standardised()
    assert scale_x[2] == scale_x[3] == 1 and torch.isfinite(scaled.cov_xy).all()
    assert mean_and_deviation(x.split(30))[1][2] == 1


def test_nothing_has_no_moments():
    with pytest.raises(ValueError, match="at least one block"):
        paired_moments([])
    with pytest.raises(ValueError, match="at least one block"):
        mean_and_deviation([])
