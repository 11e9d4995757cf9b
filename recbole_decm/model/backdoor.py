"""Backdoor adjustment over the uploaders' genre preferences, the confounder of (music shown, music chosen).

P(match | video, do(music)) = sum_k P(k) f(video, music, k). The paper moves the sum inside f (one fused music vector
for the expected confounder, as in the normalised weighted geometric mean of Xu et al., 2015) and estimates P(k) by the
mean of the uploaders' priors over the batch, a Monte Carlo estimate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def batch_prior(uploader_priors: Tensor) -> Tensor:
    """Monte Carlo estimate of P(k): the mean of the batch's uploader priors, (B, K) -> (K,)."""
    return uploader_priors.mean(dim=0)


class ConfounderFusion(nn.Module):
    """z_m <- Linear([sum_k P(k) e_k ; z_m]), with one learned embedding e_k for each genre group.

    It starts as the identity on z_m with a small confounder part, so that training begins from the unadjusted matcher.

    Args:
        num_groups: K.
        latent_dimension: D.
        near_identity: start so; otherwise with N(0, 1) embeddings and torch's linear layer.
    """

    def __init__(self, num_groups: int, latent_dimension: int, near_identity: bool = True):
        super().__init__()
        scale = latent_dimension**-0.5 if near_identity else 1.0
        self.group_embedding = nn.Parameter(torch.randn(num_groups, latent_dimension) * scale)
        self.linear = nn.Linear(2 * latent_dimension, latent_dimension)
        if near_identity:
            with torch.no_grad():
                self.linear.weight[:, latent_dimension:] += torch.eye(latent_dimension)

    def forward(self, music: Tensor, prior: Tensor) -> Tensor:
        """Fuse music vectors (N, D) with the expected confounder under ``prior`` (K,); returns (N, D)."""
        expected = (prior @ self.group_embedding).expand(len(music), -1)
        return self.linear(torch.cat([expected, music], dim=1))
