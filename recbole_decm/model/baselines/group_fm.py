"""The group-level representation of DecRS and its second-order interactions with a track, as one dot product."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupInteraction(nn.Module):
    """Score of video v and music m under a distribution d over genre groups, as a factorisation machine.

    The fields are the video z_v, its group-level representation M(d, v) = sum_k d_k e_k * z_v (entry by entry), the
    music z_m, and its genres h_m = sum_k g_mk e_k. The score is the sum of the products of different fields, less
    z_v . M(d, v), which is the same for every music of a video:

        (z_v + M(d, v)) . (z_m + h_m) + z_m . h_m

    M(d, v) meets h_m, so d moves each genre by a number of its own (for each video): a ranking depends on d.

    Reference:
        Wang et al. "Deconfounded Recommendation for Alleviating Bias Amplification." KDD 2021 (M(d, u) on
        an FM); Rendle. "Factorization Machines." ICDM 2010.

    Args:
        num_groups: K.
        latent_dimension: D.
        deviation: of the normal distribution the group embeddings e_k start from.
    """

    def __init__(self, num_groups: int, latent_dimension: int, deviation: float = 0.1):
        super().__init__()
        self.group_embedding = nn.Parameter(deviation * torch.randn(num_groups, latent_dimension))

    def group_representation(self, video: Tensor, groups: Tensor) -> Tensor:
        """M(d, v): (B, D) videos and (B, K) or (K,) distributions -> (B, D)."""
        return (groups @ self.group_embedding) * video

    def query(self, video: Tensor, groups: Tensor) -> Tensor:
        """The video's side, [z_v + M(d, v), 1]: (B, D) and (B, K) or (K,) -> (B, D + 1)."""
        both = video + self.group_representation(video, groups)
        return torch.cat([both, torch.ones_like(video[:, :1])], dim=1)

    def key(self, music: Tensor, genres: Tensor) -> Tensor:
        """The music's side, [z_m + h_m, z_m . h_m]: (N, D) and (N, K) genre distributions -> (N, D + 1)."""
        group = genres @ self.group_embedding
        return torch.cat([music + group, (music * group).sum(dim=1, keepdim=True)], dim=1)
