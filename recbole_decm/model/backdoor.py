"""Backdoor adjustment over the uploaders' genre preferences, the confounder of (music shown, music chosen).

P(match | video, do(music)) = sum_k P(k) f(video, music, k). The paper moves the sum inside f (one fused music vector
for the expected confounder, as in the normalised weighted geometric mean of Xu et al., 2015) and estimates P(k) by the
mean of the uploaders' priors over the batch, a Monte Carlo estimate. Here are the estimators of P(k) and of the sum;
:mod:`recbole_decm.model.fusions` has the forms of f, and ``docs/backdoor.md`` what each of them can and cannot do.

References:
    Judea Pearl. "Causality", 2nd edition, 2009, theorem 3.3.2 (backdoor adjustment).
    Xu et al. "Show, Attend and Tell." ICML 2015, section 4.2.1 (normalised weighted geometric mean).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def batch_prior(uploader_priors: Tensor) -> Tensor:
    """Monte Carlo estimate of P(k): the mean of the batch's uploader priors, (B, K) -> (K,).

    Examples:
        >>> batch_prior(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [0.75, 0.25]
    """
    return uploader_priors.mean(dim=0)


def inference_priors(choice: str | Sequence[float], population: Tensor, uploaders: Tensor) -> Tensor:
    """P(k) for each of B videos at inference.

    Args:
        choice: ``mean`` (the training population's), ``uniform``, ``uploader`` (each video's own), or K probabilities.
        population: (K,) mean of the training rows' priors.
        uploaders: (B, K) priors of the videos' uploaders.

    Returns:
        (B, K), rows sum to 1.

    Examples:
        >>> own = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> inference_priors("uniform", own.mean(dim=0), own).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        >>> inference_priors("uploader", own.mean(dim=0), own).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if choice == "uploader":
        return uploaders
    if choice == "mean":
        prior = population
    elif choice == "uniform":
        prior = torch.full_like(population, 1 / len(population))
    else:
        prior = torch.tensor(choice, dtype=population.dtype, device=population.device)
    return prior.expand(len(uploaders), -1)


def adjusted_probability(conditional: Tensor, prior: Tensor) -> Tensor:
    """The backdoor adjustment itself: sum_k P(k) P(Y | v, m, k).

    With the weights P(k) this is P(Y | do(v), do(m)), which is P(Y | v, do(m)) where the preference does not show in
    the video; with the weights P(k | v) it is P(Y | v, do(m)) in any case. P(Y | v, m), the naive estimate, weighs with
    P(k | v, m): the music shown tells the preference.

    Args:
        conditional: (..., K) probabilities given each group.
        prior: (..., K) weights that sum to 1.

    Returns:
        (...) probabilities.
    """
    return (conditional * prior).sum(dim=-1)


def adjusted_log_softmax(group_scores: Tensor, priors: Tensor, temperature: float, first: int = 0) -> Tensor:
    """Exact backdoor adjustment of a choice: t * log sum_k P(k) softmax(s_k / t), over the music.

    As t grows this tends to the mean score sum_k P(k) s_k less a constant for each video; as t falls, to the group in
    which a track stands out most.

    Args:
        group_scores: (K, B, N) scores of B videos with N music under each pure group.
        priors: (B, K) P(k) for each video.
        temperature: t > 0, what a difference of scores counts as one nat.
        first: music before this column is no choice (padding): it gets a score, but no share of the probability.

    Returns:
        (B, N) scores; at t = 1 the logarithm of P(choice | video, do(music shown)).

    Examples:
        Two tracks under two groups that prefer one each; a prior that knows the group ranks as the group does.

        >>> scores = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
        >>> adjusted_log_softmax(scores, torch.tensor([[0.5, 0.5]]), 1.0).exp().round(decimals=4).tolist()
        [[0.5, 0.5]]
        >>> adjusted_log_softmax(scores, torch.tensor([[1.0, 0.0]]), 1.0).argmax().item()
        0
    """
    logits = group_scores / temperature
    log_conditional = logits - logits[..., first:].logsumexp(dim=-1, keepdim=True)
    log_prior = priors.T.unsqueeze(-1).log()  # -inf where P(k) is 0: such a group counts nothing
    return temperature * (log_conditional + log_prior).logsumexp(dim=0)


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

    def query(self, video: Tensor, priors: Tensor) -> Tensor:
        """The video's side of the score, (B, D) and (B, K) -> (B, D + 1).

        With Linear = [A, W] and bias c, video . (A e + W z_m + c) = [video, video . (A e + c)] . [W z_m, 1]: the
        confounder meets every music with the same 1, so it adds the same number to every music of a video.
        """
        shift = torch.nn.functional.linear(
            priors @ self.group_embedding, self.linear.weight[:, : video.shape[1]], self.linear.bias
        )
        return torch.cat([video, (video * shift).sum(dim=1, keepdim=True)], dim=1)

    def key(self, music: Tensor, genres: Tensor | None = None) -> Tensor:
        """The music's side of the score, (N, D) -> (N, D + 1)."""
        fused = music @ self.linear.weight[:, music.shape[1] :].T
        return torch.cat([fused, torch.ones_like(music[:, :1])], dim=1)
