"""Data in the layout of the released DecCM code, read and checked.

UGC folder: ``visual_features_resnet_V.npy``, ``music_features.npy``, ``new_music_smile_features_norm.npy``,
``train.npy`` (rows [video, music, "[genre]", prior, propensity]), ``100neg/val.npy`` and ``test.npy`` (rows [video,
music, negatives]), and, where there are some, ``video_popularity_val.npy``, ``_test.npy``, ``user_prior_mean.npy``.
PGC folder: ``mv_video_resnet_features.npy``, ``vggish_features.npy``, ``opensmile_features_norm.npy``, ``train.npy``,
``val.npy``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from recbole_decm.data.priors import are_probabilities
from recbole_decm.errors import DataError
from recbole_decm.io.npy import check_finite
from recbole_decm.released.objects import numbers, short, whole_numbers
from recbole_decm.released.unpickle import load_array

UGC_FEATURES = ("visual_features_resnet_V.npy", "music_features.npy", "new_music_smile_features_norm.npy")
PGC_FEATURES = ("mv_video_resnet_features.npy", "vggish_features.npy", "opensmile_features_norm.npy")
UGC_ROWS = ("train.npy", "100neg/val.npy", "100neg/test.npy")
PGC_ROWS = ("train.npy", "val.npy")
_OWN_COLUMNS = ("video_id", "music_id", "ipw_weight")
_GENRES = re.compile(r"\s*\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]\s*")


@dataclass(frozen=True)
class Pairs:
    """Rows of one split: video (n,) and music (n,) int64, and what only some splits have.

    Attributes:
        negatives: n arrays of music rows, or None.
        weights: (n,) float64 weights in IPW metrics, or None.
    """

    path: Path
    video: np.ndarray
    music: np.ndarray
    negatives: list[np.ndarray] | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class ReleasedData:
    """A data set in memory-mapped form, checked.

    Attributes:
        visual: (V, Fv) mapped; acoustic: (M, Fa) float32.
        prior: (V, K) float64 uploader priors and genres: M lists of genre numbers; None and empty for PGC.
        splits: by name of ours: train, valid, test.
    """

    visual: np.ndarray
    acoustic: np.ndarray
    prior: np.ndarray | None
    genres: list[list[int]]
    splits: dict[str, Pairs]


def require_files(ugc: Path, pgc: Path | None) -> None:
    """Raise DataError unless every file that cannot be missing is there; names all that are missing."""
    paths = [ugc / file for file in (*UGC_FEATURES, *UGC_ROWS)]
    paths += [pgc / file for file in (*PGC_FEATURES, *PGC_ROWS)] if pgc is not None else []
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"expected the released layout, missing {len(missing)} files: {', '.join(missing)}.")


def read_ugc(folder: Path, show_progress: bool = False) -> ReleasedData:
    """Read and check a UGC folder."""
    visual, acoustic = _read_features(folder, UGC_FEATURES, show_progress)
    videos, music = len(visual), len(acoustic)
    rows = _object_rows(folder / "train.npy", 5)
    train = _pairs(folder / "train.npy", rows, videos, music)
    prior = _priors(folder, rows, train, videos)
    splits = {"train": train}
    for ours, theirs in (("valid", "val"), ("test", "test")):
        splits[ours] = _evaluation_rows(folder, theirs, videos, music)
    return ReleasedData(visual, acoustic, prior, _genres(train, rows, music, prior.shape[1]), splits)


def read_pgc(folder: Path, show_progress: bool = False) -> ReleasedData:
    """Read and check a PGC folder."""
    visual, acoustic = _read_features(folder, PGC_FEATURES, show_progress)
    splits = {}
    for ours, theirs in (("train", "train"), ("valid", "val")):
        path = folder / f"{theirs}.npy"
        rows = load_array(path)
        if rows.ndim != 2 or rows.shape[1] < 2 or not len(rows):
            raise DataError(f"{path}: expected rows [video, music], found an array of shape {rows.shape}.")
        splits[ours] = _pairs(path, rows, len(visual), len(acoustic))
    return ReleasedData(visual, acoustic, None, [[] for _ in range(len(acoustic))], splits)


def read_groups(path: Path, column: str, videos: int) -> np.ndarray:
    """(V,) object: a column of a CSV that names each video's row of the features in its column ``video``.

    Raises:
        DataError: a column that is not there or not to be had, a video without a value, or twice.
    """
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a CSV of videos, but {short(str(error))}.") from error
    if not {"video", column} <= set(cells) or not re.fullmatch("[a-z0-9_]+", column) or column in _OWN_COLUMNS:
        raise DataError(
            f"{path}: expected the columns 'video' and another one, of small letters, digits and _, that .inter does "
            f"not have yet, found '{column}' to be asked for among {', '.join(map(str, cells))}."
        )
    rows = whole_numbers(path, pd.to_numeric(cells["video"], errors="coerce").fillna(-1).to_numpy(object), "video")
    found = pd.Series(cells[column].str.strip().to_numpy(), index=rows)
    again = np.flatnonzero(found.index.duplicated())
    if again.size:
        raise DataError(f"{path}, row {again[0]}: expected each video once, found video {rows[again[0]]} again.")
    wanted = found.reindex(range(videos)).fillna("")
    missing = np.flatnonzero(wanted == "")
    if missing.size:
        raise DataError(f"{path}: expected a value of '{column}' for video {missing[0]}, found none.")
    return wanted.to_numpy(dtype=object)


def _read_features(folder: Path, names: tuple[str, str, str], show_progress: bool) -> tuple[np.ndarray, np.ndarray]:
    visual, *parts = (load_array(folder / name) for name in names)
    for name, values in zip(names, (visual, *parts), strict=True):
        if values.ndim != 2 or values.dtype.kind != "f" or not len(values):
            raise DataError(
                f"{folder / name}: expected a matrix of floats, found {values.dtype} of shape {values.shape}."
            )
        with row_bar(f"checking {name}", len(values), show_progress) as bar:
            check_finite(values, name, str(folder / name), on_rows=bar.update)
    if len(parts[0]) != len(parts[1]):
        raise DataError(
            f"{folder}: expected as many rows in {names[1]} as in {names[2]}, "
            f"found {len(parts[0])} and {len(parts[1])}."
        )
    return visual, np.concatenate(parts, axis=1, dtype=np.float32)


def _object_rows(path: Path, width: int) -> np.ndarray:
    rows = load_array(path)
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise DataError(f"{path}: expected rows of {width} entries, found an array of shape {rows.shape}.")
    return rows


def _pairs(path: Path, rows: np.ndarray, videos: int, music: int) -> Pairs:
    columns: list[np.ndarray] = []
    for column, (what, count) in enumerate((("video", videos), ("music", music))):
        ids = whole_numbers(path, rows[:, column], what)
        bad = np.flatnonzero((ids < 0) | (ids >= count))
        if bad.size:
            raise DataError(
                f"{path}, row {bad[0]}: expected a {what} from 0 to {count - 1}, since there are {count} feature rows, "
                f"found {ids[bad[0]]}."
            )
        columns.append(ids)
    return Pairs(path, columns[0], columns[1])


def _priors(folder: Path, rows: np.ndarray, train: Pairs, videos: int) -> np.ndarray:
    """(V, K) priors; a video outside the training rows has none in this layout and gets the training mean."""
    lengths = np.fromiter(
        (len(row) if isinstance(row, (list, tuple)) or np.shape(row) else 0 for row in rows[:, 3]), np.int64, len(rows)
    )
    odd = np.flatnonzero((lengths != lengths[0]) | (lengths == 0))
    if odd.size:
        raise DataError(
            f"{train.path}, row {odd[0]}: expected a prior of {lengths[0]} numbers, as in the first row, "
            f"found {lengths[odd[0]]}."
        )
    prior = numbers(np.array(rows[:, 3].tolist(), dtype=object))
    if prior is None or prior.shape != (len(rows), lengths[0]):  # slow, but only to name the row
        each = [numbers(np.array(list(row), dtype=object)) for row in rows[:, 3]]
        row = next(row for row, values in enumerate(each) if values is None or values.shape != (lengths[0],))
        raise DataError(
            f"{train.path}, row {row}: expected a prior of {lengths[0]} numbers, found {short(rows[row, 3])}."
        )
    bad = np.flatnonzero(~are_probabilities(prior))
    if bad.size:
        raise DataError(
            f"{train.path}, row {bad[0]}: expected a prior of probabilities that sum to 1, "
            f"found {prior[bad[0]].tolist()}."
        )
    path = folder / "user_prior_mean.npy"
    mean = numbers(load_array(path)) if path.is_file() else prior.mean(axis=0)
    if mean is None or mean.shape != (prior.shape[1],) or not are_probabilities(mean[None])[0]:
        found = "something else" if mean is None else mean.tolist()
        raise DataError(f"{path}: expected {prior.shape[1]} probabilities, found {found}.")
    full = np.tile(mean, (videos, 1))
    full[train.video] = prior
    return full


def _genres(train: Pairs, rows: np.ndarray, music: int, groups: int) -> list[list[int]]:
    """Genre numbers of each track; the layout tells them for training music alone."""
    genres: list[list[int]] = [[] for _ in range(music)]
    parsed: dict[str, list[int]] = {}
    for row, (tune, cell) in enumerate(zip(train.music.tolist(), rows[:, 2], strict=True)):
        text = cell if isinstance(cell, str) else str(list(cell)) if isinstance(cell, (list, tuple)) else repr(cell)
        if text not in parsed:
            if not _GENRES.fullmatch(text):
                raise DataError(f"{train.path}, row {row}: expected genres such as '[3]', found {text!r}.")
            parsed[text] = [int(number) for number in re.findall(r"\d+", text)]
            if any(number >= groups for number in parsed[text]):
                raise DataError(
                    f"{train.path}, row {row}: expected genres from 0 to {groups - 1}, the length of the priors, "
                    f"found {text}."
                )
        genres[tune] = parsed[text]
    return genres


def _evaluation_rows(folder: Path, name: str, videos: int, music: int) -> Pairs:
    path = folder / "100neg" / f"{name}.npy"
    rows = _object_rows(path, 3)
    pairs = _pairs(path, rows, videos, music)
    first, index = np.unique(pairs.video, return_index=True)
    if len(first) != len(rows):
        again = np.setdiff1d(np.arange(len(rows)), index)[0]
        raise DataError(
            f"{path}, row {again}: expected each video once, found video {pairs.video[again]} of row "
            f"{index[np.searchsorted(first, pairs.video[again])]} again."
        )
    negatives = []
    for row, cell in enumerate(rows[:, 2]):
        ids = numbers(np.array(cell, dtype=None if isinstance(cell, np.ndarray) else object).reshape(-1))
        ids = None if ids is None or (ids != np.floor(ids)).any() else ids.astype(np.int64)
        if ids is None:
            raise DataError(f"{path}, row {row}: expected whole numbers for the negatives, found {short(cell)}.")
        if not ids.size or ids.min() < 0 or ids.max() >= music:
            raise DataError(f"{path}, row {row}: expected negatives from 0 to {music - 1}, found {ids.tolist()[:5]}...")
        if (ids == pairs.music[row]).any():
            raise DataError(
                f"{path}, row {row}: expected negatives only, found music {pairs.music[row]}, the positive."
            )
        if len(np.unique(ids)) != len(ids):
            raise DataError(f"{path}, row {row}: expected each negative once, found one twice.")
        negatives.append(ids)
    return Pairs(path, pairs.video, pairs.music, negatives, _weights(folder, name, len(rows)))


def _weights(folder: Path, name: str, count: int) -> np.ndarray | None:
    path = folder / f"video_popularity_{name}.npy"
    if not path.is_file():
        return None
    weights = numbers(load_array(path))
    if weights is None or weights.shape != (count,) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise DataError(
            f"{path}: expected {count} weights of at least 0, one a row of 100neg/{name}.npy, found "
            f"{'no numbers' if weights is None else weights.shape}."
        )
    return weights


def row_bar(what: str, rows: int, show: bool) -> tqdm:
    """A progress bar of rows, where a person looks on."""
    return tqdm(total=rows, desc=what, unit="row", unit_scale=True, file=sys.stderr, disable=not show or None)
