"""Videos to recommend for, in blocks: rows of a .npy file of today's uploads, or a split of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recbole_decm.data.priors import check_probabilities
from recbole_decm.errors import DataError
from recbole_decm.io.npy import check_finite, missing_rows, open_matrix

VIDEO_BLOCK = 1_024
"""Videos that are ranked at a time."""


@dataclass(frozen=True)
class VideoChoice:
    """Which videos to recommend for: a file of features, or else a split of the data set.

    Attributes:
        file: ``.npy`` (N, F), or a folder of ``FIELD.npy`` and ``ids.csv``.
        uploaders: as of :func:`open_videos`, for a model that ranks under the uploaders'
            preferences.
        split: ``test`` or ``all``.
        prior: that will be ranked under, as of :meth:`Recommender.ranking_under`.
    """

    file: Path | None = None
    uploaders: Path | None = None
    split: str = "test"
    prior: Any = None


class VideoBlock(NamedTuple):
    """Some videos: labels (B,), features (B, F) float32, and their uploaders' preferences (B, K), or None."""

    labels: np.ndarray
    visual: np.ndarray
    uploaders: np.ndarray | None


class Videos:
    """Videos that can be taken by their place; ``label`` names what they are labelled with."""

    label: str

    def __len__(self) -> int:
        raise NotImplementedError

    def take(self, places: np.ndarray) -> Any:
        """The videos at some (B,) int64 places, a tuple with ``labels``."""
        raise NotImplementedError

    def blocks(self, size: int) -> Iterator[Any]:
        """All videos in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

    def sample(self, size: int) -> Any:
        """At most ``size`` videos, spread evenly."""
        return self.take(np.unique(np.linspace(0, len(self) - 1, min(size, len(self))).astype(np.int64)))


@dataclass(frozen=True)
class FileVideos(Videos):
    """Videos by the rows of matrices, memory-mapped or in memory; a label is the row's id, or its number, from 0.

    Attributes:
        fields: (N, F) of each field of the model, in its order; uploaders: (N, K) or None; ids: (N,) or None.
    """

    fields: tuple[np.ndarray, ...]
    uploaders: np.ndarray | None
    label: str = "row"
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.fields[0])

    def take(self, places: np.ndarray) -> VideoBlock:
        uploaders = None if self.uploaders is None else _single(self.uploaders[places])
        visual = np.concatenate([_single(values[places]) for values in self.fields], axis=1)
        return VideoBlock(places if self.ids is None else self.ids[places], visual, uploaders)


def open_videos(
    path: Path,
    dims: Mapping[str, int],
    uploaders: Path | None = None,
    groups: Sequence[str] | int | None = None,
    ids: np.ndarray | None = None,
) -> FileVideos:
    """Open and check files of today's uploads.

    Args:
        path: ``.npy`` of (N, F) float features, the same extractor's as in training; or a folder with a ``FIELD.npy``
            for each field of the model, a row of NaN where it is missing.
        dims: field -> F, of the model.
        uploaders: ``.csv`` with a column for each genre group, in any order, or ``.npy`` of (N, K) in the order of
            ``groups``, which is said in a warning; one row per video, which sums to 1.
        groups: names of the model's K groups, or K alone.
        ids: (N,) of the videos, for ``uploaders`` with a column ``video_id``, whose rows may stand in any order.

    Raises:
        DataError: missing, malformed, of other dimensions, not finite, no probabilities, of an unknown genre.
    """
    if path.is_dir():
        files = {name: path / f"{name}.npy" for name in dims}
    elif len(dims) == 1:
        files = dict.fromkeys(dims, path)
    else:
        raise DataError(f"{path}: expected a folder with {', '.join(f'{name}.npy' for name in dims)}, found a file.")
    fields = {name: _open(file, f"{name} features", dims[name]) for name, file in files.items()}
    _check_fields(fields, str(path))
    visual = next(iter(fields.values()))
    preferences = None
    if uploaders is not None:
        preferences = _open_preferences(uploaders, groups, ids)
        if len(preferences) != len(visual):
            raise DataError(
                f"{uploaders}: expected {len(visual)} rows, one per video of {path}, found {len(preferences)}."
            )
        check_finite(preferences, "uploader preferences", str(uploaders))
        check_probabilities(preferences, lambda row: f"{uploaders}, row {row}")
    return FileVideos(tuple(fields.values()), preferences)


def _check_fields(fields: Mapping[str, np.ndarray], where: str) -> None:
    """Refuse numbers that are not finite, matrices of several lengths, and the first row that has no field."""
    if len({len(values) for values in fields.values()}) > 1:
        raise DataError(f"{where}: expected as many rows of each field, found {[len(v) for v in fields.values()]}.")
    if len(fields) == 1:
        for name, values in fields.items():
            check_finite(values, f"{name} features", where)
        return
    nothing = np.logical_and.reduce([missing_rows(values, name, where) for name, values in fields.items()])
    if nothing.any():
        row = int(np.flatnonzero(nothing)[0])
        raise DataError(f"{where}, row {row}: expected at least one of {', '.join(fields)}, found none.")


def _open_preferences(path: Path, groups: Sequence[str] | int | None, ids: np.ndarray | None) -> np.ndarray:
    names = () if groups is None or isinstance(groups, int) else groups
    if path.suffix != ".csv":
        matrix = _open(path, "uploader preferences", len(names) if names else groups)  # type: ignore[arg-type]
        order = ", ".join(names) or "of the data set that the checkpoint was trained with; it does not name them"
        getLogger().warning(f"{path}: columns are taken as the genres {order}")
        return matrix
    try:
        table = pd.read_csv(path, dtype={"video_id": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a table with a column for each genre, but {_line(error)}.") from error
    if ids is not None and "video_id" in table:
        table = _in_order(table.set_index("video_id"), ids, str(path))
    return _matrix(by_genre(table, names, str(path)), str(path), len(names))


def _in_order(table: pd.DataFrame, ids: np.ndarray, what: str) -> pd.DataFrame:
    again, missing = table.index.duplicated(), ~pd.Index(ids).isin(table.index)
    if again.any() or missing.any():
        found = f"two of '{table.index[again][0]}'" if again.any() else f"none of '{ids[missing][0]}'"
        raise DataError(f"{what}: expected one row of each video, found {found}.")
    return table.loc[ids]


def by_genre(table: pd.DataFrame, genres: Sequence[str], what: str) -> np.ndarray:
    """Preferences by the names of their columns, in the order of a model's; a genre without a column counts as 0.

    Raises:
        DataError: the model does not name its genres, or not this one.
    """
    if not genres:
        raise DataError(f"{what}: expected a matrix without names, since the checkpoint does not name its genres.")
    names = [str(name) for name in table.columns]
    wrong = [name for place, name in enumerate(names) if name not in genres or name in names[:place]]
    if wrong:
        raise DataError(f"{what}: expected each of the genres {', '.join(genres)} once, found '{wrong[0]}'.")
    return table.rename(columns=str).reindex(columns=list(genres), fill_value=0.0).to_numpy()


def videos_in_memory(
    visual: Any, dims: Mapping[str, int], uploaders: Any = None, groups: int | None = None
) -> FileVideos:
    """Check features and preferences in memory; a video's label is its row.

    Args:
        visual: (B, F) of the one field, or field -> (B, F) with a row of NaN where it is missing.
        uploaders: (B, K) or None.
        dims, groups: field -> F, and K, of the model.

    Raises:
        DataError: another shape or type, not finite, no probabilities.
    """
    if isinstance(visual, Mapping):
        if visual.keys() != dims.keys():
            raise DataError(f"features: expected the fields {', '.join(dims)}, found {', '.join(map(str, visual))}.")
    elif len(dims) == 1:
        visual = dict.fromkeys(dims, visual)
    else:
        raise DataError(f"features: expected a dictionary of the fields {', '.join(dims)}, found one matrix.")
    fields = {name: _matrix(visual[name], f"{name} features", dim) for name, dim in dims.items()}
    _check_fields(fields, "features" if len(fields) > 1 else f"{next(iter(fields))} features")
    features = next(iter(fields.values()))
    if uploaders is None:
        return FileVideos(tuple(fields.values()), None)
    preferences = _matrix(uploaders, "uploader preferences", groups)
    check_finite(preferences, "uploader preferences", "uploader preferences")
    if len(preferences) != len(features):
        raise DataError(
            f"uploader preferences: expected {len(features)} rows, one per video, found {len(preferences)}."
        )
    check_probabilities(preferences, lambda row: f"uploader preferences, row {row}")
    return FileVideos(tuple(fields.values()), preferences)


def _matrix(values: Any, what: str, dim: int | None) -> np.ndarray:
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "fiubO":
            raise TypeError(f"found {given.dtype}")
        with np.errstate(over="ignore"):  # infinite then, and refused as that
            matrix = given.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that needs gradients
        raise DataError(f"{what}: expected a matrix of numbers, but {_line(error)}.") from error
    if matrix.ndim != 2 or not len(matrix) or (dim is not None and matrix.shape[1] != dim):
        raise DataError(f"{what}: expected at least one row of {dim} numbers, found the shape {matrix.shape}.")
    return matrix


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _open(path: Path, what: str, dim: int | None) -> np.ndarray:
    values = open_matrix(path, what)
    if dim is not None and values.shape[1] != dim:
        raise DataError(
            f"{path}: expected {what} of {dim} columns, as the checkpoint was trained with, found {values.shape[1]}."
        )
    return values


def _single(values: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=np.float32)
