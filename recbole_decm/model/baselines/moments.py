"""Means and covariances of paired features in one pass over blocks, so that no more than a block is in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class PairedMoments(NamedTuple):
    """Moments of n pairs (x, y), all float64.

    Attributes:
        pairs: n.
        mean_x, mean_y: (Fx,) and (Fy,).
        cov_xx, cov_xy, cov_yy: (Fx, Fx), (Fx, Fy) and (Fy, Fy), centred and divided by n.
    """

    pairs: int
    mean_x: Tensor
    mean_y: Tensor
    cov_xx: Tensor
    cov_xy: Tensor
    cov_yy: Tensor

    def standardised(self) -> tuple[Tensor, Tensor, PairedMoments]:
        """Scales of x and y, and the moments of (x / scale_x, y / scale_y): unit variances, means as scaled."""
        scale_x = standard_deviation(self.cov_xx.diagonal(), self.mean_x)
        scale_y = standard_deviation(self.cov_yy.diagonal(), self.mean_y)
        cov_xx = self.cov_xx / scale_x.unsqueeze(1) / scale_x
        cov_xy = self.cov_xy / scale_x.unsqueeze(1) / scale_y
        cov_yy = self.cov_yy / scale_y.unsqueeze(1) / scale_y
        scaled = PairedMoments(self.pairs, self.mean_x / scale_x, self.mean_y / scale_y, cov_xx, cov_xy, cov_yy)
        return scale_x, scale_y, scaled


def standard_deviation(variance: Tensor, mean: Tensor) -> Tensor:
    """Square roots of (F,) variances; 1 for a feature that is constant up to float32, so that it can be divided by."""
    deviation = variance.clamp(min=0).sqrt()
    return torch.where(deviation <= 1e-6 * mean.abs() + 1e-30, torch.ones_like(deviation), deviation)


def paired_moments(blocks: Iterable[tuple[Tensor, Tensor]]) -> PairedMoments:
    """Moments of all pairs of an iterable of ((n, Fx), (n, Fy)) blocks.

    The products are float32, of features less the first block's mean (against cancellation), and add up in float64.

    Raises:
        ValueError: there is no block.
    """
    count, shifts, sums, products = 0, None, None, None
    for x, y in blocks:
        if shifts is None:
            shifts = (x.mean(dim=0), y.mean(dim=0))
            sums = [torch.zeros(part.shape[1], dtype=torch.float64) for part in (x, y)]
            products = [torch.zeros(a.shape[1], b.shape[1], dtype=torch.float64) for a, b in ((x, x), (x, y), (y, y))]
        assert sums is not None and products is not None
        x, y = x - shifts[0], y - shifts[1]
        count += len(x)
        for total, part in zip(sums, (x, y), strict=True):
            total += part.sum(dim=0, dtype=torch.float64).cpu()
        for product, (a, b) in zip(products, ((x, x), (x, y), (y, y)), strict=True):
            product += (a.T @ b).cpu()
    if shifts is None or sums is None or products is None:
        raise ValueError("expected at least one block of pairs, found none")
    off_x, off_y = (total / count for total in sums)
    cov_xx, cov_xy, cov_yy = (
        product / count - torch.outer(a, b)
        for product, (a, b) in zip(products, ((off_x, off_x), (off_x, off_y), (off_y, off_y)), strict=True)
    )
    mean_x, mean_y = (shift.double().cpu() + off for shift, off in zip(shifts, (off_x, off_y), strict=True))
    return PairedMoments(count, mean_x, mean_y, cov_xx, cov_xy, cov_yy)


def mean_and_deviation(blocks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every feature over all rows of (n, F) blocks: two (F,) float64.

    Raises:
        ValueError: there is no block.
    """
    count, shift, total, square = 0, None, torch.zeros(()), torch.zeros(())
    for block in blocks:
        shift = block.mean(dim=0) if shift is None else shift
        centred = block - shift
        count += len(block)
        total = total + centred.sum(dim=0, dtype=torch.float64).cpu()
        square = square + centred.square_().sum(dim=0, dtype=torch.float64).cpu()
    if shift is None:
        raise ValueError("expected at least one block of rows, found none")
    off = total / count
    mean = shift.double().cpu() + off
    return mean, standard_deviation(square / count - off.square(), mean)
