"""Batch normalisation, dropout and a linear layer in one differentiable step, for inputs that need no gradient.

The encoders read content vectors, which are data. Written as three layers, backward makes the (B, F) gradient of the
normalised vectors only to sum it into the F scales and shifts of the normalisation; here two (O, F) products give these
sums, and the kept (B, F) matrices are the dropped-out input and its mask. The numbers are the same up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Below this a scale is too small to divide by: the three layers are used.
_SMALLEST_SCALE = 1e-3


def fits(norm: nn.Module, values: Tensor) -> bool:
    """Whether :func:`normed_linear` can stand for the layers: training on a CPU, plain batch norm, input without
    gradient, single precision, scales that can be divided by.
    """
    return (
        type(norm) is nn.BatchNorm1d
        and norm.training
        and values.device.type == "cpu"
        and values.dtype == torch.float32 == norm.weight.dtype
        and not values.requires_grad
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and bool(norm.weight.detach().abs().min() > _SMALLEST_SCALE)
    )


def normed_linear(
    values: Tensor, norm: nn.BatchNorm1d, keep: Tensor | None, scale: float, weight: Tensor, bias: Tensor
) -> Tensor:
    """``linear(scale * keep * norm(values))`` in training mode; updates the running statistics of ``norm``.

    Args:
        values: (B, F) float32 without gradient, B at least 2.
        norm: batch normalisation of F features.
        keep: (B, F) float32 of 0 and 1, the dropout mask; None keeps all.
        scale: what makes up for the dropped entries.
        weight: (O, F); bias: (O,).

    Returns:
        (B, O) float32.
    """
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return _NormedLinear.apply(values, norm.weight, norm.bias, weight, bias, keep, scale, norm)


class _NormedLinear(torch.autograd.Function):
    """With n the normalised input, m the mask, s the scale, g and b scale and shift of the normalisation:
    h = m (g n + b) and y = s h W' + c. For a gradient Y of y, let R = s Y'h and Q = s Y'm, both (O, F). Then
    dW = R, db = sum_o W Q, and since R = g s Y'(m n) + b Q, dg = (sum_o W R - b db) / g.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        weight: Tensor,
        bias: Tensor,
        keep: Tensor | None,
        scale: float,
        norm: nn.BatchNorm1d,
    ) -> Tensor:
        momentum = 0.1 if norm.momentum is None else norm.momentum
        hidden, _, _ = torch.native_batch_norm(
            values, norm_weight, norm_bias, norm.running_mean, norm.running_var, True, momentum, norm.eps
        )
        if keep is not None:
            hidden.mul_(keep)
        ctx.save_for_backward(hidden, keep, weight, norm_weight, norm_bias)
        ctx.scale = scale
        return torch.addmm(bias, hidden, weight.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        hidden, keep, weight, norm_weight, norm_bias = ctx.saved_tensors
        bias_gradient = gradient.sum(dim=0)
        if ctx.scale != 1:
            gradient = gradient * ctx.scale
        weight_gradient = gradient.T @ hidden
        seen = gradient.sum(dim=0).unsqueeze(1) if keep is None else gradient.T @ keep
        shift = (weight * seen).sum(dim=0)
        scaled = (weight * weight_gradient).sum(dim=0) - norm_bias * shift
        return None, scaled / norm_weight, shift, weight_gradient, bias_gradient, None, None, None
