"""The cross-generation error, decoded and in closed form."""

from __future__ import annotations

import pytest
import torch

from recbole_decm.model.kernels import linear_error, reconstruction_error
from recbole_decm.model.towers import FeatureDecoder


def test_reconstruction_error_is_the_mean_square():
    assert reconstruction_error(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])).item() == pytest.approx(2.5)


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_without_decoding_it_is_the_same_error_and_gradient(offset):
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(40, 6, generator=generator), torch.randn(50, 6, generator=generator)
    bias, features = torch.randn(50, generator=generator), torch.randn(40, 50, generator=generator) + offset
    leaves = [[part.clone().requires_grad_() for part in (hidden, weight, bias)] for _ in range(2)]
    decoded = reconstruction_error(torch.nn.functional.linear(*leaves[0]), features)
    closed = linear_error(*leaves[1], features)
    assert closed.item() == pytest.approx(decoded.item(), rel=1e-5)
    (2 * decoded).backward()
    (2 * closed).backward()
    for expected, found in zip(*leaves, strict=True):
        assert torch.allclose(found.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_closed_form_gradient_by_differences():
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 3), (4, 3), (4,))]
    assert torch.autograd.gradcheck(lambda *p: linear_error(*p, _FEATURES), parts)


_FEATURES = torch.arange(20, dtype=torch.float64).reshape(5, 4).sin()


@pytest.mark.parametrize("relu", [False, True])
def test_error_of_a_decoder_is_that_of_what_it_decodes(relu):
    torch.manual_seed(1)
    decoder, latent, features = FeatureDecoder(4, 9, 0.0, relu), torch.randn(5, 4), torch.rand(5, 9)
    assert decoder.error(latent, features).item() == pytest.approx((decoder(latent) - features).square().mean().item())
