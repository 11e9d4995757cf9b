"""Tables of recommendations as a file: CSV, JSON or Parquet by its extension, written as they come."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.write import replacing


class _Writer(Protocol):
    def write(self, frame: pd.DataFrame) -> None: ...

    def close(self) -> None: ...


class Csv:
    """Lines of cells below one header, on any text stream."""

    def __init__(self, stream: Any):
        self._stream, self._started = stream, False

    def write(self, frame: pd.DataFrame) -> None:
        header = not self._started
        self._stream.write(csv_text(frame, header, float_format="%.7g"))
        self._started = True

    def close(self) -> None:
        self._stream.flush()


class _Json:
    """One list of objects, one a line."""

    def __init__(self, stream: Any):
        self._stream, self._between = stream, "[\n"

    def write(self, frame: pd.DataFrame) -> None:
        lines = frame.to_json(orient="records", lines=True, double_precision=7).splitlines()
        if lines:
            self._stream.write(self._between + ",\n".join(lines))
            self._between = ",\n"

    def close(self) -> None:
        self._stream.write("\n]\n" if self._between == ",\n" else "[]\n")
        self._stream.flush()


class _Parquet:
    """Row groups, one a table."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._writer: Any = None

    def write(self, frame: pd.DataFrame) -> None:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        self._writer = self._writer or pyarrow.parquet.ParquetWriter(self._stream, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


_WRITERS: dict[str, Callable[[Any], _Writer]] = {".csv": Csv, ".json": _Json, ".parquet": _Parquet}


def table_format(path: Path) -> str:
    """The format of a file by its extension: ``.csv``, ``.json`` or ``.parquet``; a device or a pipe takes CSV.

    Raises:
        ConfigError: another extension, or Parquet without pyarrow.
    """
    if path.exists() and not path.is_file():
        return ".csv"
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ConfigError(f"{path}: expected a file that ends with {', '.join(_WRITERS)}, found {suffix or 'none'!r}.")
    if suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"{path}: Parquet needs pyarrow, which is not installed: pip install pyarrow; or use .csv.")
    return suffix


def write_tables(
    frames: Iterable[pd.DataFrame], path: Path, on_videos: Callable[[int], object] = lambda videos: None
) -> int:
    """Write tables one after the other as one file, whole or not at all, in the format of its extension.

    Args:
        on_videos: told the number of videos of each table.

    Returns:
        Number of lines below the header.

    Raises:
        ConfigError: an extension of no format.
        ResourceError: the disk is full or the folder cannot be written to.
    """
    kind, lines = table_format(path), 0
    mode: dict[str, Any] = {"mode": "wb"} if kind == ".parquet" else {"mode": "w", "encoding": "utf-8", "newline": ""}
    with replacing(path) as name, name.open(**mode) as file:
        writer = _WRITERS[kind](file)
        for frame in frames:
            writer.write(frame)
            lines += len(frame)
            on_videos(int((frame["rank"] == 1).sum()))
        writer.close()
    return lines
