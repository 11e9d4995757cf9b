"""``tracks.parquet``: ids and metadata, column by column.

A few bytes of Parquet can stand for any number of rows, values and texts, so they are counted before they are unpacked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_decm.errors import ConfigError, DataError

ID = "track_id"
_BYTES, _BYTES_PER_TRACK = 1 << 26, 1 << 14
"""Of a column, once it is unpacked."""
_VALUES, _VALUES_PER_TRACK = 1 << 20, 1 << 10
"""Of a column of lists."""
_WIDEST = 64
"""Bytes of a value of a fixed width."""


class Table:
    """An open table.

    Args:
        path: of the file; rows: how many tracks there are.

    Raises:
        DataError: no table, another number of rows, or columns that would take more memory than metadata do.
        ConfigError: the package pyarrow is missing.
    """

    def __init__(self, path: Path, rows: int):
        self._path, self._rows = path, rows
        self._most = _BYTES + _BYTES_PER_TRACK * rows
        file = self._file = self._open()
        if (found := file.metadata.num_rows) != rows:
            raise DataError(f"{path}: expected {rows} tracks, found {found}.")
        chunks: dict[str, list[Any]] = {}
        for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                chunks.setdefault(chunk.path_in_schema, []).append(chunk)
        for name, parts in chunks.items():
            self._require(name, "bytes", sum(part.total_uncompressed_size for part in parts), self._most)
            values = sum(part.num_values for part in parts)
            self._require(name, "values", values, _VALUES + _VALUES_PER_TRACK * rows)
        self._texts = []
        for column in map(file.schema.column, range(len(file.schema))):
            if column.physical_type == "BYTE_ARRAY":
                self._texts.append(column.path)
            elif column.physical_type == "FIXED_LEN_BYTE_ARRAY":
                self._require(column.path, "bytes of a value", column.length, _WIDEST)
        self.names: list[str] = list(file.schema_arrow.names)
        if ID not in self.names:
            raise DataError(f"{path}: expected the column {ID}, found {', '.join(self.names) or 'none'}.")

    def column(self, name: str) -> list[Any]:
        """The values of a column, a row each.

        Raises:
            DataError: they cannot be read, or their texts take more memory than metadata do.
        """
        try:
            texts = [path for path in self._texts if path == name or path.startswith(f"{name}.")]
            if texts:
                packed = self._open(texts).read(columns=[name]).column(0)
                self._require(name, "bytes", sum(map(_bytes_of_texts, packed.chunks)), self._most)
            return list(self._file.read(columns=[name]).column(0).to_pylist())
        except DataError:
            raise
        except Exception as error:  # pyarrow raises a dozen types
            raise DataError(f"{self._path}, {name}: expected values in Parquet, but {str(error)[:200]}.") from error

    def _require(self, column: str, what: str, found: int, most: int) -> None:
        if found > most:
            raise DataError(f"{self._path}, {column}: expected at most {most:,} {what}, found {found:,}.")

    def _open(self, packed: list[str] | None = None) -> Any:
        """The file; the texts of the columns ``packed`` are read once each."""
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise ConfigError(
                f"{self._path}: expected the package pyarrow. Run pip install 'recbole-decm[serve]'."
            ) from error
        try:
            return ParquetFile(self._path, read_dictionary=packed)
        except Exception as error:
            raise DataError(f"{self._path}: expected a table in Parquet, but {str(error)[:200]}.") from error


def _bytes_of_texts(array: Any) -> int:
    """Bytes of all texts of an array that holds each of them once, unpacked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        array = array.flatten()
    if not pa.types.is_dictionary(array.type):
        return int(array.nbytes)
    lengths = pc.cast(pc.binary_length(array.dictionary), pa.int64())
    return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)
