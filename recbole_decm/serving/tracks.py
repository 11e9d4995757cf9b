"""The tracks of a catalogue by their ids and metadata, and which of them a list may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io import atomic
from recbole_decm.serving.filters import Column, Filter

ReadColumns = Callable[[np.ndarray, Iterable[str]], Mapping[str, Column]]
"""(M,) ids of tracks, and names of columns -> those columns of these tracks."""


def columns_of(path: Path, form: atomic.Format, id_field: str) -> ReadColumns:
    """A reader of the columns of an ``.item`` file; nothing is read until it is asked."""

    def read(tokens: np.ndarray, names: Iterable[str]) -> dict[str, Column]:
        header = atomic.read_header(path, form)
        atomic.require_fields(path, header, {id_field: ["token"]})
        wanted = [name for name in header if name in set(names)]
        cells = atomic.read_columns(path, list(dict.fromkeys([id_field, *wanted])), form)
        rows = pd.Index(cells[id_field]).get_indexer(tokens)
        given = {name: values_of(path, name, header[name], cells[name].to_numpy(), form, rows) for name in wanted}
        return {name: Column.of(values) for name, values in given.items()}

    return read


def values_of(path: Path, name: str, kind: str, cells: np.ndarray, form: atomic.Format, rows: np.ndarray) -> Any:
    """The values of one column in the order of ``rows``, -1 for a track without a line.

    Returns:
        lists of a ``_seq``, floats with NaN for an empty cell, or texts.

    Raises:
        DataError: a cell is of another type.
    """
    if kind.endswith("_seq"):
        parts = atomic.split_cells(cells, kind, form.seq_separator)
        values = [parts[row] if row >= 0 else [] for row in rows]
        try:
            return [[float(part) for part in row] for row in values] if kind == "float_seq" else values
        except ValueError as error:
            raise DataError(f"{path}: expected numbers in '{name}', but {error}.") from error
    if kind == "float":
        filled = cells != ""
        numbers = np.full(len(cells) + 1, np.nan)  # the last is a track's without a line
        numbers[:-1][filled] = atomic.parse_floats(path, name, cells[filled])
        return numbers[rows]
    return np.append(cells, "")[rows]


def allowed_tracks(
    tokens: np.ndarray, read: ReadColumns, exclude: Iterable[str] = (), where: str | Filter | None = None
) -> np.ndarray | None:
    """Which tracks a list may hold, (M,) bool; None for all.

    Args:
        tokens: (M,) ids of the tracks.
        exclude: ids that no list may hold; one that no track has is named in a warning.
        where: a filter on the tracks' metadata, as of :mod:`recbole_decm.serving.filters`.

    Raises:
        ConfigError: ``exclude`` is one text, or the filter is not of the grammar or does not fit the columns.
        DataError: the metadata cannot be read.
    """
    if isinstance(exclude, (str, bytes)):
        raise ConfigError(f"exclude: expected a list of track ids, found the text {exclude!r}.")
    left_out = pd.Index([str(token) for token in exclude])
    if not len(left_out) and where is None:
        return None
    own = pd.Index(tokens.astype(str))
    unknown = left_out.difference(own)
    if len(unknown):
        getLogger().warning(f"exclude: {len(unknown)} of {len(left_out)} ids are of no track, such as '{unknown[0]}'.")
    allowed = ~own.isin(left_out)
    if where is not None:
        chosen = where if isinstance(where, Filter) else Filter.parse(where)
        allowed &= chosen.mask(read(tokens, chosen.columns))
    return allowed


def read_ids(path: Path) -> list[str]:
    """The ids in a text file, one a line; empty lines are skipped.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: expected a text file of ids, one a line, but {reason}.") from error
    return [line.strip() for line in lines if line.strip()]
