"""The terms of the DecCM objective as pure functions of tensors.

Shapes: B pairs in a batch, D latent dimensions, F features. Scores are (B, B), video i in row i, music j in column
j, matched pairs on the diagonal. Every term is a mean over the batch, so that its weight does not depend on B.
"""

from __future__ import annotations

from typing import Any

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
        () float, at least 0 and 0 only for p = q. The released code's version has a sign error (docs/deviations.md).
    """
    return kl_terms(p, q).sum(dim=1).mean()


def kl_to_standard_normal(p: Posterior) -> Tensor:
    """KL(p || N(0, I)) summed over D, mean over B (Kingma and Welling, 2014, appendix B).

    Returns:
        () float, at least 0.
    """
    return 0.5 * (p.logvar.exp() + p.mean.square() - 1 - p.logvar).sum(dim=1).mean()


def kl_annealing(epoch: int, anneal_epochs: int) -> float:
    """Linear warm-up of the KL weight: 1 / n in the first of n epochs, 1 from the n-th on (Bowman et al., 2016)."""
    return 1.0 if anneal_epochs <= 0 else min(1.0, (epoch + 1) / anneal_epochs)


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
    size, k = len(scores), min(num_negatives, len(scores))
    negatives = scores.detach().masked_fill(same_music, float("-inf"))
    anchor = torch.arange(size, device=scores.device).unsqueeze(1)
    for_videos, for_music = _highest(negatives, k), _highest(negatives.T, k)
    places = torch.stack([anchor * size + for_videos, for_music * size + anchor]).flatten()  # in the flat matrix
    hardest = scores.reshape(-1).gather(0, places).view(2, size, k)
    found = ~same_music.reshape(-1)[places].view(2, size, k)
    violation = (margin + hardest - scores.diagonal().unsqueeze(1)).clamp(min=0).masked_fill(~found, 0)
    return (violation.sum(dim=2) / found.sum(dim=2).clamp(min=1)).mean()


def _highest(scores: Tensor, k: int) -> Tensor:
    """Columns of the k highest scores of every row, in any order: (B, N) -> (B, k) int64."""
    if k == 1:
        return scores.argmax(dim=1, keepdim=True)
    if scores.device.type == "cpu" and k < scores.shape[1]:  # numpy's selection is vectorised, torch's is not
        return torch.from_numpy(np.argpartition(scores.contiguous().numpy(), -k, axis=1)[:, -k:])
    return scores.topk(k, dim=1, sorted=False).indices


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


def reconstruction_error(decoded: Tensor, features: Tensor) -> Tensor:
    """Mean squared error over B and F of a cross-generated feature vector.

    Args:
        decoded, features: (B, F) float; the gradient is that of ``decoded`` alone.

    Returns:
        () float.
    """
    return _MeanSquare.apply(decoded, features)


class _MeanSquare(torch.autograd.Function):
    """Mean square of a difference in three passes over it, forward and backward; torch's own takes five."""

    @staticmethod
    def forward(ctx: Any, decoded: Tensor, features: Tensor) -> Tensor:
        difference = decoded - features
        ctx.save_for_backward(difference)
        flat = difference.flatten()
        return torch.dot(flat, flat) / difference.numel()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference.mul_(2 * gradient / difference.numel()), None  # nothing reads it after this
