"""What is written by hand for speed: a gradient or a pass over a matrix, each beside the plain formula it stands for.

``plain_NAME`` says what ``NAME`` computes, and takes the same arguments; the values are equal up to rounding, those of
:func:`keep_mask` in distribution. A kernel stays if a full training step of DecCM takes 5 % longer with the plain
formula: ``python benchmarks/kernels.py`` measures each, and docs/performance.md has what it found.

Shapes: B pairs in a batch, D latent dimensions, F features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# --- the hinge over the hardest negatives -------------------------------------------------------------------------


def plain_hinge(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    """:func:`recbole_decm.model.losses.hard_negative_hinge`: (B, B) scores and (B, B) bool -> () float."""
    directions = []
    for anchored in (scores, scores.T):
        hardest = plain_highest(torch.where(same_music, float("-inf"), anchored), num_negatives)
        violation = (margin + hardest - anchored.diagonal().unsqueeze(1)).clamp(min=0)
        found = (~same_music).sum(dim=1).clamp(min=1, max=hardest.shape[1])
        directions.append((violation.sum(dim=1) / found).mean())
    return 0.5 * (directions[0] + directions[1])


def hinge(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    """:func:`plain_hinge` and its gradient in one pass; where scores are tied at the threshold they share a gradient
    that torch gives to some of them. Scores are float32 or float64.
    """
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
    """The k highest scores of every row, the least of them first: (B, N) -> (B, min(k, N))."""
    return scores.topk(min(k, scores.shape[1]), dim=1).values.flip(1)


def highest(scores: Tensor, k: int) -> Tensor:
    """:func:`plain_highest`, of which the least comes first and the others in any order. On a CPU it is numpy's
    selection, which is vectorised where torch's is not; it reorders the rows of ``scores``.
    """
    if scores.device.type != "cpu":
        return plain_highest(scores, k)
    values, first = scores.numpy(), scores.shape[1] - min(k, scores.shape[1])
    values.partition(first, axis=1)
    return torch.from_numpy(values[:, first:].copy())


# --- the error of what a linear layer generates -------------------------------------------------------------------


def reconstruction_error(decoded: Tensor, features: Tensor) -> Tensor:
    """Mean squared error over B and F of a cross-generated feature vector, (B, F) and (B, F) -> () float."""
    return (decoded - features).square().mean()


def plain_linear_error(hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
    """:func:`reconstruction_error` of ``linear(hidden, weight, bias)``.

    Args:
        hidden: (B, D).
        weight: (F, D); bias: (F,).
        features: (B, F).

    Returns:
        () float.
    """
    return reconstruction_error(functional.linear(hidden, weight, bias), features)


def linear_error(hidden: Tensor, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
    """:func:`plain_linear_error` without making the decoded (B, F) matrix; ``features`` get no gradient.

    |H W' + 1 c' - X|^2 = <H'H, W'W> + 2 <H, 1 (W'c)'> + B |c|^2 - 2 <H, X W> - 2 <1, X c> + |X|^2: two large products,
    X W here and X'H in the gradient, where decoding takes three, and no pass over a generated matrix. The rounding
    error is relative to the mean square of the features, not to that of the difference. The error of no rows is 0.
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


# --- batch norm, dropout and a linear layer -----------------------------------------------------------------------

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
    """``linear(scale * keep * norm(values))`` in training mode; updates the running statistics of ``norm``.

    Args:
        values: (B, F), B at least 2.
        norm: batch normalisation of F features.
        keep: (B, F) of 0 and 1, the dropout mask; None keeps all.
        scale: what makes up for the dropped entries.
        weight: (O, F); bias: (O,).

    Returns:
        (B, O).
    """
    hidden = norm(values)
    return functional.linear(hidden if keep is None else hidden * keep, weight if scale == 1 else weight * scale, bias)


def normed_linear(
    values: Tensor, norm: nn.BatchNorm1d, keep: Tensor | None, scale: float, weight: Tensor, bias: Tensor
) -> Tensor:
    """:func:`plain_normed_linear` where :func:`fits` says so: backward makes no (B, F) gradient of the normalised
    values only to sum it into F scales and shifts; two (O, F) products give these sums.
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


# --- dropout ------------------------------------------------------------------------------------------------------


def plain_keep_mask(values: Tensor, prob: float) -> tuple[Tensor, float]:
    """0 where an entry is dropped and 1 where it is kept, of the shape and type of ``values``, and the factor that
    makes up for what is dropped.

    Args:
        values: any shape.
        prob: share of the entries that are dropped, at least 0 and below 1.
    """
    return torch.empty_like(values).bernoulli_(1 - prob), 1 / (1 - prob)


def keep_mask(values: Tensor, prob: float) -> tuple[Tensor, float]:
    """:func:`plain_keep_mask` on a CPU, with eight decisions from each random word. The probability is rounded to a
    multiple of 1/256, and the factor is that of the rounded one, so that the expectation is exact.
    """
    dropped = min(round(prob * 256), 255)
    words = torch.randint(_LOWEST, _HIGHEST, ((values.numel() + 7) // 8,), dtype=torch.int64)
    keep = torch.empty_like(values)  # a product with 0 and 1 is vectorised, torch.where and masked_fill are not
    torch.ge(words.view(torch.uint8)[: values.numel()].view(values.shape), dropped, out=keep)
    return keep, 256 / (256 - dropped)


_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
