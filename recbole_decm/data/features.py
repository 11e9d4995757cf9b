"""Feature matrices: content vectors that are looked up by id and never travel through RecBole's per-batch join."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.npy import LARGEST_MAP, FileRows, check_finite, missing_rows, open_matrix

_REDUCE_ROWS = 16_384
_MEASURED_ROWS = 65_536
STANDARD = (0.05, 10.0)
"""Root mean square of the columns' deviations within which features are left alone; that of their means is at most the
upper end."""
RESIDENCIES = ("auto", "device", "disk", "host")


@dataclass(frozen=True)
class FeatureMatrix:
    """Content vectors of all videos or all music.

    Attributes:
        name: the field, such as ``visual``.
        values: (R, F) float16 or float32, the rows of the file; may be backed by a memory-mapped file.
        row_of_id: (n_ids,) int64, the row of each internal id; id 0 is RecBole's padding and points to row 0.
        file: the file behind ``values`` where rows are read from it instead; else None.
    """

    name: str
    values: torch.Tensor
    row_of_id: torch.Tensor
    file: FileRows | None = None

    @property
    def dim(self) -> int:
        """F, the length of a vector."""
        return self.values.shape[1]

    @property
    def fields(self) -> Mapping[str, FeatureMatrix]:
        """This matrix by its name."""
        return {self.name: self}

    def __len__(self) -> int:
        return len(self.row_of_id)

    def lookup(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of some ids: (B,) int64 -> (B, F) float32 on the device of ``values``."""
        rows = self.row_of_id[ids.to(self.row_of_id.device)]
        if self.file is not None:
            return torch.from_numpy(self.file.take(rows.numpy())).float()
        return self.values.index_select(0, rows.to(self.values.device)).float()

    def lookup_on(self, device: torch.device | str, ids: torch.Tensor) -> torch.Tensor:
        """:meth:`lookup`, brought to a device; to a GPU through page-locked memory, so that the copy runs beside the
        GPU's work.
        """
        device = torch.device(device)
        if device.type != "cuda" or self.values.device.type == "cuda":
            return self.lookup(ids).to(device)
        return self.lookup(ids).pin_memory().to(device, non_blocking=True)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.values.numel() * self.values.element_size()

    def to(self, device: torch.device | str) -> FeatureMatrix:
        """The same matrix on another device."""
        return FeatureMatrix(self.name, self.values.to(device), self.row_of_id.to(device))


@dataclass(frozen=True)
class JoinedFeatures:
    """Several fields of one side, one after the other; NaN where a field is missing.

    Attributes:
        fields: the matrices by name, all of the same ids.
    """

    fields: Mapping[str, FeatureMatrix]

    @property
    def name(self) -> str:
        """The names of the fields."""
        return " + ".join(self.fields)

    @property
    def dim(self) -> int:
        """F, the length of all vectors together."""
        return sum(matrix.dim for matrix in self.fields.values())

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def lookup(self, ids: torch.Tensor) -> torch.Tensor:
        """As that of a :class:`FeatureMatrix`: (B,) int64 -> (B, F) float32."""
        return torch.cat([matrix.lookup(ids) for matrix in self.fields.values()], dim=1)

    def lookup_on(self, device: torch.device | str, ids: torch.Tensor) -> torch.Tensor:
        """As that of a :class:`FeatureMatrix`."""
        return torch.cat([matrix.lookup_on(device, ids) for matrix in self.fields.values()], dim=1)


Features = FeatureMatrix | JoinedFeatures


def joined(fields: Mapping[str, FeatureMatrix]) -> Features:
    """The features of a side: of one field its matrix, of several all together."""
    return next(iter(fields.values())) if len(fields) == 1 else JoinedFeatures(fields)


def place(matrix: FeatureMatrix, residency: str, device: torch.device) -> FeatureMatrix:
    """A matrix where ``feature_residency`` wants it: on a GPU, mapped, or read row by row from its file.

    Args:
        matrix: on a mapped file, with ``file`` set, or in memory.
        residency: ``auto`` is ``device`` on a GPU with at least twice the free memory, else ``host`` for small files
            and ``disk`` for large ones; without a GPU, ``device`` is ``host``.

    Raises:
        ConfigError: another residency, or a device without room.
    """
    if residency not in RESIDENCIES:
        raise ConfigError(f"feature_residency: expected {', '.join(RESIDENCIES)}, found {residency!r}.")
    if device.type == "cuda" and residency in ("auto", "device"):
        free, _ = torch.cuda.mem_get_info(device)
        if 2 * matrix.nbytes <= free or residency == "device":
            if matrix.nbytes > free:
                raise ConfigError(
                    f"feature_residency: device needs {matrix.nbytes / 2**30:.1f} GiB for '{matrix.name}' on {device}, "
                    f"found {free / 2**30:.1f} GiB free. Use auto, host or disk."
                )
            return replace(matrix.to(device), file=None)
    reads = residency == "disk" or (residency == "auto" and matrix.nbytes > LARGEST_MAP)
    return matrix if reads else replace(matrix, file=None)


def open_npy(
    path: Path, name: str, rows: int, ids_file: Path, may_miss: bool = False
) -> tuple[torch.Tensor, FileRows | None]:
    """Memory-map a ``.npy`` feature file and check it.

    Args:
        path: the file; row i belongs to line i of ``ids_file``.
        name: the field, for messages.
        rows: number of lines of ``ids_file``.
        may_miss: whether a row of NaN alone is a field that is missing, beside others; else it is refused.

    Returns:
        (rows, F) float16, float32 or float64 tensor on the mapped file, whose pages are read when they are used; and a
        reader of its rows, None where a row does not lie in one piece or the system has no ``preadv``.

    Raises:
        DataError: missing, truncated or no ``.npy``; holds objects (code); not 2-D floats; other row count; NaN.
    """
    advice = (
        "Files that hold Python objects can carry code and are not read; write the matrix again with numpy.save as "
        "float16 or float32."
    )
    values = open_matrix(path, f"'{name}' vectors (feature_files)", advice, mode="c")
    if len(values) != rows:
        raise DataError(f"{path}: expected {rows} rows, one for each line of {ids_file}, found {len(values)}.")
    reader = None
    if isinstance(values, np.memmap) and values.flags.c_contiguous and hasattr(os, "preadv"):
        reader = FileRows(path, values)
    if may_miss:
        missing_rows(reader or values, name, str(path))
    else:
        check_finite(reader or values, name, str(path))
    return torch.from_numpy(values), reader


def require_one_of(path: Path, fields: Mapping[str, torch.Tensor]) -> None:
    """Refuse the first line of a file of which every field is missing: (R, F) each, a row of NaN where it is.

    Raises:
        DataError: see above.
    """
    nothing = torch.stack([values[:, 0].isnan() for values in fields.values()]).all(dim=0)
    if nothing.any():
        line = int(nothing.nonzero()[0]) + 2
        raise DataError(f"{path}, line {line}: expected at least one of {', '.join(fields)}, found none.")


def standardisation(matrix: FeatureMatrix, train_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """What to subtract from each column, and then to multiply it by, for mean 0 and deviation 1 over training rows.

    None for vectors of a scale that training takes as it is (:data:`STANDARD`): a reconstruction error counts neither
    little nor much beside the other terms, and batch norm's epsilon is small beside the variances.

    Args:
        train_ids: (n,) int64 ids of training pairs; of many, :data:`_MEASURED_ROWS` evenly chosen ones are looked at.

    Returns:
        (F,) float32 each. A constant column gets the factor of an average one.
    """
    ids = torch.unique(train_ids)
    ids = ids[~_is_missing(matrix, ids)]
    if not len(ids):
        return None
    ids = ids[:: max(1, len(ids) // _MEASURED_ROWS)]
    first = matrix.lookup(ids[:1]).cpu().double().numpy()
    total, squares = np.zeros(matrix.dim), np.zeros(matrix.dim)
    for block in ids.split(_REDUCE_ROWS):  # numpy's sums do not depend on the number of threads
        centred = matrix.lookup(block).cpu().double().numpy() - first
        total += centred.sum(axis=0)
        squares += np.square(centred).sum(axis=0)
    mean = total / len(ids)
    deviation = np.sqrt(np.maximum(squares / len(ids) - mean**2, 0))
    mean += first[0]
    spread, level = (float(np.sqrt(np.mean(column**2))) for column in (deviation, mean))
    if spread == 0 or (STANDARD[0] <= spread <= STANDARD[1] and level <= STANDARD[1]):
        return None
    factor = 1 / np.where(deviation <= 1e-6 * np.abs(mean), spread, deviation)
    return torch.from_numpy(mean).float(), torch.from_numpy(factor).float()


def _is_missing(matrix: FeatureMatrix, ids: torch.Tensor) -> torch.Tensor:
    """(n,) bool, of which ids the field is missing."""
    found = [matrix.lookup(block)[:, 0].isnan().cpu() for block in ids.split(_REDUCE_ROWS)]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)


def training_mean(features: Features, train_ids: torch.Tensor) -> torch.Tensor:
    """What stands for a missing field where a model has no other way: the mean of the training rows that have it.

    Args:
        train_ids: (n,) int64.

    Returns:
        (F,) float32; 0 for a field that no training row has.
    """
    total, count = torch.zeros(features.dim, dtype=torch.float64), torch.zeros(features.dim, dtype=torch.float64)
    for block in torch.unique(train_ids).split(_REDUCE_ROWS):
        values = features.lookup(block).cpu().double()
        total += values.nansum(dim=0)
        count += (~values.isnan()).sum(dim=0)
    return (total / count.clamp(min=1)).float()


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

    Raises:
        DataError: a single vector, which has no principal components.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    reduces = dim is not None and dim < matrix.dim
    if reduces and len(train_ids) < 2:
        raise DataError(
            f"{matrix.name}: expected at least 2 vectors of training rows for feature_reduce, found {len(train_ids)}."
        )
    dim = min(dim, len(train_ids)) if dim is not None and reduces else None
    fitted = StandardScaler().fit(matrix.lookup(train_ids).numpy())

    def standardised(values: np.ndarray) -> np.ndarray:
        return np.nan_to_num(fitted.transform(values), copy=False)  # a missing field is an average one

    steps = [standardised]
    if reduces:
        pca = PCA(dim, whiten=True, svd_solver="randomized", random_state=seed)
        steps.append(pca.fit(standardised(matrix.lookup(train_ids).numpy())).transform)
    reduced = torch.empty(len(matrix), dim or matrix.dim)
    for start in range(0, len(matrix), _REDUCE_ROWS):
        block = matrix.lookup(torch.arange(start, min(start + _REDUCE_ROWS, len(matrix)))).numpy()
        for step in steps:
            block = step(block)
        reduced[start : start + len(block)] = torch.from_numpy(block)
    reduced[0] = 0
    return reduced
