"""Rows of unit length, with a gradient of five operations where autograd takes fourteen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SHORTEST = 1e-12


def unit_length(rows: Tensor) -> Tensor:
    """Rows over their Euclidean length, (B, D) -> (B, D), as :func:`torch.nn.functional.normalize` does."""
    return _UnitLength.apply(rows)


class _UnitLength(torch.autograd.Function):
    """For u = x / |x| and a gradient g of u, that of x is (g - (g . u) u) / |x|."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=_SHORTEST)
        unit = rows / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        along = (gradient * unit).sum(dim=1, keepdim=True)
        return torch.addcmul(gradient, along, unit, value=-1).div_(length)
