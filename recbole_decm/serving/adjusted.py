"""Exact top-k of the exact backdoor adjustment, the one score that is no dot product, in blocks.

The score of :func:`recbole_decm.model.backdoor.adjusted_log_softmax` is normalised over the catalogue within each
group, so the tracks are read twice: for the normalisers, then for the scores.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from recbole_decm.serving.search import RunningTopK


def adjusted_top_k(
    queries: Tensor,
    music: Iterable[Tensor],
    priors: Tensor,
    temperature: float,
    k: int,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k tracks of largest t log sum_k P(k) softmax(s_k / t), for every video.

    Needs three buffers of B x n scores for blocks of n tracks.

    Args:
        queries: (K, B, E), the videos' side of the scores s_k under each pure group.
        music: (n, E) blocks of the catalogue's vectors, in order; iterated over twice, so no generator.
        priors: (B, K), P(k) for each video.
        temperature: t > 0.
        k: at least 1.
        allowed: (M,) bool, the tracks to choose from; None for all. The normalisers are the whole catalogue's.

    Returns:
        scores (B, k) and indices (B, k), of the whole catalogue, as of :func:`~recbole_decm.serving.search.top_k`.
    """
    normaliser = queries.new_full(queries.shape[:2], -torch.inf)
    for block in music:
        for group, query in enumerate(queries):
            share = (query @ block.T).div_(temperature).logsumexp(dim=1)
            normaliser[group] = torch.logaddexp(normaliser[group], share)
    log_prior = priors.T.log()  # -inf where P(k) is 0: such a group counts nothing
    offset = (log_prior - normaliser).unsqueeze(2)
    best, start = RunningTopK(queries.shape[1], k, queries), 0
    for block in music:
        total = (queries[0] @ block.T).div_(temperature).add_(offset[0])
        for group in range(1, len(queries)):
            term = (queries[group] @ block.T).div_(temperature).add_(offset[group])
            torch.logaddexp(total, term, out=total)
        if allowed is not None:
            total.masked_fill_(~allowed[start : start + len(block)], -torch.inf)
        best.update(total.mul_(temperature), start)
        start += len(block)
    return best.scores, best.indices
