"""Atomic files: RecBole's tab-separated text tables whose header names and types every column.

Reading is vectorised and strict: RecBole's own reader parses sequence columns element by element and turns
a malformed header into a bare ``ValueError``. Errors here name the file, the line and the field.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.write import write_text

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")
_BLOCK_CHARACTERS = 1 << 24


class Format(NamedTuple):
    """How the tables of a data set are written: between cells, between the parts of a cell, and in which encoding.

    A byte-order mark before the header is no part of it.
    """

    field_separator: str = "\t"
    seq_separator: str = " "
    encoding: str = "utf-8"

    @classmethod
    def of(cls, config: Any) -> Format:
        """That of a data set's config.

        Raises:
            ConfigError: cells are separated by something else than one character, or parts of a cell by nothing.
        """
        cells, parts = str(config["field_separator"]), str(config["seq_separator"])
        if len(cells) != 1 or not cells.isascii() or cells in '\r\n\0"':
            raise ConfigError(f"field_separator: expected one character, such as a tab, found {cells!r}.")
        if not parts or parts == cells:
            raise ConfigError(f"seq_separator: expected a text other than field_separator, found {parts!r}.")
        return cls(cells, parts, config["encoding"] or "utf-8")

    @property
    def codec(self) -> str:
        """The codec that reads the encoding, with or without a byte-order mark."""
        name = codecs.lookup(self.encoding).name
        return "utf-8-sig" if name == "utf-8" else name


PLAIN = Format()


@contextmanager
def _opened(path: Path, form: Format) -> Iterator[TextIO]:
    """The text of a file; what cannot be read or decoded is a DataError."""
    try:
        with path.open(encoding=form.codec) as lines:
            yield lines
    except UnicodeError as error:
        line, place = 1, str(error)
        try:  # the place in the whole file: a reader knows it in a block of the file
            path.read_bytes().decode(form.codec)
        except UnicodeDecodeError as whole:
            line, place = whole.object.count(b"\n", 0, whole.start) + 1, f"byte {whole.object[whole.start]:#04x}"
        raise DataError(
            f"{path}, line {line}: expected text in {form.encoding}, found {place}. Set encoding to that of the file, "
            "such as latin-1 or utf-16."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: expected an atomic file, but {error.strerror or error}.") from error


def _count_lines(path: Path, form: Format, width: int) -> int:
    """Lines below the header, without empty ones at the end; every line has ``width`` cells.

    Raises:
        DataError: names the first line with more or fewer cells, or with a NUL byte.
    """
    line = lines = 0  # read, and up to the last that is not empty
    with _opened(path, form) as file:
        while text := file.read(_BLOCK_CHARACTERS):
            text += file.readline()
            data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
            ends = np.flatnonzero(data == 10)
            ends = ends if text.endswith("\n") else np.append(ends, len(data))
            if "\0" in text:
                at = np.searchsorted(ends, np.argmin(data)) + line + 1
                raise DataError(f"{path}, line {at}: expected text, found a NUL byte. Is the file damaged?")
            separators = np.flatnonzero(data == ord(form.field_separator))
            cells = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
            filled = np.diff(ends, prepend=-1) > 1
            kept = int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0
            if width > 1 and kept and lines < line:  # lines that looked like the empty end of the file
                raise _odd_line(path, lines + 1, width, 0)
            odd = np.flatnonzero((cells[:kept] != width) | (~filled[:kept] & (width > 1)))
            if odd.size:
                raise _odd_line(path, line + int(odd[0]) + 1, width, int(cells[odd[0]] * filled[odd[0]]))
            lines, line = (line + kept if kept else lines), line + len(ends)
    return max(0, lines - 1)


def _odd_line(path: Path, line: int, width: int, found: int) -> DataError:
    return DataError(f"{path}, line {line}: expected {width} cells, as the header has, found {found or 'none'}.")


def read_header(path: Path, form: Format = PLAIN) -> dict[str, str]:
    """The columns of an atomic file.

    Returns:
        field name -> type (one of :data:`FIELD_TYPES`), in file order.

    Raises:
        DataError: the file is missing or empty, or a header cell is not ``name:type`` with a known type.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise DataError(
            f"{path}: expected an atomic file, found {found}. Check data_path, dataset and benchmark_filename."
        )
    with _opened(path, form) as lines:
        header = lines.readline().rstrip("\n")
    if not header:
        raise DataError(f"{path}, line 1: expected a header such as 'video_id:token', found an empty line.")
    fields: dict[str, str] = {}
    for cell in header.split(form.field_separator):
        name, colon, kind = cell.partition(":")
        if not colon or not name or kind not in FIELD_TYPES:
            raise DataError(
                f"{path}, line 1: expected columns 'name:type' with a type of {', '.join(FIELD_TYPES)}, "
                f"found '{cell}'. Fix the header (columns are separated by {form.field_separator!r})."
            )
        if name in fields:
            raise DataError(f"{path}, line 1: field '{name}' appears twice. Rename or drop one column.")
        fields[name] = kind
    return fields


def require_fields(path: Path, header: Mapping[str, str], expected: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`DataError` unless every expected field is in the header with one of its allowed types."""
    for name, kinds in expected.items():
        if name not in header:
            raise DataError(f"{path}, line 1: expected a field '{name}:{kinds[0]}', found {', '.join(header)}.")
        if header[name] not in kinds:
            raise DataError(
                f"{path}, line 1: expected field '{name}' of type {' or '.join(kinds)}, found '{header[name]}'."
            )


def read_columns(path: Path, fields: Sequence[str], form: Format = PLAIN) -> pd.DataFrame:
    """Read some columns of an atomic file as text, in file order, as plain Python strings.

    Raises:
        DataError: a line has more or fewer cells than the header, or cannot be decoded; names the line.
    """
    header = read_header(path, form)
    with _opened(path, form) as lines:
        frame = pd.read_csv(
            lines,
            sep=form.field_separator,
            header=0,
            names=list(header),
            index_col=False,
            usecols=list(fields),
            nrows=_count_lines(path, form, len(header)),
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
        )
    return frame[list(fields)].astype(object)


def split_cells(cells: Iterable[str], kind: str, separator: str = " ") -> list[list[str]]:
    """The tokens of each cell: those of a ``token_seq`` between separators, a ``token`` whole; none of an empty cell.

    Args:
        kind: the column's type.
        separator: of the data set, ``seq_separator``; a blank stands for any white space.

    Examples:
        >>> split_cells(["pop|hip hop", ""], "token_seq", "|"), split_cells(["hip hop"], "token")
        ([['pop', 'hip hop'], []], [['hip hop']])
    """
    if kind != "token_seq" and kind != "float_seq":
        return [[cell] if cell else [] for cell in cells]
    if separator == " ":
        return [cell.split() for cell in cells]
    return [[part for part in map(str.strip, cell.split(separator)) if part] for cell in cells]


def parse_floats(path: Path, field: str, cells: Sequence[str]) -> np.ndarray:
    """Parse a ``float`` column.

    Returns:
        (N,) float64.

    Raises:
        DataError: names the first line that is not a finite number.
    """
    values = pd.to_numeric(pd.Series(list(cells), dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(f"{path}, line {bad[0] + 2}: expected a finite number in '{field}', found '{cells[bad[0]]}'.")
    return values


def parse_matrix(path: Path, field: str, cells: Sequence[str], separator: str = " ") -> np.ndarray:
    """Parse a ``float_seq`` column whose lines all have the same length.

    Returns:
        (N, D) float32.

    Raises:
        DataError: names the first line whose length differs, or that holds anything but finite numbers.
    """
    cells = list(cells)
    counts = np.fromiter((len(cell.split(separator)) if cell else 0 for cell in cells), np.int64, len(cells))
    width = int(counts[0]) if counts.size else 0
    odd = np.flatnonzero((counts != width) | (counts == 0))
    if odd.size:
        raise DataError(
            f"{path}, line {odd[0] + 2}: expected {max(width, 1)} numbers in '{field}', as in the first line, "
            f"found {counts[odd[0]]}."
        )
    try:
        values = np.array(separator.join(cells).split(separator), dtype=np.float32).reshape(len(cells), width)
    except ValueError:
        values = _parse_rows_to_find_the_bad_one(path, field, cells, separator)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise DataError(f"{path}, line {bad[0] + 2}: expected finite numbers in '{field}', found NaN or infinity.")
    return values


def _parse_rows_to_find_the_bad_one(path: Path, field: str, cells: Sequence[str], separator: str) -> np.ndarray:
    rows = []
    for line, cell in enumerate(cells, start=2):
        try:
            rows.append(np.array(cell.split(separator), dtype=np.float32))
        except ValueError as error:
            raise DataError(
                f"{path}, line {line}: expected numbers separated by {separator!r} in '{field}'; {error}."
            ) from error
    return np.stack(rows)


def write_atomic(
    path: Path, columns: Mapping[str, Sequence | np.ndarray], decimals: int | None = 5, form: Format = PLAIN
) -> None:
    """Write an atomic file in one step: a reader sees the old file or the whole new one.

    Args:
        path: the file to write.
        columns: ``"name:type"`` -> values, all of one length. ``*_seq`` values are rows of a 2-D array or sequences.
        decimals: significant digits of float columns; None for as many as each number needs.
        form: how the parts of a file are separated.
    """
    text = {head: _to_text(head.partition(":")[2], values, decimals, form) for head, values in columns.items()}
    lengths = {head: len(values) for head, values in text.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"{path}: expected columns of one length, found {lengths}.")
    lines = [form.field_separator.join(columns)]
    lines += [form.field_separator.join(row) for row in zip(*text.values(), strict=True)]
    write_text(path, "\n".join(lines) + "\n")


def _to_text(kind: str, values: Sequence | np.ndarray, decimals: int | None, form: Format) -> list[str]:
    number = "{!r}".format if decimals is None else f"{{:.{decimals}g}}".format
    between = form.seq_separator.join
    if kind == "token":
        return [str(value) for value in values]
    if kind == "token_seq":
        return [between(map(str, row)) for row in values]
    if kind == "float":
        return [number(float(value)) for value in values]
    if kind == "float_seq":
        return [between(map(number, np.asarray(row).tolist())) for row in values]
    raise DataError(f"expected a column type of {', '.join(FIELD_TYPES)}, found '{kind}'.")
