"""One process's share of every batch, and the collectives that make its loss and gradients those of the whole batch.

Notation: W processes, B pairs in the global batch, n_r of them on rank r, w_r = n_r / B. Every process differentiates
W times its part of the loss, and DistributedDataParallel averages over W. A term that is a mean over rows is the sum of
w_r times the processes' own means. A term that needs all rows (the matching) is computed by every process from
gathered latent vectors, and counts w_r times on rank r; of its gradient each process keeps that of its own rows, over
w_r: the others compute theirs, so that nothing is sent back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Which rows of a global batch are this process's; the default is all of them, without any communication.

    Attributes:
        rank: this process, from 0 on.
        size: W, the number of processes.
    """

    rank: int = 0
    size: int = 1

    def sizes(self, count: int) -> list[int]:
        """Rows of every process for a batch of ``count``; they differ by one at most, and sum to ``count``."""
        each, more = divmod(count, self.size)
        return [each + (rank < more) for rank in range(self.size)]

    def span(self, count: int) -> tuple[int, int]:
        """First own row of a batch of ``count``, and the one after the last."""
        sizes = self.sizes(count)
        start = sum(sizes[: self.rank])
        return start, start + sizes[self.rank]

    def own(self, batch: Tensor) -> Tensor:
        """The own rows of a global batch: (B, ...) -> (n_r, ...)."""
        if self.size == 1:
            return batch
        start, stop = self.span(len(batch))
        return batch[start:stop]

    def gather(self, first: Tensor, second: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Own rows of two matrices -> the global batch of ``count`` rows, with gradients for the own rows alone.

        Args:
            first, second: (n_r, C) and (n_r, D).

        Returns:
            (B, C) and (B, D), the same on every process.
        """
        if self.size == 1:
            return first, second
        both = _Gather.apply(torch.cat([first, second], dim=1), self, count)
        return both[:, : first.shape[1]], both[:, first.shape[1] :]

    def average(self, terms: Any, count: int) -> Any:
        """Terms of the own rows, each a mean over them -> their means over the global batch.

        Args:
            terms: a NamedTuple of () tensors; a term that is already the whole batch's stays what it is.
            count: B.
        """
        if self.size == 1:
            return terms
        weight = self.sizes(count)[self.rank] / count
        means = _Average.apply(torch.stack([term.float() for term in terms]), weight, self.size)
        return type(terms)(*means.unbind())


class _Gather(torch.autograd.Function):
    """All processes' rows; backward keeps the own rows' gradient, times B / n_r."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, share: Share, count: int) -> Tensor:
        ctx.share, ctx.count = share, count
        sizes = share.sizes(count)
        short = max(sizes) - len(own)  # backends gather equal shapes only
        padded = torch.nn.functional.pad(own, (0, 0, 0, short)) if short else own.contiguous()
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        start, stop = ctx.share.span(ctx.count)
        return gradient[start:stop] * (ctx.count / max(stop - start, 1)), None, None


class _Average(torch.autograd.Function):
    """sum_r w_r terms_r; backward is W w_r times the gradient."""

    @staticmethod
    def forward(ctx: Any, terms: Tensor, weight: float, size: int) -> Tensor:
        ctx.factor = weight * size
        means = terms * weight if weight else torch.zeros_like(terms)  # the mean of no rows is not a number
        dist.all_reduce(means)
        return means

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.factor, None, None


class Moments(NamedTuple):
    """Mean (F,), variance with divisor B (F,) and the number of rows, () float, of a global batch."""

    mean: Tensor
    variance: Tensor
    rows: Tensor


def global_moments(own: Tensor) -> Moments:
    """Moments of all processes' rows, (n_r, F) each, by the pairwise update of Chan, Golub and LeVeque (1979).

    One collective; the sum of squares is never formed, so nothing cancels.
    """
    rows, features = own.shape
    mean = own.sum(dim=0) / max(rows, 1)
    squares = (own - mean).square_().sum(dim=0)  # in two passes: torch.var_mean takes ten times as long on a CPU
    packed = torch.cat([own.new_full((1,), rows), mean, squares])
    parts = [torch.empty_like(packed) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, packed)
    counts, means, squares = torch.stack(parts).split([1, features, features], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(dim=0) / count
    return Moments(mean, (squares + counts * (means - mean).square()).sum(dim=0) / count, count)
