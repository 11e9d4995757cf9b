"""Exact nearest neighbours by blocks of matrix products, and votes of the neighbours for their music."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def nearest(queries: Tensor, blocks: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k rows of highest dot product, over all rows of an iterable of blocks.

    Args:
        queries: (B, F) float.
        blocks: (n, F) float each; their rows count on from block to block.
        k: at least 1; all rows if there are fewer.

    Returns:
        (B, k) dot products, best first, and (B, k) int64 rows.
    """
    best = queries.new_empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    start = 0
    for block in blocks:
        similarity, place = (queries @ block.T).topk(min(k, len(block)), dim=1)
        best, rows = torch.cat([best, similarity], dim=1), torch.cat([rows, place + start], dim=1)
        best, kept = best.topk(min(k, best.shape[1]), dim=1)
        rows = rows.gather(1, kept)
        start += len(block)
    return best, rows


def music_votes(similarity: Tensor, music: Tensor, num_music: int, power: float) -> Tensor:
    """Each neighbour votes for its music with max(similarity, 0)^power.

    Args:
        similarity: (B, k) cosines; a neighbour on the other side of the mean has no say.
        music: (B, k) int64 music of each neighbour.
        num_music: M.
        power: 0 counts neighbours; larger ones listen to the nearest.

    Returns:
        (B, M); 0 for music that no neighbour has.
    """
    weight = torch.where(similarity > 0, similarity.clamp(min=0) ** power, torch.zeros_like(similarity))
    return similarity.new_zeros(len(similarity), num_music).scatter_add_(1, music, weight)
