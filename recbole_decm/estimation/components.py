"""Principal components of large matrices, fitted on some rows and read block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rows = Callable[[np.ndarray], np.ndarray]
"""Some row numbers, rising, -> their (B, F) vectors; NaN where a field is missing."""

FIT_ROWS = 4_096
_BLOCK_CELLS = 1 << 23


def principal_components(read: Rows, fit: np.ndarray, wanted: np.ndarray, size: int) -> np.ndarray:
    """Principal components of some rows, of mean 0 and together of variance ``size`` over the rows of the fit.

    Each column is standardised first. Components keep their own variances: the penalty of a model that reads them is
    then the milder, the more of the features a component holds.

    Args:
        read: the matrix.
        fit: (n,) rows to fit on; of many, :data:`FIT_ROWS` evenly chosen ones are read.
        wanted: (B,) rows to return.
        size: number of components, at most; fewer where there are fewer columns or rows.

    Returns:
        (B, size) float32.
    """
    fit = np.unique(fit)
    sample = fit[:: max(1, -(-len(fit) // FIT_ROWS))]
    values = read(sample).astype(np.float64)
    mean = np.nan_to_num(_mean(values))
    spread = np.sqrt(_mean(np.square(values - mean)))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * (np.abs(mean) + 1e-6))
    centred = np.nan_to_num((values - mean) * scale)
    size = min(size, *centred.shape)
    if centred.shape[1] <= len(centred):
        variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
        variances, directions = variances[::-1][:size], directions[:, ::-1][:, :size]
    else:
        _, singular, rows = np.linalg.svd(centred, full_matrices=False)
        variances, directions = singular[:size] ** 2 / len(centred), rows[:size].T
    total = max(float(variances.clip(min=0).mean()) if size else 0.0, np.finfo(np.float64).tiny)
    project = (directions * scale[:, None] / np.sqrt(total)).astype(np.float32)
    return _projected(read, wanted, mean.astype(np.float32), project)


def _projected(read: Rows, wanted: np.ndarray, mean: np.ndarray, project: np.ndarray) -> np.ndarray:
    found = np.empty((len(wanted), project.shape[1]), dtype=np.float32)
    order = np.argsort(wanted, kind="stable")  # a file is read from its start to its end
    step = max(1, _BLOCK_CELLS // max(1, len(mean)))
    for start in range(0, len(order), step):
        places = order[start : start + step]
        block = read(wanted[places]).astype(np.float32) - mean
        found[places] = np.nan_to_num(block, copy=False) @ project
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
