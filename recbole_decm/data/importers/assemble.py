"""A data set from tables and matrices: what is read, what is dropped, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.importers.collection import Collection, Rows, Side
from recbole_decm.data.importers.tables import USUAL, read_table, texts, vectors
from recbole_decm.data.importers.tables import genres as genres_of
from recbole_decm.data.splits import EXTRA, PARTS, split_rows
from recbole_decm.errors import ConfigError, DataError, suggest
from recbole_decm.io.npy import missing_rows, open_matrix

_PARTS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}


@dataclass(frozen=True)
class Tables:
    """Where a data set comes from.

    Attributes:
        pairs: which track each video has; None where each row of the videos has its own sound.
        videos, music: tables of the two sides; None where ``pairs`` holds all that is known of one.
        video_features, music_features: field -> a ``.npy`` file, or a column of the side's table.
        columns: ``video_id``, ``music_id``, ``uploader_id``, ``genre`` or ``split`` -> the column that holds it.
        genre_separator: between the genres of one cell of a CSV; None for white space.
        own_sound: whether each video's track is its own sound.
    """

    video_features: Mapping[str, str]
    music_features: Mapping[str, str]
    pairs: Path | None = None
    videos: Path | None = None
    music: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    genre_separator: str | None = None
    own_sound: bool = False


@dataclass(frozen=True)
class Frames:
    """Tables in memory, and the features of their rows.

    Attributes:
        pairs: ``video_id`` and ``music_id``, and what else is known of a pair.
        videos, music: one row for each id; ``attrs["place"]`` says where they come from.
        video_features, music_features: field -> the vectors of these rows.
    """

    pairs: pd.DataFrame
    videos: pd.DataFrame
    music: pd.DataFrame
    video_features: Mapping[str, Rows]
    music_features: Mapping[str, Rows]


@dataclass(frozen=True)
class Parts:
    """How pairs are split.

    Attributes:
        shares: of the parts, where the pairs have no ``split`` of their own.
        seed: of the draw.
        draw: draw the parts even where they have.
        group: a column of any of the tables; rows that share its value share a part.
    """

    shares: Sequence[float]
    seed: int
    draw: bool = False
    group: str | None = None

    def of_table(self, pairs: pd.DataFrame) -> bool:
        """Whether the pairs keep the parts that they have."""
        return "split" in pairs and not self.draw and self.group is None


def read_collection(tables: Tables, parts: Parts) -> tuple[Collection, list[str]]:
    """Read and check the tables of a data set.

    Returns:
        The data; and what was read, dropped and why, in lines for people.

    Raises:
        DataError, ConfigError: what cannot be used, with the file and the row or column.
    """
    meant = {name: key for key, usual in USUAL.items() for name in (*usual, tables.columns.get(key, key))}
    parts = replace(parts, group=meant.get(parts.group or "", parts.group))  # a column goes by its meaning from here on
    pairs, videos, music = _frames(tables)
    sides = [
        _features("video_id", videos, tables.video_features),
        _features("music_id", music, tables.music_features),
    ]
    videos, music = (
        frame.drop(columns=[name for name in files.values() if name in frame])
        for frame, files in ((videos, tables.video_features), (music, tables.music_features))
    )
    return assemble(Frames(pairs, videos, music, *sides), parts, tables.genre_separator)


def assemble(frames: Frames, parts: Parts, genre_separator: str | None = None) -> tuple[Collection, list[str]]:
    """A data set of tables in memory: what has features, in the parts of its pairs.

    Returns:
        The data; and what was read, dropped and why, in lines for people.

    Raises:
        DataError, ConfigError: what cannot be used, with the file and the row or column.
    """
    notes: list[str] = []
    videos, music = frames.videos, frames.music
    video_side = _side("video_id", videos, frames.video_features, notes)
    music_side = _side("music_id", music, frames.music_features, notes)
    pairs = _split(frames, parts, video_side, music_side, notes)
    videos = videos[videos["video_id"].isin(video_side.ids)]
    music = music[music["music_id"].isin(music_side.ids)]
    uploaders = _uploaders(pairs, videos)
    genres = genres_of(music["genre"], genre_separator) if "genre" in music else []
    known = (uploaders if uploaders is not None and (uploaders != "").any() else None, genres if any(genres) else None)
    return Collection(video_side, music_side, pairs[["video_id", "music_id", "split"]], *known), notes


def _frames(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Pairs, videos and tracks, with the ids as text; ``attrs`` hold the table each comes from, and its row count."""
    read = {path: read_table(path, tables.columns) for path in (tables.pairs, tables.videos, tables.music) if path}
    names = {str(name) for frame in read.values() for name in frame.columns}
    for key, name in tables.columns.items():
        if key not in names:
            raise DataError(f"--column {key}={name}: expected a column of one of the tables, found {', '.join(names)}.")
    pairs = read[tables.pairs] if tables.pairs else None
    videos = read[tables.videos] if tables.videos else pairs
    if videos is None:  # rows of matrices alone
        rows = min(len(open_matrix(Path(name), key)) for key, name in tables.video_features.items())
        videos = pd.DataFrame({"video_id": np.arange(rows).astype(str)})
    videos = _side_frame(videos, "video_id", tables.videos, tables.pairs)
    if tables.own_sound:
        music = videos.rename(columns={"video_id": "music_id"}).drop(columns="uploader_id", errors="ignore")
        music.attrs = videos.attrs
        pairs = videos.assign(music_id=videos["video_id"])
        videos = videos.drop(columns="genre", errors="ignore")
        return pairs, videos, music
    if pairs is None:
        raise ConfigError("--pairs: expected a table of pairs, or --own-sound, found neither.")
    music = _side_frame(read[tables.music] if tables.music else pairs, "music_id", tables.music, tables.pairs)
    place = str(tables.pairs)
    pairs = pairs.assign(**{key: texts(pairs, key, place) for key in ("video_id", "music_id")})
    if tables.music is None:
        music = music[[name for name in ("music_id", "genre") if name in music]]
        videos = videos.drop(columns="genre", errors="ignore")
    return pairs, videos.drop(columns=["music_id", "split"], errors="ignore"), music


def _side_frame(frame: pd.DataFrame, key: str, own: Path | None, pairs: Path | None) -> pd.DataFrame:
    """One row for each id: of a side's own table as it is, of the pairs the first row of each."""
    place = str(own or pairs or "rows")
    frame = frame.assign(**{key: texts(frame, key, place)})
    again = frame[key].duplicated().to_numpy()
    if own and again.any():
        row = int(np.flatnonzero(again)[0])
        raise DataError(f"{place}, row {row + 1}: expected each '{key}' once, found {frame[key].iloc[row]!r} again.")
    attrs = {"place": place, "rows": len(frame)}
    frame = frame[~again]  # the index still says which row of the table it was
    frame.attrs = attrs
    return frame


def _features(key: str, frame: pd.DataFrame, files: Mapping[str, str]) -> dict[str, Rows]:
    """The vectors of a table's rows, from files and from its own columns."""
    if not files:
        raise ConfigError(f"--{key[:5]}-features: expected FIELD=FILE.npy or FIELD=COLUMN, found none.")
    ids, place = frame[key].to_numpy(), frame.attrs["place"]
    features = {}
    for name, source in files.items():
        if source.endswith(".npy"):
            matrix = open_matrix(Path(source), f"'{name}' vectors")
            features[name] = Rows(matrix, _rows_of(ids, frame, matrix, source), source)
        elif source in frame:
            matrix = vectors(frame[source], f"{place}, column '{source}'")
            features[name] = Rows(matrix, np.arange(len(frame)), place)
        else:
            names = ", ".join(map(str, frame.columns))
            raise ConfigError(f"{name}={source}: expected a .npy file or a column of {place}, which has {names}.")
    return features


def _side(key: str, frame: pd.DataFrame, features: Mapping[str, Rows], notes: list[str]) -> Side:
    """The rows of a side that have at least one field, their features, and the columns that mean nothing here."""
    ids, place = frame[key].to_numpy(), frame.attrs["place"]
    missing = [missing_rows(rows.matrix, name, rows.place)[rows.rows] for name, rows in features.items()]
    without = np.logical_and.reduce(missing)
    shown = [f"{name} {rows.matrix.shape[1]:,}" for name, rows in features.items()]
    what = "videos" if key == "video_id" else "tracks"
    line = f"{len(ids):,} {what} of {place}: {', '.join(shown)} dimensions"
    for name, empty in zip(features, missing, strict=True):
        if len(features) > 1 and (empty & ~without).any():
            line += f"; {(empty & ~without).sum():,} without {name}"
    if without.any():
        line += f"; dropped {without.sum():,} without any features, such as '{ids[without][0]}'"
    notes.append(line)
    own = {"video_id", "music_id", "uploader_id", "genre", "split"}
    columns = frame[[name for name in frame.columns if name not in own]][~without]
    kept = {name: rows._replace(rows=rows.rows[~without]) for name, rows in features.items()}
    return Side(ids[~without], kept, columns)


def _rows_of(ids: np.ndarray, frame: pd.DataFrame, matrix: np.ndarray, source: str) -> np.ndarray:
    """The row of each id in a matrix: that of its line in the table, or, of another count, the id as a number."""
    if len(matrix) == frame.attrs["rows"]:
        return frame.index.to_numpy()
    whole = pd.Series(ids).str.fullmatch(r"\d{1,15}").all()
    if whole and ids.astype(np.int64).max() < len(matrix):
        return ids.astype(np.int64)
    raise DataError(
        f"{source}: expected {frame.attrs['rows']:,} rows, one for each row of {frame.attrs['place']}, or ids that are "
        f"numbers of its rows, found {len(matrix):,} rows."
    )


def _split(frames: Frames, parts: Parts, videos: Side, music: Side, notes: list[str]) -> pd.DataFrame:
    """The pairs whose two sides are known, each once in its part: ``video_id``, ``music_id``, ``split`` and others."""
    pairs = frames.pairs
    named = _named_parts(pairs["split"]) if "split" in pairs else None
    if named is not None:
        pairs = pairs.assign(split=named)
    again_by, extra = ["video_id", "music_id"], None
    if named is not None and parts.of_table(pairs):
        again_by.append("split")  # a pair may stand in a further test set, too
    elif named is not None:
        extra = named.str.startswith(EXTRA)
    no_video, no_music = ~pairs["video_id"].isin(videos.ids), ~pairs["music_id"].isin(music.ids)
    left = ~no_video & ~no_music & (True if extra is None else ~extra)
    again = pd.Series(False, pairs.index)
    again[left] = pairs[left].duplicated(again_by)
    line = f"{len(pairs):,} pairs"
    for bad, key, why in (
        (no_video, "video_id", "whose video is not there or has no features"),
        (no_music & ~no_video, "music_id", "whose track is not there or has no features"),
        (again, "video_id", "that stand there twice"),
        (extra, "video_id", "of further test sets, since the parts are drawn anew"),
    ):
        if bad is not None and bad.any():
            line += f"; dropped {bad.sum():,} {why}, such as '{pairs[key][bad].iloc[0]}'"
    notes.append(line)
    pairs = pairs[left & ~again]
    if pairs.empty:
        raise DataError(f"{line}: expected at least one pair, found none left.")
    return pairs.assign(split=_parts(pairs, frames, parts, notes))


def _named_parts(cells: pd.Series) -> pd.Series:
    """The parts that a column names: ours, or ``test_NAME`` of a further test set."""
    texts = cells.map(str).str.strip().str.lower()
    names = texts.map(_PARTS).where(~texts.str.fullmatch(f"{EXTRA}[a-z0-9_]+"), texts)
    taken = names.isin([f"{EXTRA}{part}" for part in PARTS])
    if (names.isna() | taken).any():
        bad = cells[names.isna() | taken].iloc[0]
        raise DataError(
            f"split: expected train, valid, test or test_NAME, found {bad!r}. Drop the column, or give --split."
        )
    return names


def _parts(pairs: pd.DataFrame, frames: Frames, parts: Parts, notes: list[str]) -> np.ndarray:
    if parts.of_table(pairs):
        missing = sorted({"train", "valid"} - set(pairs["split"]))
        if missing:
            raise DataError(f"split: expected pairs of train and valid, found none of {', '.join(missing)}.")
        found, how = pairs["split"].to_numpy(), "split as the table says"
    else:
        seed, group = parts.seed, parts.group
        groups = None if group is None else _groups(pairs, frames.videos, frames.music, group)
        found = split_rows(len(pairs), parts.shares, seed, groups)
        how = f"split at random, seed {seed}" if group is None else f"split by '{group}', seed {seed}"
    counts = pd.Series(found).value_counts()
    order = [*PARTS, *sorted(name for name in counts.index if name.startswith(EXTRA))]
    notes.append(f"{how}: " + ", ".join(f"{counts[part]:,} {part}" for part in order if part in counts))
    return found


def _groups(pairs: pd.DataFrame, videos: pd.DataFrame, music: pd.DataFrame, group: str) -> np.ndarray:
    """(n,) the group of each pair; a pair without one stands alone."""
    for frame, key in ((pairs, None), (videos, "video_id"), (music, "music_id")):
        if group in frame:
            values = frame[group] if key is None else frame.set_index(key)[group].loc[pairs[key]]
            names = values.astype(object).map(str).where(values.notna(), "").to_numpy(dtype=object)
            alone = names == ""
            names[alone] = [("", number) for number in range(alone.sum())]
            return names
    names = dict.fromkeys([*map(str, pairs.columns), *map(str, videos.columns), *map(str, music.columns)])
    raise ConfigError(f"--group: expected a column of the tables, found '{group}'.{suggest(group, names)}")


def _uploaders(pairs: pd.DataFrame, videos: pd.DataFrame) -> np.ndarray | None:
    """(V,) the uploader of each video that is kept; empty where unknown."""
    if "uploader_id" in videos:
        return texts(videos, "uploader_id", videos.attrs["place"], empty=True)
    if "uploader_id" not in pairs:
        return None
    named = pairs.assign(uploader_id=texts(pairs, "uploader_id", "pairs", empty=True)).query("uploader_id != ''")
    one = named.drop_duplicates(["video_id", "uploader_id"])
    again = one["video_id"].duplicated()
    if again.any():
        video = one["video_id"][again].iloc[0]
        raise DataError(f"uploader_id: expected one uploader of each video, found two of '{video}'.")
    return one.set_index("video_id")["uploader_id"].reindex(videos["video_id"], fill_value="").to_numpy()
