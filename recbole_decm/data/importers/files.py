"""Tables whose cells name files: which track each video has, before anything is known of what the files hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from recbole_decm.data.importers.assemble import Frames
from recbole_decm.data.importers.collection import Rows
from recbole_decm.data.importers.tables import TABLES, USUAL, read_table, texts
from recbole_decm.errors import DataError, suggest

_KEYS = ("video_id", "music_id")
_OWN = ("uploader_id", "genre", "split")
_MEANT = {
    "video": ("video",),
    "music": ("music",),
    **{key: (key,) for key in _KEYS},
    **{key: USUAL[key] for key in _OWN},
}
FILE = "file"
"""The column of a side that holds the absolute path of each id's file."""


@dataclass(frozen=True)
class FilePairs:
    """Pairs of files.

    Attributes:
        pairs: ``video_id``, ``music_id``, and all other columns of the table.
        videos, music: one row for each id: the id, :data:`FILE`, and the columns that tell of it.
    """

    pairs: pd.DataFrame
    videos: pd.DataFrame
    music: pd.DataFrame

    def texts(self, key: str, column: str, place: str) -> np.ndarray:
        """The text of each id of a side, empty where it has none.

        Args:
            key: ``video_id`` or ``music_id``.
            column: of the table.
            place: of the table, for messages.

        Raises:
            DataError: no such column; two texts of one id.
        """
        found = column_of_texts(self.pairs, column, place)
        _require_one(self.pairs.assign(**{column: found}), key, column, f"'{column}'", place)
        return found[~self.pairs.duplicated(key).to_numpy()]

    def frames(self, video_features: Mapping[str, Rows], music_features: Mapping[str, Rows]) -> Frames:
        """The tables with the features of the videos and of the tracks, in the order of the rows."""
        videos, music = (side.drop(columns=FILE) for side in (self.videos, self.music))
        return Frames(self.pairs, videos, music, video_features, music_features)


def read_file_pairs(path: Path) -> FilePairs:
    """Read ``video``, ``music`` (paths, relative to the table; an empty ``music`` is the video's own sound), and where
    they are known ``video_id``, ``music_id``, ``uploader_id``, ``genre``, ``split``.

    An id that is not given is the stem of the file's name, and of a video's own sound the id of the video. Of the
    further columns, one that says the same of a track wherever the track stands tells of the tracks, any other of the
    videos.

    Raises:
        DataError: no such columns; one id for two files; two genres of a track.
    """
    table = read_table(path, {}, _MEANT)
    place = str(path)
    videos = texts(table, "video", place)
    music = texts(table, "music", place, empty=True)
    own = music == ""
    files = {"video_id": _paths(path, videos), "music_id": _paths(path, np.where(own, videos, music))}
    ids = {"video_id": _ids(table, "video_id", files["video_id"], place)}
    stems = _ids(table, "music_id", files["music_id"], place)
    given = texts(table, "music_id", place, empty=True) != "" if "music_id" in table else np.zeros(len(table), bool)
    ids["music_id"] = np.where(own & ~given, ids["video_id"], stems)
    pairs = table.assign(**ids).drop(columns=["video", "music"])
    sides = {key: pairs.assign(**{FILE: files[key]}) for key in _KEYS}
    for key, side in sides.items():
        _require_one(side, key, FILE, "file", place)
    further = [name for name in pairs.columns if name not in (*_KEYS, *_OWN)]
    of_music = [name for name in further if not _several(pairs, "music_id", name).any()]
    of_videos = [name for name in further if name not in of_music]
    video_side = sides["video_id"].drop_duplicates("video_id")[["video_id", FILE, *of_videos]]
    music_side = sides["music_id"].drop_duplicates("music_id")[["music_id", FILE, *of_music]]
    if "genre" in pairs:
        named = pairs[pairs["genre"].map(str) != ""]
        _require_one(named, "music_id", "genre", "genre", place)
        genre = named.drop_duplicates("music_id").set_index("music_id")["genre"]
        music_side = music_side.assign(genre=music_side["music_id"].map(genre).fillna(""))
    return FilePairs(pairs, _placed(video_side, place), _placed(music_side, place))


def read_files(path: Path) -> pd.DataFrame:
    """A video, or the videos of a folder, or of a table with ``video`` and, where known, ``video_id`` and others.

    Returns:
        ``video_id``, ``video`` (the path as it is given), :data:`FILE`, and the other columns.

    Raises:
        DataError: nothing there; one id for two files.
    """
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        if not found:
            raise DataError(f"{path}: expected a folder of videos, found no file in it.")
        table = pd.DataFrame({"video": [str(file.relative_to(path)) for file in found]}, dtype=object)
        files = _paths(path / "list", table["video"].to_numpy())
    elif path.is_file() and path.suffix not in TABLES:
        table = pd.DataFrame({"video": [path.name]}, dtype=object)
        files = _paths(path, table["video"].to_numpy())
    else:
        table = read_table(path, {}, {"video": ("video",), "video_id": ("video_id",)})
        files = _paths(path, texts(table, "video", str(path)))
    table = table.assign(video_id=_ids(table, "video_id", files, str(path)), **{FILE: files})
    _require_one(table, "video_id", FILE, "file", str(path))
    first = ["video_id", "video", FILE]
    return table[[*first, *(name for name in table.columns if name not in first)]].drop_duplicates("video_id")


def column_of_texts(table: pd.DataFrame, column: str, place: str) -> np.ndarray:
    """The cells of a column of texts, such as titles, (N,) str; white space is one blank, a missing cell is empty.

    Raises:
        DataError: no such column.
    """
    if column not in table:
        raise DataError(
            f"{place}: expected a column '{column}' of texts, found {', '.join(map(str, table.columns))}."
            f"{suggest(column, map(str, table.columns))}"
        )
    cells = table[column].astype(object)
    return np.array([" ".join(str(cell).split()) for cell in cells.where(cells.notna(), "")], dtype=object)


def _hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _paths(table: Path, cells: np.ndarray) -> np.ndarray:
    folder = os.path.abspath(table.parent)
    return np.array([os.path.normpath(os.path.join(folder, cell)) for cell in cells], dtype=object)


def _ids(table: pd.DataFrame, key: str, files: np.ndarray, place: str) -> np.ndarray:
    """The ids that are given, and the stem of the file's name where none is."""
    stems = np.array([PurePath(file).stem for file in files], dtype=object)
    given = texts(table, key, place, empty=True) if key in table else np.full(len(table), "", dtype=object)
    return np.where(given == "", stems, given)


def _several(frame: pd.DataFrame, key: str, column: str) -> pd.Series:
    """Which ids have several values of a column."""
    return frame[column].map(str).groupby(frame[key], sort=False).nunique() > 1


def _require_one(frame: pd.DataFrame, key: str, column: str, what: str, place: str) -> None:
    several = _several(frame, key, column)
    if several.any():
        name = several.index[several][0]
        found = frame.loc[frame[key] == name, column].drop_duplicates().iloc[:2]
        more = f" Give each an id of its own in '{key}'." if column == FILE else ""
        raise DataError(
            f"{place}: expected one {what} of each '{key}', found {' and '.join(map(str, found))} of '{name}'.{more}"
        )


def _placed(frame: pd.DataFrame, place: str) -> pd.DataFrame:
    frame = frame.reset_index(drop=True)
    frame.attrs = {"place": place, "rows": len(frame)}
    return frame
