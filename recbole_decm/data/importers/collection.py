"""A data set in memory, whatever it came from, and its writing as atomic files with ``.npy`` features beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from recbole_decm.data.priors import genre_membership, genre_vocabulary
from recbole_decm.data.splits import EXTRA, PARTS
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import Format, write_atomic
from recbole_decm.io.npy import write_blocks
from recbole_decm.io.write import replacing_folders, write_text

_BLOCK_ROWS = 8_192
LIST_SEPARATORS = (" ", "|", ";", "\x1f")
"""What may stand between the genres of a track: the first that no genre contains."""


class Rows(NamedTuple):
    """Some rows of a matrix in memory or of a file.

    Attributes:
        matrix: (R, F).
        rows: (N,) int64.
        place: where they come from, for messages.
    """

    matrix: np.ndarray
    rows: np.ndarray
    place: str = ""


@dataclass(frozen=True)
class Side:
    """The videos, or the tracks.

    Attributes:
        ids: (N,) str, each once.
        features: field -> the vector of each id, a row of NaN where it has none.
        columns: further columns by name, N rows.
    """

    ids: np.ndarray
    features: dict[str, Rows]
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Collection:
    """Videos, tracks and which track each video has.

    Attributes:
        videos, music: the two sides.
        pairs: ``video_id``, ``music_id`` and ``split`` (of ``train``, ``valid``, ``test``, and ``test_NAME`` for a
            further test set NAME).
        uploaders: (V,) str, the uploader of each video, empty where unknown; None where none is known.
        genres: the genres of each track; None where none is known.
        preferences: (V, K) float32 of each video's uploader, measured outside the pairs; None to count them.
        texts: further files of the data set, by name.
    """

    videos: Side
    music: Side
    pairs: pd.DataFrame
    uploaders: np.ndarray | None = None
    genres: Sequence[Sequence[str]] | None = None
    preferences: np.ndarray | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


def said_of_priors(data: Collection) -> str:
    """Where the priors of a data set come from, in a line for people; a teacher's pairs have none."""
    if data.genres is None:
        return "no genres: models that adjust for them cannot be trained, those that match content alone can"
    if data.uploaders is None:
        return "no uploaders: every prior is the mean genre of the training pairs: there is no habit to remove"
    source = "from their training pairs" if data.preferences is None else "as given"
    return f"{len(set(data.uploaders) - {''}):,} uploaders: priors {source}"


def next_run(data: Collection, out: Path, name: str) -> str:
    """The command that trains on a data set, for people: a model that its genres are enough for."""
    model = "CMVAE" if data.genres is None else "DecCMPlus"
    return f"Next: recbole-decm run --model={model} --dataset={name} --data_path={out}"


def write_collections(
    data: Collection, professional: Collection | None, out: Path, name: str, origin: str, overwrite: bool
) -> Path:
    """Write ``out/name`` and, with the teacher's pairs, ``out/name-pgc``; both or none.

    Returns:
        ``out/name``.

    Raises:
        ConfigError: a folder exists and ``overwrite`` is not set, or the two have other fields.
        DataError: the two have fields of other dimensions.
    """
    both = [data, *([professional] if professional else [])]
    _check_same_fields(both)
    with replacing_folders([out / f"{name}{ending}" for ending in ("", "-pgc")[: len(both)]], overwrite) as folders:
        for part, folder in zip(both, folders, strict=True):
            folder.mkdir()
            write_collection(
                part, folder, folder.name, origin, teacher=len(both) == 2, professional=part is professional
            )
    return out / name


def _check_same_fields(both: Sequence[Collection]) -> None:
    sides = [
        {field: rows.matrix.shape[1] for field, rows in (data.videos.features | data.music.features).items()}
        for data in both
    ]
    for data, fields in zip(both, sides, strict=True):
        if len(fields) < len(data.videos.features) + len(data.music.features):
            raise ConfigError("features: expected another name for each field of videos and tracks, found one twice.")
        if fields.keys() != sides[0].keys():
            raise ConfigError(
                f"features: expected the professional fields {', '.join(sides[0])}, found {', '.join(fields)}."
            )
        if fields != sides[0]:
            raise DataError(f"features: expected the professional dimensions {sides[0]}, found {fields}.")


def write_collection(
    data: Collection, folder: Path, name: str, origin: str, *, teacher: bool, professional: bool = False
) -> None:
    """Write a data set into a folder that exists: atomic files, features, and its YAML.

    Without uploaders, every prior is the mean genre of the training pairs.

    Args:
        name: of the data set, which its files start with.
        origin: what the files were made of, for the head of the YAML.
        teacher: whether ``NAME-pgc`` is written beside it.
        professional: whether these are the teacher's own pairs, which need no priors.
    """
    form = Format(seq_separator=_separator(data.genres or []))
    user: dict[str, Sequence | np.ndarray] = {"video_id:token": data.videos.ids}
    item: dict[str, Sequence | np.ndarray] = {"music_id:token": data.music.ids}
    if data.uploaders is not None:
        user["uploader_id:token"] = data.uploaders
    if data.genres is not None:
        item["genre:token_seq"] = data.genres
        if data.preferences is not None:
            user["uploader_genre:float_seq"] = data.preferences
        elif data.uploaders is None and not professional:
            user["uploader_genre:float_seq"] = np.tile(_mean_of_training(data, data.genres), (len(data.videos), 1))
    write_atomic(folder / f"{name}.user", user | _atomic(data.videos.columns), decimals=None, form=form)
    write_atomic(folder / f"{name}.item", item | _atomic(data.music.columns), decimals=None, form=form)
    for side in (data.videos, data.music):
        for key, vectors in side.features.items():
            write_features(folder / f"{name}.{key}.npy", vectors)
    for part, rows in data.pairs.groupby("split"):
        columns = {f"{key}:token": rows[key].to_numpy() for key in ("video_id", "music_id")}
        write_atomic(folder / f"{name}.{part.removeprefix(EXTRA)}.inter", columns, form=form)
    for file, text in data.texts.items():
        write_text(folder / file, text)
    write_text(folder / f"{name}.yaml", _yaml(data, name, origin, form, teacher, professional))


def _separator(genres: Sequence[Sequence[str]]) -> str:
    used = "".join(set("".join(genre for row in genres for genre in row)))
    return next(mark for mark in LIST_SEPARATORS if mark not in used)


def _mean_of_training(data: Collection, genres: Sequence[Sequence[str]]) -> np.ndarray:
    """(K,) mean genre of the tracks of the training pairs; uniform where none of them has a genre."""
    vocabulary = genre_vocabulary(genres)
    chosen = data.pairs.loc[data.pairs["split"] == "train", "music_id"]
    rows = pd.Index(data.music.ids).get_indexer(chosen)
    mean = genre_membership(genres, vocabulary)[rows].mean(axis=0, dtype=np.float64)
    return mean / mean.sum() if mean.sum() else np.full(len(vocabulary), 1 / len(vocabulary))


def _atomic(columns: pd.DataFrame) -> dict[str, Sequence | np.ndarray]:
    """Further columns as numbers where all of one are, else as text, in which a tab or a line end becomes a blank."""
    found: dict[str, Sequence | np.ndarray] = {}
    for name, values in columns.items():
        if pd.api.types.is_numeric_dtype(values):
            found[f"{name}:float"] = values.to_numpy(dtype=np.float64)
        else:
            found[f"{name}:token"] = values.str.replace(r"[\t\r\n]+", " ", regex=True).to_numpy()
    return found


def write_features(path: Path, vectors: Rows) -> None:
    """Write rows as a ``.npy`` file, a block at a time."""
    matrix, rows, _ = vectors
    blocks = (matrix[rows[start : start + _BLOCK_ROWS]] for start in range(0, len(rows), _BLOCK_ROWS))
    dtype = np.dtype(np.float16 if matrix.dtype == np.float16 else np.float32)
    write_blocks(path, blocks, (len(rows), matrix.shape[1]), dtype)


def _yaml(data: Collection, name: str, origin: str, form: Format, teacher: bool, professional: bool) -> str:
    parts = [part for part in PARTS if (data.pairs["split"] == part).any()]
    with_priors = data.genres is not None and not professional
    metrics = ["Recall", "NDCG", "MRR", *(["GenreKL", "MajorityShare"] if with_priors else [])]
    cuts = [cut for cut in (5, 10, 20) if cut <= len(data.music)] or [len(data.music)]
    values: dict[str, object] = {"benchmark_filename": parts}
    extra = sorted({part.removeprefix(EXTRA) for part in data.pairs["split"]} - {*PARTS})
    if extra:
        values["extra_tests"] = extra
    for key, side, one in (("video", data.videos, "visual"), ("music", data.music, "acoustic")):
        fields = list(side.features)
        if len(fields) > 1:
            values[f"{key}_fields"] = fields
        elif fields != [one]:
            values[f"{one.upper()}_FIELD"] = fields[0]
    fields = [*data.videos.features, *data.music.features]
    values["feature_files"] = {field: f"{name}.{field}.npy" for field in fields}
    if form.seq_separator != " ":
        values["seq_separator"] = form.seq_separator
    if with_priors and data.uploaders is not None and data.preferences is None:
        values["uploader_prior"] = "train"
    if not teacher and not professional:
        values["teacher"] = "none"
    values |= {
        "eval_args": {"mode": "full"},
        "metrics": metrics,
        "topk": cuts,
        "valid_metric": f"NDCG@{cuts[len(cuts) // 2]}",
    }
    head = "".join(f"# {line}\n" for line in origin.splitlines())
    return head + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
