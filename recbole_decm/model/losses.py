"""The terms of the DecCM objective as pure functions of tensors.

Shapes: B pairs in a batch, D latent dimensions, F features. Scores are (B, B), video i in row i, music j in column
j, matched pairs on the diagonal. Every term is a mean over the batch, so that its weight does not depend on B.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_decm.model.towers import Posterior


def kl_terms(p: Posterior, q: Posterior) -> Tensor:
    """KL(p || q) of diagonal Gaussians (closed form) of every row and dimension.

    Args:
        p, q: posteriors with mean and logvar of shape (B, D).

    Returns:
        (B, D) float, at least 0.
    """
    variance_ratio = (p.logvar - q.logvar).exp()
    distance = (p.mean - q.mean).square() * (-q.logvar).exp()
    return 0.5 * (variance_ratio + distance - 1 - p.logvar + q.logvar)


def kl_divergence(p: Posterior, q: Posterior) -> Tensor:
    """KL(p || q) of diagonal Gaussians (closed form), summed over D, mean over B; the teacher term uses it as
    KL(student || teacher).

    Args:
        p, q: posteriors with mean and logvar of shape (B, D).

    Returns:
        () float, at least 0 and 0 only for p = q; q gets no gradient. The released code's version has a sign error
        (docs/deviations.md).
    """
    return _GaussianKL.apply(p.mean, p.logvar, q.mean, q.logvar)


def kl_to_standard_normal(p: Posterior) -> Tensor:
    """KL(p || N(0, I)) summed over D, mean over B (Kingma and Welling, 2014, appendix B).

    Returns:
        () float, at least 0.
    """
    return _GaussianKL.apply(p.mean, p.logvar, None, None)


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


def kl_annealing(epoch: int, anneal_epochs: int) -> float:
    """Linear warm-up of the KL weight: 1 / n in the first of n epochs, 1 from the n-th on (Bowman et al., 2016)."""
    return 1.0 if anneal_epochs <= 0 else min(1.0, (epoch + 1) / anneal_epochs)


@torch.compiler.disable  # the selection in numpy's arrays cannot be traced
def hard_negative_hinge(scores: Tensor, same_music: Tensor, margin: float, num_negatives: int) -> Tensor:
    """In-batch hinge over the hardest negatives of each anchor, averaged over both directions.

    For anchor i: the mean over its ``num_negatives`` highest-scoring negatives j of max(0, margin + s_ij - s_ii);
    then the mean over anchors. Pairs that share the music are no negatives of each other.

    Args:
        scores: (B, B) float.
        same_music: (B, B) bool, True where i and j have the same music (the diagonal included).
        margin: a matched pair should score this much higher than any other.
        num_negatives: negatives an anchor learns from; those it has if the batch holds fewer.

    Returns:
        () float, at least 0.
    """
    wide = scores if scores.dtype in (torch.float32, torch.float64) else scores.float()
    return _HardestNegatives.apply(wide, same_music, margin, num_negatives)


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
        music = _Anchors.learning_from(_highest_of(scratch, num_negatives), others, free)
        videos = _Anchors.learning_from(_highest_of(scratch.copy_(negatives), num_negatives), others, free)
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


def _highest_of(scores: Tensor, k: int) -> Tensor:
    """The k highest scores of every row, the least of them first: (B, N) -> (B, min(k, N)). On a CPU the rows of
    ``scores`` are reordered.
    """
    k = min(k, scores.shape[1])
    if scores.device.type != "cpu":
        return scores.topk(k, dim=1).values.flip(1)
    values, first = scores.numpy(), scores.shape[1] - k  # numpy's selection is vectorised, torch's is not
    if scores.dtype == torch.float32:
        # That of integers is faster. The bits of floats from 0 on have the floats' order, and those of negative floats
        # are below them: what is found is right where all of it is positive, as the hardest of many negatives are.
        values.view(np.int32).partition(first, axis=1)
        if (values[:, first] > 0).all():
            return torch.from_numpy(values[:, first:].copy())
    values.partition(first, axis=1)
    return torch.from_numpy(values[:, first:].copy())


def softmax_contrastive(
    logits: Tensor,
    same_music: Tensor,
    log_popularity: Tensor | None = None,
    both_directions: bool = False,
    pair_weights: Tensor | None = None,
) -> Tensor:
    """In-batch softmax cross-entropy of the matched pairs: which of the batch's music belongs to video i.

    Pairs that share the music are no negatives of each other. Popular music is in a batch more often; the correction
    counts each distinct music of the batch once and weighs the negatives by 1 / P(music in the batch), so that the
    denominator estimates the sum over the catalogue (Horvitz and Thompson, 1952). For rare music this is the logQ
    correction (Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019,
    equation 3), which would weigh music that is in every batch wrongly.

    Args:
        logits: (B, B) float, scores over the temperature.
        same_music: (B, B) bool, True where i and j have the same music (the diagonal included).
        log_popularity: (B,) logarithm of the share of training pairs that have music j; None corrects nothing.
        both_directions: average with the other direction, which of the batch's videos belongs to music i. The videos
            are drawn uniformly, so nothing is corrected there.
        pair_weights: (B,) weights of the pairs, above 0, in a mean that is divided by their sum; None: all alike.

    Returns:
        () float, at least 0 without the correction.
    """
    others = same_music.clone().fill_diagonal_(False)
    corrected = logits
    if log_popularity is not None:
        weight = -log_inclusion(log_popularity, len(logits) - 1) - same_music.sum(dim=0).to(logits.dtype).log()
        corrected = logits + weight.expand_as(logits).clone().fill_diagonal_(0)
    loss = _cross_entropy(corrected, others, pair_weights)
    return 0.5 * (loss + _cross_entropy(logits.T, others, pair_weights)) if both_directions else loss


def log_inclusion(log_popularity: Tensor, draws: int) -> Tensor:
    """Log-probability that each music is among ``draws`` training pairs: log(1 - (1 - q)^draws), any shape."""
    never = draws * torch.log1p(-log_popularity.exp().clamp(max=1 - 1e-6))
    return torch.log(-torch.expm1(never))


def _cross_entropy(logits: Tensor, left_out: Tensor, weights: Tensor | None) -> Tensor:
    target = torch.arange(len(logits), device=logits.device)
    masked = logits.masked_fill(left_out, float("-inf"))
    return torch.nn.functional.cross_entropy(masked, target, weights)  # target i is row i, so a class weight is a row's
