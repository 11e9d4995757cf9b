"""The encoder's fused layers against the three layers they stand for."""

from __future__ import annotations

import copy

import pytest
import torch

from recbole_decm.model import kernels
from recbole_decm.model.towers import GaussianEncoder


def pair(dropout: float) -> tuple[GaussianEncoder, GaussianEncoder]:
    torch.manual_seed(0)
    encoder = GaussianEncoder(30, 5, dropout, initial_logvar=None)
    torch.nn.init.normal_(encoder.norm.weight, 1, 0.4)
    torch.nn.init.normal_(encoder.norm.bias, 0, 0.5)
    return encoder, copy.deepcopy(encoder)


def run(encoder: GaussianEncoder, features: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    q = encoder(features)
    loss = q.mean.square().sum() + (q.logvar * torch.arange(5)).sum()
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_fused_layers_give_the_loss_gradients_and_running_statistics_of_the_layers(dropout, monkeypatch):
    features = torch.randn(64, 30) * 3 + 1
    fused, layers = pair(dropout)
    assert kernels.fits(fused.norm, features)
    expected_loss = run(fused, features)
    monkeypatch.setattr(kernels, "fits", lambda norm, values: False)
    assert run(layers, features).item() == pytest.approx(expected_loss.item(), rel=1e-5)
    for (name, found), (_, expected) in zip(fused.named_parameters(), layers.named_parameters(), strict=True):
        assert torch.allclose(found.grad, expected.grad, rtol=1e-4, atol=1e-4 * expected.grad.abs().max()), name
    for (name, found), (_, expected) in zip(fused.named_buffers(), layers.named_buffers(), strict=True):
        assert torch.allclose(found, expected), name


def test_layers_are_used_where_the_fused_gradient_would_divide_by_nothing():
    encoder, _ = pair(0.2)
    features = torch.randn(8, 30)
    assert kernels.fits(encoder.norm, features)
    with torch.no_grad():
        encoder.norm.weight[4] = 0
    assert not kernels.fits(encoder.norm, features)
    run(encoder, features)
    assert torch.isfinite(encoder.norm.weight.grad).all()


def test_layers_are_used_at_evaluation_and_where_the_input_needs_a_gradient():
    encoder, _ = pair(0.0)
    features = torch.randn(8, 30)
    assert not kernels.fits(encoder.norm, features.clone().requires_grad_()) and not kernels.fits(
        encoder.norm, features.double()
    )
    assert not kernels.fits(encoder.eval().norm, features)


@pytest.mark.parametrize("dropped", [False, True])
def test_gradients_agree_with_finite_differences(dropped):
    generator = torch.Generator().manual_seed(0)
    double = {"generator": generator, "dtype": torch.float64}
    values, norm = torch.randn(6, 4, **double), torch.nn.BatchNorm1d(4).double()
    keep = (torch.rand(6, 4, **double) > 0.3).double() if dropped else None
    for parameter in (norm.weight, norm.bias):
        torch.nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
    weight, bias = (torch.rand(shape, **double).requires_grad_() for shape in ((3, 4), (3,)))

    def fused(scale, shift, weight, bias):
        return kernels.normed_linear(values, norm, keep, 1.5, weight, bias)  # scale and shift are the norm's own

    assert torch.autograd.gradcheck(fused, (norm.weight, norm.bias, weight, bias))
