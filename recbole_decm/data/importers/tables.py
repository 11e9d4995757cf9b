"""CSV and Parquet tables: their columns under the names that mean something, and their cells."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError, DataError, suggest

USUAL = {
    "video_id": ("video_id", "video", "clip_id", "item_id", "itemID"),
    "music_id": ("music_id", "music", "track_id", "track", "song_id", "audio_id"),
    "uploader_id": ("uploader_id", "uploader", "author_id", "creator_id"),
    "genre": ("genre", "genres"),
    "split": ("split",),
}
"""What the columns that mean something are called, where no option names them."""

_PARQUET = (".parquet", ".pq")
_TABS = (".tsv", ".inter", ".user", ".item")
TABLES = (*_PARQUET, *_TABS, ".csv")
"""How the names of tables end."""


def read_table(path: Path, columns: Mapping[str, str], usual: Mapping[str, Sequence[str]] = USUAL) -> pd.DataFrame:
    """A CSV (of tabs, for ``.tsv`` and atomic files) or Parquet table, its known columns under our names.

    Cells of a CSV are text, and empty ones the empty text.

    Args:
        columns: our name -> what the table calls it.
        usual: our name -> what it is called where ``columns`` does not say.

    Raises:
        DataError: no such file, not UTF-8, a line of another length, no rows, or a column that ``columns`` names.
        ConfigError: a Parquet table without the package that reads it.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a CSV or Parquet table, found none.")
    try:
        frame = _read_parquet(path) if path.suffix in _PARQUET else _read_csv(path)
    except (ValueError, OSError, pd.errors.ParserWarning) as error:  # ParserError, UnicodeDecodeError, ArrowInvalid
        raise DataError(f"{path}: expected a table, but {' '.join(str(error).split())[:200]}.") from error
    if frame.empty:
        raise DataError(f"{path}: expected at least one row, found none.")
    if frame.columns.duplicated().any():
        raise DataError(
            f"{path}: expected each column once, found '{frame.columns[frame.columns.duplicated()][0]}' again."
        )
    renamed = {}
    for key, names in usual.items():
        found = columns.get(key) if columns.get(key) in frame else next((n for n in names if n in frame), None)
        if found is not None:
            renamed[found] = key
    return frame.rename(columns=renamed)


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a first line that is longer than the header
        frame = pd.read_csv(
            path,
            sep="\t" if path.suffix in _TABS else ",",
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
        )
    return frame.astype(object).rename(columns=lambda name: str(name).split(":")[0] if path.suffix in _TABS else name)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ConfigError(f"{path}: Parquet needs pyarrow. Install it with: pip install pyarrow") from error


def texts(frame: pd.DataFrame, key: str, place: str, empty: bool = False) -> np.ndarray:
    """The cells of a column of names, (N,) str; whole numbers without a point, an empty text where nothing stands.

    Args:
        place: of the table, for messages.
        empty: whether a name may be missing.

    Raises:
        DataError: no such column; a name that is missing, a fraction, or holds a tab or a line end.
    """
    if key not in frame:
        names = ", ".join(map(str, frame.columns))
        hint = suggest(key, map(str, frame.columns))
        raise DataError(f"{place}: expected a column '{key}', found {names}.{hint} Name it: --column {key}=NAME.")
    values = frame[key]
    missing = values.isna().to_numpy()
    if pd.api.types.is_float_dtype(values):
        if (values[~missing] % 1 != 0).any():
            raise DataError(f"{place}: expected names or whole numbers in '{key}', found fractions.")
        values = values.astype("Int64")
    texts = values.astype(object).map(str).to_numpy(dtype=object)
    texts[missing] = ""
    bad = pd.Series(texts).str.contains(r"[\t\r\n]", regex=True).to_numpy() | (not empty and texts == "")
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{place}, row {row + 1}: expected a name in '{key}', found {texts[row]!r}.")
    return texts


def vectors(cells: pd.Series, place: str) -> np.ndarray:
    """A column of lists, or of text such as ``[0.1, 0.2]``, (N, F) float32; NaN where a cell is empty.

    Raises:
        DataError: lists of several lengths, or of anything but numbers.
    """
    if cells.map(type).eq(str).any():
        parts = cells.str.strip().str.strip("[]()").str.replace(",", " ").str.split()
    else:
        parts = cells.map(lambda cell: [] if cell is None or cell is pd.NA or np.ndim(cell) == 0 else cell)
    lengths = parts.str.len().to_numpy()
    width = int(lengths.max())
    odd = np.flatnonzero((lengths != width) & (lengths != 0))
    if odd.size or not width:
        raise DataError(f"{place}: expected lists of one length, found {lengths[odd[0]] if odd.size else 0} numbers.")
    values = np.full((len(cells), width), np.nan, dtype=np.float32)
    try:
        values[lengths > 0] = np.array(parts[lengths > 0].tolist(), dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{place}: expected lists of numbers; {error}.") from error
    return values


def genres(cells: pd.Series, separator: str | None) -> list[list[str]]:
    """The genres of each track: a list, or the parts of a text between separators; none of an empty cell.

    Examples:
        >>> genres(pd.Series(["pop|hip  hop", ""]), "|")
        [['pop', 'hip hop'], []]
    """
    rows = [cell.split(separator) if isinstance(cell, str) else [] if np.ndim(cell) == 0 else cell for cell in cells]
    return [[name for part in row if (name := " ".join(str(part).split()))] for row in rows]
