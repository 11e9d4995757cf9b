"""Batch normalisation over the global batch, on any backend; torch's SyncBatchNorm runs on CUDA alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from recbole_decm.parallel.share import Moments, global_moments


class GlobalBatchNorm(nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` of all processes' rows together: output, gradients and running statistics.

    Args:
        norm: the layer whose parameters and buffers it shares from now on.
    """

    def __init__(self, norm: nn.BatchNorm1d):
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.train(norm.training)

    def forward(self, values: Tensor) -> Tensor:
        """(n_r, F), the own rows -> (n_r, F)."""
        if not self.training:
            return super().forward(values)
        values = values.float()
        moments = global_moments(values.detach())
        if moments.rows < 2:  # of a field that hardly any row has: no statistics
            return nn.functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        self._remember(moments)
        if values.requires_grad:
            return _Normalise.apply(values, *moments, self.weight, self.bias, self.eps)
        # Without a gradient for the input the moments are constants, and torch's one pass over the rows does it all.
        return nn.functional.batch_norm(
            values, moments.mean, moments.variance, self.weight, self.bias, training=False, eps=self.eps
        )

    def _remember(self, moments: Moments) -> None:
        mean, variance, batches = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None and variance is not None and batches is not None and self.momentum is not None
        batches.add_(1)
        mean.lerp_(moments.mean, self.momentum)
        variance.lerp_(moments.variance * (moments.rows / (moments.rows - 1)), self.momentum)


class _Normalise(torch.autograd.Function):
    """Normalise by moments that depend on all processes' rows.

    With x^ = (x - mean) / std and the gradient g of the output, dx = weight / std (g - mean(g) - x^ mean(g x^)), means
    over the global batch (Ioffe and Szegedy, 2015, section 3). The gradients of weight and bias are the own rows'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> Tensor:
        scale = (variance + eps).rsqrt()
        normalised = (values - mean) * scale
        ctx.save_for_backward(normalised, scale, count, weight)
        return torch.addcmul(bias, normalised, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normalised, scale, count, weight = ctx.saved_tensors
        own = torch.stack([gradient.sum(dim=0), (gradient * normalised).sum(dim=0)])
        bias, slope = own.clone()
        dist.all_reduce(own)
        mean, mean_slope = own / count
        inner = gradient - mean - normalised * mean_slope
        return inner * (weight * scale), None, None, None, slope, bias, None


def normalise_globally(model: nn.Module) -> None:
    """Replace every BatchNorm1d inside a model by one over the global batch; its parameters stay the same objects."""
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm1d:
            setattr(model, name, GlobalBatchNorm(child))
        else:
            normalise_globally(child)
