"""Forms of f(video, music, k) that let the confounder change a ranking, each served as dot products.

A fusion has two sides, ``query(video, priors)`` and ``key(music)``, whose dot product is the score under a prior; the
music's side does not depend on the prior. So a training batch in which every row has its uploader's own prior is one
matrix product, and so is a catalogue under any prior. Shapes: B videos, N music, D latent, K genre groups.

The preference enters either as p itself or as its centred logarithm

    l_k(p) = log(p_k + 0.01) - log(1/K + 0.01),

which is 0 for the uniform preference: there, the score is the match alone.

========  ==================================================  =====================  ==========================
fusion    score of video v and music z under preference p     query                  key
========  ==================================================  =====================  ==========================
linear    v . (A sum_k p_k e_k + W z + c), the paper's        [v, v . (A e + c)]     [W z, 1]
bilinear  v . z + sum_k l_k(p) r_k . z                        [v, l(p)]              [z, R z]
genre     v . z + sum_k l_k(p) a_k [z is of genre k]          [v, l(p)]              [z, a * genres]
gated     v . (z * sum_k p_k 2 sigmoid(g_k + U z))            [p_1 v, ..., p_K v]    [z * 2 sigmoid(g_k + U z)]_k
mixture   v . sum_k p_k W_k z                                 [p_1 v, ..., p_K v]    [W_1 z, ..., W_K z]
========  ==================================================  =====================  ==========================

``bilinear`` and ``genre`` add a number for each (music, preference): what a preference does to a choice whatever the
video shows. ``gated`` and ``mixture`` weigh the match itself by the group. Only ``genre`` reads the music's genres.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from recbole_decm.model.backdoor import ConfounderFusion

LOG_FLOOR = 0.01


class Fusion(Protocol):
    """The two sides of a score: ``query(video, priors) @ key(music, genres).T`` is (B, N)."""

    def query(self, video: Tensor, priors: Tensor) -> Tensor:
        """(B, D) video vectors under (B, K) priors -> (B, E)."""

    def key(self, music: Tensor, genres: Tensor | None = None) -> Tensor:
        """(N, D) music vectors, and (N, K) genres where the fusion reads them -> (N, E)."""


def centred_log_preference(priors: Tensor) -> Tensor:
    """l_k(p) = log(p_k + 0.01) - log(1/K + 0.01), (..., K); 0 for the uniform preference.

    Examples:
        >>> centred_log_preference(torch.tensor([0.5, 0.5])).abs().max().item() < 1e-6
        True
        >>> centred_log_preference(torch.tensor([0.9, 0.1])).gt(0).tolist()
        [True, False]
    """
    return (priors + LOG_FLOOR).log() - math.log(1 / priors.shape[-1] + LOG_FLOOR)


class BilinearFusion(nn.Module):
    """v . z + l(p) R z: a linear function of the music's latent for each group, whatever the video; R starts at 0.

    Args:
        num_groups: K.
        latent_dimension: D.
    """

    def __init__(self, num_groups: int, latent_dimension: int):
        super().__init__()
        self.group_effect = nn.Parameter(torch.zeros(num_groups, latent_dimension))

    def query(self, video: Tensor, priors: Tensor) -> Tensor:
        """[v, l(p)], (B, D + K)."""
        return torch.cat([video, centred_log_preference(priors)], dim=1)

    def key(self, music: Tensor, genres: Tensor | None = None) -> Tensor:
        """[z, R z], (N, D + K)."""
        return torch.cat([music, music @ self.group_effect.T], dim=1)


class GenreFusion(nn.Module):
    """v . z + sum_k l_k(p) a_k [genre k]: how strongly a preference for a genre raises its music; a starts at 0.

    The choice model of a preference that multiplies the odds of a genre by a power of p_k. Music without a known genre
    is scored as if the preference were uniform.

    Args:
        num_groups: K.
        latent_dimension: D; not used.
    """

    def __init__(self, num_groups: int, latent_dimension: int):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(num_groups))

    def query(self, video: Tensor, priors: Tensor) -> Tensor:
        """[v, l(p)], (B, D + K)."""
        return torch.cat([video, centred_log_preference(priors)], dim=1)

    def key(self, music: Tensor, genres: Tensor | None = None) -> Tensor:
        """[z, a * genres], (N, D + K)."""
        if genres is None:
            raise ValueError("expected the genres of the music, found none")
        return torch.cat([music, genres * self.strength], dim=1)


class _Experts(nn.Module):
    """sum_k p_k v . F_k(z): a sum of K dot products, as one of K * D."""

    def query(self, video: Tensor, priors: Tensor) -> Tensor:
        """[p_1 v, ..., p_K v], (B, K * D)."""
        return (priors.unsqueeze(2) * video.unsqueeze(1)).flatten(1)

    def group_vectors(self, music: Tensor) -> Tensor:
        """F_k(z) for every group, (N, D) -> (N, K, D)."""
        raise NotImplementedError

    def key(self, music: Tensor, genres: Tensor | None = None) -> Tensor:
        """[F_1(z), ..., F_K(z)], (N, K * D)."""
        return self.group_vectors(music).flatten(1)


class GatedFusion(_Experts):
    """F_k(z) = z * 2 sigmoid(g_k + U z): each group opens or closes dimensions of the match; all start open halfway.

    Args:
        num_groups: K.
        latent_dimension: D.
    """

    def __init__(self, num_groups: int, latent_dimension: int):
        super().__init__()
        self.group_gate = nn.Parameter(torch.zeros(num_groups, latent_dimension))
        self.music_gate = nn.Parameter(torch.zeros(latent_dimension, latent_dimension))

    def group_vectors(self, music: Tensor) -> Tensor:
        """z * 2 sigmoid(g_k + U z), (N, K, D)."""
        gates = torch.sigmoid(self.group_gate + (music @ self.music_gate.T).unsqueeze(1))
        return music.unsqueeze(1) * 2 * gates


class MixtureFusion(_Experts):
    """F_k(z) = W_k z: a mixture of one linear expert a group; every W_k starts near the identity.

    Args:
        num_groups: K.
        latent_dimension: D.
    """

    def __init__(self, num_groups: int, latent_dimension: int):
        super().__init__()
        noise = 0.1 * latent_dimension**-0.5 * torch.randn(num_groups, latent_dimension, latent_dimension)
        self.experts = nn.Parameter(torch.eye(latent_dimension) + noise)

    def group_vectors(self, music: Tensor) -> Tensor:
        """W_k z, (N, K, D)."""
        return torch.einsum("kde,ne->nkd", self.experts, music)


FUSIONS = {
    "linear": ConfounderFusion,
    "bilinear": BilinearFusion,
    "gated": GatedFusion,
    "mixture": MixtureFusion,
    "genre": GenreFusion,
}
READS_GENRES = frozenset({"genre"})
"""Fusions whose key needs the genres of the tracks."""

WHY_NO_RANK_CHANGES: dict[type, str] = {
    ConfounderFusion: "The linear fusion adds the same number, video . (A sum_k P(k) e_k + c), to every music of a "
    "video, whatever P(k) is.",
}
"""Why a fusion cannot change a ranking, where that follows from its form."""


def make_fusion(name: str, num_groups: int, latent_dimension: int, near_identity: bool) -> nn.Module:
    """A fusion by its name in :data:`FUSIONS`; only the linear one can start otherwise than near the identity."""
    start = {"near_identity": near_identity} if name == "linear" else {}
    return FUSIONS[name](num_groups, latent_dimension, **start)


def fused_scores(fusion: Fusion, video: Tensor, music: Tensor, priors: Tensor, genres: Tensor | None = None) -> Tensor:
    """Scores of B videos, each under a prior of its own, with N music: one matrix product.

    Args:
        video: (B, D); music: (N, D); priors: (B, K), P(k) for each video; genres: (N, K) for a fusion that reads them.

    Returns:
        (B, N).
    """
    return fusion.query(video, priors) @ fusion.key(music, genres).T


def group_scores(fusion: Fusion, video: Tensor, key: Tensor, num_groups: int) -> Tensor:
    """f(v, m, k) under each pure group: (B, D) videos and (N, E) keys -> (K, B, N), K matrix products."""
    groups = torch.eye(num_groups, dtype=video.dtype, device=video.device)
    return torch.stack([fusion.query(video, group.expand(len(video), -1)) @ key.T for group in groups])
