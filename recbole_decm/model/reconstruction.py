"""The cross-generation error: how far features generated from the other modality are from the true ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def reconstruction_error(decoded: Tensor, features: Tensor) -> Tensor:
    """Mean squared error over B and F of a cross-generated feature vector, (B, F) and (B, F) -> () float."""
    return (decoded - features).square().mean()


def linear_reconstruction_error(hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
    """:func:`reconstruction_error` of ``linear(hidden, weight, bias)`` without making the decoded (B, F) matrix.

    |H W' + 1 c' - X|^2 = <H'H, W'W> + 2 <H, 1 (W'c)'> + B |c|^2 - 2 <H, X W> - 2 <1, X c> + |X|^2: two large products,
    X W here and X'H in the gradient, where decoding takes three, and no pass over a generated matrix.

    Args:
        hidden: (B, D).
        weight: (F, D); bias: (F,).
        features: (B, F), which gets no gradient.

    Returns:
        () float. Its rounding error is relative to the mean square of the features, not to that of the difference.
    """
    return _LinearMeanSquare.apply(hidden, weight, bias, features)


class _LinearMeanSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        seen, column_sum = features @ weight, features.sum(dim=0)
        gram, offset = weight.T @ weight, weight.T @ bias
        total = hidden.sum(dim=0)
        flat = features.flatten()
        generated = ((hidden.T @ hidden) * gram).sum() + 2 * total @ offset + len(hidden) * bias @ bias
        common = (hidden * seen).sum() + column_sum @ bias
        ctx.save_for_backward(hidden, weight, bias, features, seen, gram, offset, total, column_sum)
        return (generated - 2 * common + torch.dot(flat, flat)) / max(features.numel(), 1)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, features, seen, gram, offset, total, column_sum = ctx.saved_tensors
        step = 2 * factor / max(features.numel(), 1)  # a process's share of a batch can be empty
        for_hidden = torch.addmm(offset, hidden, gram).sub_(seen).mul_(step)
        for_weight = torch.addmm(weight @ (hidden.T @ hidden), features.T, hidden, alpha=-1)
        for_weight.addr_(bias, total).mul_(step)
        for_bias = (weight @ total + len(hidden) * bias - column_sum).mul_(step)
        return for_hidden, for_weight, for_bias, None
