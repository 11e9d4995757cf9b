"""Videos in a Parquet table, as the folder of matrices that a recommender reads: streamed, memory does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.npy import write_blocks
from recbole_decm.serving.uploads import IDS

_ROWS = 16_384


def parquet_as_folder(path: Path, folder: Path) -> None:
    """Write a ``FIELD.npy`` for each column of lists of numbers, and ``ids.csv`` where there is a ``video_id``.

    An empty cell is a row of NaN: the field is missing there.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: no such table, no column of lists, or lists of several lengths.
        ResourceError: not enough disk.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(f"{path}: expected the package pyarrow. Run pip install 'recbole-decm[tables]'.") from error
    try:
        table = ParquetFile(path)
    except Exception as error:  # pyarrow raises a dozen types
        raise DataError(f"{path}: expected a table in Parquet, but {str(error)[:200]}.") from error
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    listed = [part for part in table.schema_arrow if any(is_list(part.type) for is_list in lists)]
    fields = [part.name for part in listed if _is_number(part.type.value_type)]
    if not fields or not table.metadata.num_rows:
        raise DataError(f"{path}: expected rows with a column of lists of numbers, found {table.schema_arrow.names}.")
    if others := [part.name for part in listed if part.name not in fields]:
        getLogger().warning(f"{path}: the columns {', '.join(others)} are left out, which hold no numbers.")
    folder.mkdir()
    for name in fields:
        if not name.replace("_", "").isalnum():
            raise DataError(f"{path}: expected names of fields as in visual, found {name!r:.80}.")
        width = _width(path, table, name)
        blocks = (_matrix(path, batch.column(0), name, width) for batch in table.iter_batches(_ROWS, columns=[name]))
        shape = (table.metadata.num_rows, width)
        write_blocks(folder / f"{name}.npy", blocks, shape, np.dtype(np.float32), lambda rows: None)
    if "video_id" in table.schema_arrow.names:
        import pandas as pd

        with (folder / IDS).open("w", encoding="utf-8", newline="") as file:
            for at, batch in enumerate(table.iter_batches(_ROWS, columns=["video_id"])):
                ids = pd.DataFrame({"video_id": [str(value) for value in batch.column(0).to_pylist()]})
                file.write(csv_text(ids, at == 0))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def _width(path: Path, table: Any, name: str) -> int:
    def lengths() -> Iterator[int]:
        for batch in table.iter_batches(_ROWS, columns=[name]):
            yield from (len(cell) for cell in batch.column(0) if cell.is_valid)

    width = next(lengths(), 0)
    if not width:
        raise DataError(f"{path}: expected lists of numbers in '{name}', found none.")
    return width


def _matrix(path: Path, column: Any, name: str, width: int) -> np.ndarray:
    found = np.full((len(column), width), np.nan, np.float32)
    there = np.flatnonzero(np.asarray(column.is_valid()))
    if len(there) < len(column):
        column = column.drop_null()
    try:
        values = np.asarray(column.flatten(), np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: expected lists of numbers in '{name}', but {str(error)[:200]}.") from error
    if values.size != len(there) * width or any(length != width for length in _lengths(column)):
        raise DataError(f"{path}: expected lists of one length in '{name}', {width}, found others.")
    found[there] = values.reshape(-1, width)
    return found


def _lengths(column: Any) -> list[int]:
    import pyarrow.compute as pc

    return np.unique(np.asarray(pc.list_value_length(column))).tolist()
