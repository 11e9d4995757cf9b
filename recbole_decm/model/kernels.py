"""Functions of tensors with a gradient or a pass written by hand, each beside the plain formula that it stands for.

``plain_NAME`` says what ``NAME`` computes, up to rounding. ``python benchmarks/kernels.py`` measures what each gains in
a full training step of DecCM.

Shapes: B rows in a batch, D latent dimensions, F features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# --- rows of unit length ------------------------------------------------------------------------------------------

_SHORTEST = 1e-12


def plain_unit_length(rows: Tensor) -> Tensor:
    """Rows over their Euclidean length, (B, D) -> (B, D)."""
    return functional.normalize(rows, dim=1)


def unit_length(rows: Tensor) -> Tensor:
    """:func:`plain_unit_length` with a gradient of five operations where autograd takes fourteen."""
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


# --- divergence of Gaussians --------------------------------------------------------------------------------------


def plain_gaussian_kl(mean: Tensor, logvar: Tensor, to_mean: Tensor | None, to_logvar: Tensor | None) -> Tensor:
    if to_mean is None or to_logvar is None:
        terms = torch.expm1(logvar) - logvar + mean.square()
    else:
        terms = (logvar - to_logvar).exp() + (mean - to_mean).square() * (-to_logvar).exp() - 1 - logvar + to_logvar
    return 0.5 * terms.sum() / max(len(mean), 1)


def gaussian_kl(mean: Tensor, logvar: Tensor, to_mean: Tensor | None, to_logvar: Tensor | None) -> Tensor:
    return _GaussianKL.apply(mean, logvar, to_mean, to_logvar)


class _GaussianKL(torch.autograd.Function):
    """KL of diagonal Gaussians from given ones (N(0, I) where None) with its gradient by the first: a dozen passes over
    (B, D) where autograd takes thirty.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, logvar: Tensor, to_mean: Tensor | None, to_logvar: Tensor | None) -> Tensor:
        if to_mean is None or to_logvar is None:
            distance, log_ratio = mean, logvar
            pull = mean
        else:
            distance, log_ratio = mean - to_mean, logvar - to_logvar
            pull = distance * torch.exp(-to_logvar)
        excess = torch.expm1(log_ratio)
        ctx.save_for_backward(pull, excess)
        return 0.5 * ((excess - log_ratio).sum() + (distance * pull).sum()) / max(len(mean), 1)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        pull, excess = ctx.saved_tensors
        step = factor / max(len(pull), 1)  # a process's share of a batch can be empty
        return pull * step, excess * (0.5 * step), None, None


# --- hinge over the hardest negatives -----------------------------------------------------------------------------


def plain_hinge(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    directions = []
    for anchored in (scores, scores.T):
        hardest = torch.where(same_music, float("-inf"), anchored).topk(min(num_negatives, len(scores)), dim=1).values
        violation = (margin + hardest - anchored.diagonal().unsqueeze(1)).clamp(min=0)
        found = (~same_music).sum(dim=1).clamp(min=1, max=hardest.shape[1])
        directions.append((violation.sum(dim=1) / found).mean())
    return 0.5 * (directions[0] + directions[1])


def hinge(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    return _HardestNegatives.apply(scores, same_music, margin, num_negatives)


class _HardestNegatives(torch.autograd.Function):
    """The hinge and its gradient in one pass. Who learns from whom is a threshold for each row and for each column, so
    that the gradient is two comparisons; nothing is gathered or scattered, and one (B, B) matrix serves as the scratch
    of both selections and as the gradient.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
        negatives = torch.where(same_music, float("-inf"), scores)  # on a CPU masked_fill takes three times as long
        free = scores.diagonal() - margin  # a negative below this costs its anchor nothing
        others = len(scores) - same_music.sum(dim=1, dtype=torch.int32)  # the same for rows and columns
        scratch = negatives.T.contiguous()
        music = _Anchors.learning_from(highest(scratch, num_negatives), others, free)
        videos = _Anchors.learning_from(highest(scratch.copy_(negatives), num_negatives), others, free)
        if ctx.needs_input_grad[0]:
            gradient = videos.pushes(negatives, scratch)
            gradient += music.pushes(negatives.T, torch.empty_like(negatives).T).T
            gradient.diagonal().sub_(videos.pull + music.pull)
            ctx.save_for_backward(gradient)
        return 0.5 * (videos.loss + music.loss).mean()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        unscaled = factor.device.type == "cpu" and factor.item() == 1
        return gradient if unscaled else gradient * factor, None, None, None


class _Anchors(NamedTuple):
    """B anchors and what they learn from their hardest negatives.

    Attributes:
        loss: (B,) mean hinge of each anchor's negatives.
        threshold: (B,) the lowest score that an anchor still learns from.
        weight: (B,) gradient of the whole hinge by each score that an anchor learns from.
        chosen: (B,) number of scores it learns from.
    """

    loss: Tensor
    threshold: Tensor
    weight: Tensor
    chosen: Tensor

    @classmethod
    def learning_from(cls, hardest: Tensor, count: Tensor, free: Tensor) -> _Anchors:
        """From each anchor's hardest negatives (B, k), the least of them first, minus infinity where it has fewer; the
        number (B,) of negatives it has; and the scores (B,) up to which a negative costs nothing.
        """
        found = count.clamp(min=1, max=hardest.shape[1])
        threshold = torch.maximum(hardest[:, 0], free)
        loss = (hardest - free.unsqueeze(1)).clamp_(min=0).sum(dim=1) / found
        chosen = (hardest >= threshold.unsqueeze(1)).sum(dim=1)
        return cls(loss, threshold, 0.5 / (len(loss) * found.to(loss.dtype)), chosen)

    @property
    def pull(self) -> Tensor:
        """(B,) how strongly each anchor's matched pair is pulled together."""
        return self.weight * self.chosen

    def pushes(self, negatives: Tensor, out: Tensor) -> Tensor:
        """(B, N) gradient of the hinge by the negatives, anchors in rows; written to ``out``."""
        chosen = torch.ge(negatives, self.threshold.unsqueeze(1), out=out)
        excess = chosen.sum(dim=1) - self.chosen
        tied = excess.nonzero().squeeze(1)
        if len(tied):  # scores are equal at the threshold, as those of the same music are: they share what is left
            equal = negatives.index_select(0, tied) == self.threshold[tied].unsqueeze(1)
            row, column = equal.nonzero().unbind(1)
            chosen[tied[row], column] -= (excess[tied] / equal.sum(dim=1))[row]
        return chosen.mul_(self.weight.unsqueeze(1))


def plain_highest(scores: Tensor, k: int) -> Tensor:
    return scores.topk(min(k, scores.shape[1]), dim=1).values.flip(1)


def highest(scores: Tensor, k: int) -> Tensor:
    """The k highest scores of every row, the least of them first: (B, N) -> (B, min(k, N)). On a CPU the rows of
    ``scores`` are reordered.
    """
    if scores.device.type != "cpu":
        return plain_highest(scores, k)
    values, first = scores.numpy(), scores.shape[1] - min(k, scores.shape[1])
    partition(values, first)
    return torch.from_numpy(values[:, first:].copy())


def plain_partition(values: np.ndarray, first: int) -> None:
    values.partition(first, axis=1)


def partition(values: np.ndarray, first: int) -> None:
    if values.dtype == np.float32:
        values.view(np.int32).partition(first, axis=1)
        if (values[:, first] > 0).all():
            return
    values.partition(first, axis=1)


# --- error of what a linear layer generates -----------------------------------------------------------------------


def reconstruction_error(decoded: Tensor, features: Tensor) -> Tensor:
    """Mean squared error over B and F of a cross-generated feature vector, (B, F) and (B, F) -> () float."""
    return (decoded - features).square().mean()


def plain_linear_error(hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
    return reconstruction_error(functional.linear(hidden, weight, bias), features)


def linear_error(hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
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


# --- batch norm, dropout, linear ----------------------------------------------------------------------------------

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


def plain_normed_linear(
    values: Tensor, norm: nn.BatchNorm1d, keep: Tensor | None, scale: float, weight: Tensor, bias: Tensor
) -> Tensor:
    hidden = norm(values)
    return functional.linear(hidden if keep is None else hidden * keep, weight if scale == 1 else weight * scale, bias)


def normed_linear(
    values: Tensor, norm: nn.BatchNorm1d, keep: Tensor | None, scale: float, weight: Tensor, bias: Tensor
) -> Tensor:
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


# --- dropout ------------------------------------------------------------------------------------------------------


def plain_keep(values: Tensor, prob: float) -> tuple[Tensor, float]:
    return torch.empty_like(values).bernoulli_(1 - prob), 1 / (1 - prob)


def keep(values: Tensor, prob: float) -> tuple[Tensor, float]:
    dropped = min(round(prob * 256), 255)
    words = torch.randint(_LOWEST, _HIGHEST, ((values.numel() + 7) // 8,), dtype=torch.int64)
    kept = torch.empty_like(values)  # a product with 0 and 1 is vectorised, torch.where and masked_fill are not
    torch.ge(words.view(torch.uint8)[: values.numel()].view(values.shape), dropped, out=kept)
    return kept, 256 / (256 - dropped)


_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
