"""Convert data in the layout of the released DecCM code to atomic files, memory-mapped features and candidate lists.

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
from tqdm import tqdm

from recbole_decm.data.atomic import write_atomic, write_text
from recbole_decm.data.cells import numbers, short, whole_numbers
from recbole_decm.data.features import check_finite
from recbole_decm.data.folders import replacing
from recbole_decm.data.priors import SUM_TOLERANCE
from recbole_decm.data.unpickle import load_array
from recbole_decm.errors import DataError

UGC_FEATURES = ("visual_features_resnet_V.npy", "music_features.npy", "new_music_smile_features_norm.npy")
PGC_FEATURES = ("mv_video_resnet_features.npy", "vggish_features.npy", "opensmile_features_norm.npy")
UGC_ROWS = ("train.npy", "100neg/val.npy", "100neg/test.npy")
PGC_ROWS = ("train.npy", "val.npy")
_GENRES = re.compile(r"\s*\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]\s*")
_BLOCK_ROWS = 8_192

_UGC_YAML = """\
# Imported from the layout of the released code.
benchmark_filename: [train, valid, test]  # (list) Ready-made splits.
feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}  # (dict) Memory-mapped vectors.
eval_args: {{mode: fixed}}        # (dict) Rank against the released candidates.
metrics: [Recall, NDCG, IPWRecall, IPWNDCG]  # (list) Evaluation metrics.
topk: [{topk}]        # (list) Cut-offs of the metrics.
valid_metric: IPWRecall@{best}    # (str) The metric that chooses the epoch.
"""
_PGC_YAML = """\
# The teacher's pairs, imported from the layout of the released code.
benchmark_filename: [train, valid]  # (list) Ready-made splits; a teacher needs no test.
feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}  # (dict) Memory-mapped vectors.
eval_args: {{mode: full}}         # (dict) Rank all professional music.
metrics: [Recall, NDCG]         # (list) Evaluation metrics.
topk: [{topk}]                # (list) Cut-offs of the metrics.
valid_metric: Recall@{best}       # (str) The metric that chooses the epoch.
"""


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


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote, for people: ``str()`` gives a few lines with the next command."""

    folder: Path
    ugc: ReleasedData
    pgc: ReleasedData | None

    def __str__(self) -> str:
        lines = [_line(self.folder, self.ugc)]
        lines += [_line(Path(f"{self.folder}-pgc"), self.pgc)] if self.pgc else []
        lines.append(
            f"Next: recbole-decm run --model=DecCM --dataset={self.folder.name} --data_path={self.folder.parent}"
        )
        return "\n".join(lines)


def _line(folder: Path, data: ReleasedData) -> str:
    rows = ", ".join(f"{len(pairs.video)} {name}" for name, pairs in data.splits.items())
    groups = "" if data.prior is None else f", {data.prior.shape[1]} genre groups"
    return (
        f"{folder}: {len(data.visual)} videos x {data.visual.shape[1]}, {len(data.acoustic)} music x "
        f"{data.acoustic.shape[1]}{groups}; pairs: {rows}"
    )


def import_released(
    ugc: Path, pgc: Path | None, name: str, out: Path, *, overwrite: bool = False, show_progress: bool = True
) -> ImportSummary:
    """Write ``out/name`` and, with ``pgc``, ``out/name-pgc``. Nothing is written before everything is checked.

    Raises:
        DataError: missing files (all of them at once), or a row that cannot be right; names the file and the row.
        ConfigError: an output folder exists and ``overwrite`` is not set.
    """
    needed = [ugc / file for file in (*UGC_FEATURES, *UGC_ROWS)]
    needed += [pgc / file for file in (*PGC_FEATURES, *PGC_ROWS)] if pgc is not None else []
    _require_files(needed)
    student = read_ugc(ugc, show_progress)
    teacher = read_pgc(pgc, show_progress) if pgc is not None else None
    if teacher is not None:
        for what in ("visual", "acoustic"):
            expected, found = getattr(student, what).shape[1], getattr(teacher, what).shape[1]
            if expected != found:
                raise DataError(f"{pgc}: expected {expected} {what} dimensions, as in {ugc}, found {found}.")
    folders = [out / name, *([out / f"{name}-pgc"] if teacher else [])]
    with replacing(folders, overwrite) as targets:
        for target, data, yaml in zip(targets, (student, teacher), (_UGC_YAML, _PGC_YAML), strict=False):
            if data is not None:
                _write(data, target, target.name, yaml, show_progress)
    return ImportSummary(out / name, student, teacher)


def _require_files(paths: list[Path]) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"expected the released layout, missing {len(missing)} files: {', '.join(missing)}.")


# --- reading ------------------------------------------------------------------------------------------------------
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


def _read_features(folder: Path, names: tuple[str, str, str], show_progress: bool) -> tuple[np.ndarray, np.ndarray]:
    visual, *parts = (load_array(folder / name) for name in names)
    for name, values in zip(names, (visual, *parts), strict=True):
        if values.ndim != 2 or values.dtype.kind != "f" or not len(values):
            raise DataError(
                f"{folder / name}: expected a matrix of floats, found {values.dtype} of shape {values.shape}."
            )
        with _bar(f"checking {name}", len(values), show_progress) as bar:
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
    bad = np.flatnonzero(~_are_probabilities(prior))
    if bad.size:
        raise DataError(
            f"{train.path}, row {bad[0]}: expected a prior of probabilities that sum to 1, "
            f"found {prior[bad[0]].tolist()}."
        )
    path = folder / "user_prior_mean.npy"
    mean = numbers(load_array(path)) if path.is_file() else prior.mean(axis=0)
    if mean is None or mean.shape != (prior.shape[1],) or not _are_probabilities(mean[None])[0]:
        found = "something else" if mean is None else mean.tolist()
        raise DataError(f"{path}: expected {prior.shape[1]} probabilities, found {found}.")
    full = np.tile(mean, (videos, 1))
    full[train.video] = prior
    return full


def _are_probabilities(rows: np.ndarray) -> np.ndarray:
    return (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)


def _genres(train: Pairs, rows: np.ndarray, music: int, groups: int) -> list[list[int]]:
    """Genre numbers of each music; the layout tells them for training music alone."""
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


# --- writing ------------------------------------------------------------------------------------------------------
def _write(data: ReleasedData, folder: Path, name: str, yaml: str, show_progress: bool) -> None:
    folder.mkdir()
    user: dict = {"video_id:token": range(len(data.visual))}
    item: dict = {"music_id:token": range(len(data.acoustic))}
    if data.prior is not None:
        user["uploader_genre:float_seq"] = data.prior
        item["genre:token_seq"] = data.genres
    write_atomic(folder / f"{name}.user", user, decimals=9)
    write_atomic(folder / f"{name}.item", item)
    _copy(data.visual, folder / f"{name}.visual.npy", show_progress)
    np.save(folder / f"{name}.acoustic.npy", data.acoustic)
    for split, pairs in data.splits.items():
        columns: dict = {"video_id:token": pairs.video, "music_id:token": pairs.music}
        if pairs.weights is not None:
            columns["ipw_weight:float"] = pairs.weights
        write_atomic(folder / f"{name}.{split}.inter", columns, decimals=17)
        if pairs.negatives is not None:
            lists: dict = {"video_id:token": pairs.video, "music_id:token_seq": pairs.negatives}
            write_atomic(folder / f"{name}.{split}.candidates", lists)
    cuts = _cutoffs(data)
    write_text(folder / f"{name}.yaml", yaml.format(name=name, topk=", ".join(map(str, cuts)), best=cuts[-1]))


def _cutoffs(data: ReleasedData) -> list[int]:
    """The released cut-offs, as far as the shortest candidate list (or the catalogue) reaches."""
    lists = [len(row) + 1 for pairs in data.splits.values() for row in pairs.negatives or []]
    wanted = [10, 15, 20, 25] if lists else [10, 25]
    shortest = min([len(data.acoustic), *lists])
    return [cut for cut in wanted if cut <= shortest] or [shortest]


def _copy(values: np.ndarray, path: Path, show_progress: bool) -> None:
    """Write block by block to a file that is not mapped: its pages would count as memory of this process."""
    dtype = values.dtype.newbyteorder("=")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": values.shape}
    with path.open("wb") as file, _bar(f"writing {path.name}", len(values), show_progress) as bar:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(values), _BLOCK_ROWS):
            block = np.ascontiguousarray(values[start : start + _BLOCK_ROWS], dtype=dtype)
            file.write(block.data)
            bar.update(len(block))


def _bar(what: str, rows: int, show: bool) -> tqdm:
    return tqdm(total=rows, desc=what, unit="row", unit_scale=True, file=sys.stderr, disable=not show or None)
