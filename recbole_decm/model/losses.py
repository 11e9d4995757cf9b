"""The terms of the DecCM objective as pure functions of tensors.

Shapes: B pairs in a batch, D latent dimensions, F features. Scores are (B, B), video i in row i, track j in column
j, matched pairs on the diagonal. Every term is a mean over the batch, so that its weight does not depend on B.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_decm.model import kernels
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
        () float, at least 0 and 0 only for p = q. The released code's version has a sign error
        (docs/deviations.md).

    Examples:
        Two unit-variance Gaussians a distance of 2 apart in each of 4 dimensions: 4 * 2**2 / 2.

        >>> p = Posterior(torch.zeros(1, 4), torch.zeros(1, 4))
        >>> kl_divergence(p, Posterior(torch.full((1, 4), 2.0), torch.zeros(1, 4))).item()
        8.0
    """
    return kl_terms(p, q).sum() / max(len(p.mean), 1)  # a process's share of a batch can be empty


def kl_to_standard_normal(p: Posterior) -> Tensor:
    """KL(p || N(0, I)) summed over D, mean over B (Kingma and Welling, 2014, appendix B).

    Returns:
        () float, at least 0.

    Examples:
        >>> kl_to_standard_normal(Posterior(torch.ones(3, 2), torch.zeros(3, 2))).item()
        1.0
    """
    terms = torch.expm1(p.logvar) - p.logvar + p.mean.square()
    return 0.5 * terms.sum() / max(len(p.mean), 1)


def kl_annealing(epoch: int, anneal_epochs: int) -> float:
    """Linear warm-up of the KL weight: 1 / n in the first of n epochs, 1 from the n-th on (Bowman et al., 2016).

    Examples:
        >>> [kl_annealing(epoch, 4) for epoch in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]
    """
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

    Examples:
        The pair of video 0 keeps the margin, that of video 1 is 0.5 short of it, in both directions.

        >>> scores = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
        >>> hard_negative_hinge(scores, torch.eye(2, dtype=torch.bool), margin=1.0, num_negatives=1).item()
        0.25
    """
    wide = scores if scores.dtype in (torch.float32, torch.float64) else scores.float()
    return kernels.hinge(wide, same_music, margin, num_negatives)


def softmax_contrastive(
    logits: Tensor,
    same_music: Tensor,
    log_chance: Tensor | None = None,
    both_directions: bool = False,
    pair_weights: Tensor | None = None,
) -> Tensor:
    """In-batch softmax cross-entropy of the matched pairs: which of the batch's tracks belongs to video i.

    Pairs that share the music are no negatives of each other. Popular tracks are in a batch more often; the correction
    counts each distinct track of the batch once and weighs the negatives by 1 / P(music in the batch), so that the
    denominator estimates the sum over the catalogue (Horvitz and Thompson, 1952). For rare music in small batches this
    is the logQ correction (Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
    RecSys 2019, equation 3), which would weigh music that is in every batch wrongly.

    Args:
        logits: (B, B) float, scores over the temperature.
        same_music: (B, B) bool, True where i and j have the same music (the diagonal included).
        log_chance: (B,) :func:`log_inclusion` of music j among the B - 1 other pairs; None corrects nothing.
        both_directions: average with the other direction, which of the batch's videos belongs to music i. The videos
            are drawn uniformly, so nothing is corrected there.
        pair_weights: (B,) weights of the pairs, above 0, in a mean that is divided by their sum; None: all alike.

    Returns:
        () float, at least 0 without the correction.

    Examples:
        >>> round(softmax_contrastive(torch.zeros(4, 4), torch.eye(4, dtype=torch.bool)).exp().item(), 4)
        4.0
    """
    others = same_music.clone().fill_diagonal_(False)
    corrected = logits
    if log_chance is not None:
        weight = -log_chance - same_music.sum(dim=0).to(logits.dtype).log()
        corrected = logits + weight.expand_as(logits).clone().fill_diagonal_(0)
    loss = _cross_entropy(corrected, others, pair_weights)
    return 0.5 * (loss + _cross_entropy(logits.T, others, pair_weights)) if both_directions else loss


def log_inclusion(counts: Tensor, draws: int, pairs: int) -> Tensor:
    """Log-probability that a track with n of some training pairs is among ``draws`` of them, drawn without replacement.

    That is log(1 - C(pairs - n, draws) / C(pairs, draws)). The ratio is a product of min(n, draws) factors, here the
    power of the middle one: exact for a single factor, and within 0.004 otherwise from 20 pairs on. Factorials would
    lose all digits for millions.

    Args:
        counts: n of each track, float of any shape, at least 1.

    Examples:
        A track with one of 2,399 pairs is in 1,023 of them as often as any pair is.

        >>> round(log_inclusion(torch.tensor([1.0]), 1023, 2399).exp().item(), 4)
        0.4264
    """
    less, more = counts.clamp(max=draws), counts.clamp(min=draws)
    never = less * torch.log1p(-(more / (pairs - (less - 1) / 2)).clamp(max=1))
    return torch.log(-torch.expm1(never))


def _cross_entropy(logits: Tensor, left_out: Tensor, weights: Tensor | None) -> Tensor:
    target = torch.arange(len(logits), device=logits.device)
    masked = logits.masked_fill(left_out, float("-inf"))
    return torch.nn.functional.cross_entropy(masked, target, weights)  # target i is row i, so a class weight is a row's
