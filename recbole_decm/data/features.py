"""Feature matrices: content vectors that are looked up by id and never travel through RecBole's per-batch join."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recbole_decm.errors import DataError

_CHECK_ROWS = 16_384


@dataclass(frozen=True)
class FeatureMatrix:
    """Content vectors of all videos or all music.

    Attributes:
        name: the field, such as ``visual``.
        values: (R, F) float16 or float32, the rows of the file; may be backed by a memory-mapped file.
        row_of_id: (n_ids,) int64, the row of each internal id; id 0 is RecBole's padding and points to row 0.
    """

    name: str
    values: torch.Tensor
    row_of_id: torch.Tensor

    @property
    def dim(self) -> int:
        """F, the length of a vector."""
        return self.values.shape[1]

    def __len__(self) -> int:
        return len(self.row_of_id)

    def lookup(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of some ids: (B,) int64 -> (B, F) float32 on the device of ``values``."""
        rows = self.row_of_id[ids.to(self.row_of_id.device)]
        return self.values.index_select(0, rows.to(self.values.device)).float()

    def to(self, device: torch.device | str) -> FeatureMatrix:
        """The same matrix on another device."""
        return FeatureMatrix(self.name, self.values.to(device), self.row_of_id.to(device))


def open_npy(path: Path, name: str, rows: int, ids_file: Path) -> torch.Tensor:
    """Memory-map a ``.npy`` feature file and check it.

    Args:
        path: the file; row i belongs to line i of ``ids_file``.
        name: the field, for messages.
        rows: number of lines of ``ids_file``.

    Returns:
        (rows, F) float16, float32 or float64 tensor on the mapped file; pages are read when they are used.

    Raises:
        DataError: missing, truncated or no ``.npy``; holds objects (code); not 2-D floats; other row count; NaN.
    """
    try:
        values = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a .npy file of '{name}' vectors (feature_files), found none.") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: expected a .npy file of plain numbers, but {error}. Files that hold Python objects can carry "
            "code and are not read; write the matrix again with numpy.save as float16 or float32."
        ) from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        found = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise DataError(f"{path}: expected a 2-D matrix of floats, found {found}.")
    if len(values) != rows:
        raise DataError(f"{path}: expected {rows} rows, one for each line of {ids_file}, found {len(values)}.")
    check_finite(values, name, str(path))
    return torch.from_numpy(values)


def check_finite(
    values: np.ndarray, name: str, where: str, on_rows: Callable[[int], object] = lambda rows: None
) -> None:
    """Raise :class:`DataError` at the first row of (R, F) ``values`` that holds NaN or infinity; reads in blocks and
    tells ``on_rows`` the number of rows of each."""
    for start in range(0, len(values), _CHECK_ROWS):
        block = np.asarray(values[start : start + _CHECK_ROWS])
        # A sum is finite only if every summand is (or on overflow, which the second look settles).
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(block.sum(axis=1, dtype=np.float64)))
        for row in suspects:
            if not np.isfinite(block[row]).all():
                raise DataError(
                    f"{where}, row {start + row}: expected finite numbers in '{name}', found NaN or infinity."
                )
        on_rows(len(block))


def reduce_features(matrix: FeatureMatrix, train_ids: torch.Tensor, dim: int | None, seed: int) -> torch.Tensor:
    """Content vectors as RecBole's context-aware models see them: standardised, and reduced by PCA if large.

    Scaling and PCA are fitted on the training rows alone.

    Args:
        matrix: vectors of all ids.
        train_ids: (n,) int64 ids that occur in training, without repetition.
        dim: number of principal components, whitened; None or at least F: the standardised vectors themselves.
        seed: of the randomised PCA solver.

    Returns:
        (n_ids, min(F, dim)) float32; row 0, the padding, is zero.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    reduces = dim is not None and dim < matrix.dim
    dim = min(dim, len(train_ids)) if dim is not None and reduces else None
    fitted = StandardScaler().fit(matrix.lookup(train_ids).numpy())
    steps = [fitted.transform]
    if reduces:
        pca = PCA(dim, whiten=True, svd_solver="randomized", random_state=seed)
        steps.append(pca.fit(fitted.transform(matrix.lookup(train_ids).numpy())).transform)
    reduced = torch.empty(len(matrix), dim or matrix.dim)
    for start in range(0, len(matrix), _CHECK_ROWS):
        block = matrix.lookup(torch.arange(start, min(start + _CHECK_ROWS, len(matrix)))).numpy()
        for step in steps:
            block = step(block)
        reduced[start : start + len(block)] = torch.from_numpy(block)
    reduced[0] = 0
    return reduced
