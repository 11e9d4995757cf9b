"""Debiasing by popularity, as functions of counts and scores: inverse propensity weights, and the score of PDA."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_propensity_weights(counts: Tensor, power: float, largest: float) -> Tensor:
    """Weight of a training pair by the popularity of its music: min((mean count / count)^power, largest).

    The propensity of an exposure is taken to grow with popularity^power (as in Saito et al., "Unbiased recommender
    learning from missing-not-at-random implicit feedback", WSDM 2020, with power 0.5). Clipping bounds the variance
    (Ionides, "Truncated importance sampling", 2008). Users divide by the sum of the weights of a batch, the
    self-normalised estimator (Swaminathan and Joachims, NeurIPS 2015), so that a common factor does not matter.

    Args:
        counts: (M,) training pairs of each track; music without a pair counts as having one.
        power: at least 0; 0 weighs all pairs the same.
        largest: above 0, the largest weight; the mean is over the music that has training pairs.

    Returns:
        (M,) float, above 0.

    Examples:
        >>> inverse_propensity_weights(torch.tensor([1, 4]), power=0.5, largest=10.0).tolist()[1] < 1
        True
    """
    floored = counts.float().clamp(min=1)
    mean = floored[counts > 0].mean() if (counts > 0).any() else floored.mean()
    return ((mean / floored) ** power).clamp(max=largest)


def popularity_factor(counts: Tensor, gamma: float) -> Tensor:
    """m^gamma with m = count / mean count, (M,) -> (M,) float, above 0; music without training pairs counts as one.

    The paper's m is the share of all interactions; the mean music has factor 1 here, which multiplies all scores by one
    number.

    Examples:
        >>> popularity_factor(torch.tensor([1, 3]), gamma=1.0).tolist()
        [0.5, 1.5]
    """
    floored = counts.float().clamp(min=1)
    return (floored / floored.mean()) ** gamma


def elu_plus_one(match: Tensor) -> Tensor:
    """ELU'(x): e^x up to 0 and x + 1 above, any shape; positive and rising, so that a product with popularity ranks as
    meant (Zhang et al., SIGIR 2021)."""
    return torch.nn.functional.elu(match) + 1
