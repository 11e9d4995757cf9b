"""Unit length against torch's own normalisation."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from recbole_decm.model.kernels import unit_length


def test_values_and_gradients_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 5, generator=generator, dtype=torch.float64) * torch.logspace(-6, 6, 6).unsqueeze(1)
    rows[3] = 0  # stays 0, with a finite gradient
    wanted = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    found = []
    for function in (unit_length, lambda x: normalize(x, dim=1)):
        own = rows.clone().requires_grad_()
        unit = function(own)
        (unit * wanted).sum().backward()
        found.append((unit.detach(), own.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_gradients_agree_with_finite_differences():
    rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_length, (rows,))
