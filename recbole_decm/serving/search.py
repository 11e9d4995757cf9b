"""Exact top-k of dot products in blocks: memory does not grow with the catalogue.

A block of tracks is one matrix product. Selecting the k best of every row would then cost as much as the product, so a
block is first reduced to the maxima of groups of columns, which is a vectorised pass, and only groups whose maximum
passes the k-th best score so far are looked into: after the first blocks hardly any. ``docs/retrieval.md`` has the
measurements.

Shapes: B videos, M tracks, n tracks of a block, D length of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_decm.serving.videos import VIDEO_BLOCK

MUSIC_BLOCK = 16_384
_GROUP = 32
_CANDIDATES = 1 << 22


class RunningTopK:
    """The k best of each row over blocks of scores that arrive in the order of their columns.

    Of equal scores the lower column wins, so the result does not depend on the blocks. (The same pair can come out of
    two matrix products of other shapes with another last bit; that is a difference of scores, not a tie.) Scores of
    NaN are never chosen.

    Args:
        rows: B.
        k: entries to keep, at least 1.
        like: a tensor of the scores' dtype and device.

    Attributes:
        scores: (B, k), in descending order; -inf where fewer than k columns came.
        indices: (B, k) int64 columns; -1 there.
    """

    def __init__(self, rows: int, k: int, like: Tensor):
        self.scores = like.new_full((rows, k), -torch.inf)
        self.indices = torch.full((rows, k), -1, dtype=torch.int64, device=like.device)

    @property
    def k(self) -> int:
        return self.scores.shape[1]

    def update(self, scores: Tensor, first_column: int, first_row: int = 0) -> None:
        """Take a block of scores in.

        Args:
            scores: (b, n) of rows ``first_row`` on and columns ``first_column`` on, above all columns taken so far.
        """
        rows, columns = scores.shape
        whole = columns - columns % _GROUP
        for start, part, group in ((0, scores[:, :whole], _GROUP), (whole, scores[:, whole:], 1)):
            if part.shape[1]:
                self._take(part, group, first_column + start, slice(first_row, first_row + rows))

    def _take(self, scores: Tensor, group: int, first_column: int, rows: slice) -> None:
        """(b, n) scores with n a multiple of ``group``; group g is the columns g, g + n/group, g + 2n/group, ..."""
        grouped = scores.unflatten(1, (group, -1))
        peaks = grouped.amax(dim=1)
        bar = torch.nextafter(self.scores[rows, -1], scores.new_tensor(torch.inf))  # a tie loses to what came before
        hot = ~(peaks < bar.unsqueeze(1))  # a group with NaN is looked into, since its maximum is NaN
        crowded = (hot.sum(dim=1) > 4 * self.k).nonzero().squeeze(1)
        if len(crowded):  # as at the start: k groups hold k scores of at least their k-th largest maximum
            own = peaks[crowded]
            known = own.masked_fill(own.isnan(), -torch.inf)
            bar[crowded] = torch.maximum(bar[crowded], known.topk(self.k, dim=1).values[:, -1])
            hot[crowded] = ~(own < bar[crowded].unsqueeze(1))
        for span in _spans(hot, group):
            row, column = hot[span].nonzero(as_tuple=True)
            row = row + (span.start or 0)
            values = grouped[row, :, column]
            pair, member = (values >= bar[row].unsqueeze(1)).nonzero(as_tuple=True)
            row, column = row[pair], column[pair] + member * peaks.shape[1]
            self._merge(row + rows.start, column + first_column, values[pair, member])

    def _merge(self, row: Tensor, column: Tensor, score: Tensor) -> None:
        """Candidates (P,) of some rows, in any order, each a column above those that are kept."""
        if not len(row):
            return
        changed, place, counts = row.unique(return_inverse=True, return_counts=True)
        kept = torch.arange(len(changed), device=row.device).repeat_interleave(self.k)
        order = column.argsort()
        place = torch.cat([kept, place[order]])
        column = torch.cat([self.indices[changed].flatten(), column[order]])
        score = torch.cat([self.scores[changed].flatten(), score[order]])
        order = score.argsort(descending=True, stable=True)
        order = order[place[order].argsort(stable=True)]
        best = (counts + self.k).cumsum(0) - counts - self.k
        best = order[best.unsqueeze(1) + torch.arange(self.k, device=row.device)]
        self.scores[changed], self.indices[changed] = score[best], column[best]


def _spans(hot: Tensor, group: int) -> Iterator[slice]:
    """Rows to look into at a time: all, unless ties make so many candidates that they would need more memory."""
    most = int(hot.sum()) * group
    step = len(hot) if most <= _CANDIDATES else max(1, len(hot) * _CANDIDATES // most)
    return (slice(start, start + step) for start in range(0, len(hot), step))


def top_k(
    videos: Tensor,
    music: Any,
    k: int,
    video_block: int = VIDEO_BLOCK,
    music_block: int = MUSIC_BLOCK,
    score: Callable[[Tensor, slice], Tensor] = lambda products, columns: products,
) -> tuple[Tensor, Tensor]:
    """The k tracks of largest dot product, or of largest score made of it, for every video; exact.

    Beside the arguments and the result this needs one buffer of ``video_block`` x ``music_block`` scores and a small
    multiple of it. The music is read once, in order.

    Args:
        videos: (B, D) float, on the device to compute on; half precision is computed in single.
        music: (M, D) tensor, array or ``np.memmap``, of any float type and device; or an iterable of such blocks, whose
            rows count on from block to block.
        k: at least 1; may exceed M.
        score: makes (b, n) scores of the dot products with the tracks ``columns``.

    Returns:
        scores (B, k), in descending order, and indices (B, k) int64, rows of ``music``. Of equal scores the lower index
        comes first. Where k exceeds M the rest is -inf and -1.

    Raises:
        ValueError: k or a block size below 1; vectors of different lengths.

    Examples:
        >>> scores, rows = top_k(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.2, 9.0], [0.9, 0.0], [0.5, 1.0]]), k=2)
        >>> rows.tolist()
        [[1, 2]]
    """
    if min(k, video_block, music_block) < 1:
        raise ValueError(f"expected k and block sizes of at least 1, found {k}, {video_block} and {music_block}")
    videos = videos if videos.dtype == torch.float64 else videos.float()
    best = RunningTopK(len(videos), k, videos)
    buffer = videos.new_empty(min(video_block, max(1, len(videos))) * music_block)
    start = 0
    for block in _blocks(music, music_block):
        tunes = torch.as_tensor(block).to(videos.device, videos.dtype)
        if tunes.shape[1] != videos.shape[1]:
            raise ValueError(f"expected music vectors of length {videos.shape[1]}, found {tunes.shape[1]}")
        for first in range(0, len(videos), video_block):
            part = videos[first : first + video_block]
            scores = buffer[: len(part) * len(tunes)].view(len(part), len(tunes))
            products = torch.mm(part, tunes.T, out=scores)
            best.update(score(products, slice(start, start + len(tunes))), start, first)
        start += len(tunes)
    return best.scores, best.indices


def _blocks(music: Any, rows: int) -> Iterator[Any]:
    """Blocks of at most ``rows`` of a matrix or of an iterable of matrices; mapped files are read block by block."""
    matrices: Iterable[Any] = [music] if hasattr(music, "shape") else music
    for matrix in matrices:
        for start in range(0, len(matrix), rows):
            block = matrix[start : start + rows]
            yield block if isinstance(block, Tensor) else np.array(block)
