"""Tracks as rows that a database keeps: ids checked, features as bytes, metadata as JSON of known kinds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recbole_decm.errors import DataError

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Tracks

LONGEST_ID, LARGEST_METADATA, MOST_COLUMNS, MOST_VALUES = 256, 65_536, 256, 1_000
"""Characters of an id, bytes of a track's metadata, columns of a catalogue, values of a list."""
NUMBER, TEXT = "number", "text"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Rows:
    """Tracks as a database keeps them, n of each.

    Attributes:
        layout: JSON of field -> its ``width`` F and the ``card`` of what made it, None where that is not known; in the
            order in which a row's ``features`` hold the fields, float32 each.
        records: the metadata; metadata: the same as JSON.
    """

    ids: list[str]
    layout: str
    features: list[bytes]
    records: list[dict[str, Any]]
    metadata: list[str]

    @classmethod
    def of(cls, tracks: Tracks, cards: Mapping[str, Any] | None = None) -> Rows:
        """Check and pack tracks.

        Args:
            cards: field -> what made its features, as plain values.

        Raises:
            DataError: an id that is empty, long, given twice or has characters no database keeps; features of another
                shape or infinite, metadata that are too large or no plain values.
        """
        ids = checked_ids(tracks.ids)
        if len(set(ids)) < len(ids):
            again = pd.Index(ids)[pd.Index(ids).duplicated()][0]
            raise DataError(f"tracks: expected each id once, found '{again}' twice.")
        fields = {name: _matrix(name, tracks.features[name], len(ids)) for name in sorted(tracks.features)}
        packed = np.concatenate([*fields.values(), np.empty((len(ids), 0), np.float32)], axis=1)
        content, size = packed.tobytes(), packed.shape[1] * 4
        records = as_records(tracks.metadata)
        if len(records) != len(ids):
            raise DataError(f"tracks: expected metadata of {len(ids)} tracks, found {len(records)}.")
        return cls(
            ids=ids,
            layout=json.dumps(
                {name: {"width": part.shape[1], "card": (cards or {}).get(name)} for name, part in fields.items()},
                sort_keys=True,
            ),
            features=[content[at * size : (at + 1) * size] for at in range(len(ids))],
            records=records,
            metadata=[_as_json(track, record) for track, record in zip(ids, records, strict=True)],
        )

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Rows:
        """The rows ``start:stop``."""
        cut = slice(start, stop)
        return Rows(self.ids[cut], self.layout, self.features[cut], self.records[cut], self.metadata[cut])

    def take(self, places: np.ndarray) -> Rows:
        """The rows at some places."""
        if len(places) == len(self):
            return self
        ids, features, records, metadata = (
            [values[at] for at in places.tolist()] for values in (self.ids, self.features, self.records, self.metadata)
        )
        return Rows(ids, self.layout, features, records, metadata)


def checked_ids(ids: Iterable[Any]) -> list[str]:
    """Ids as texts.

    Raises:
        DataError: an id that is empty, longer than :data:`LONGEST_ID`, or has control characters or half a character.
    """
    found = [str(track) for track in ids]
    for track in found:
        if not 1 <= len(track) <= LONGEST_ID or not _can_be_kept(track) or any(sign < " " for sign in track):
            raise DataError(
                f"track id: expected 1 to {LONGEST_ID} characters without control characters, found {track[:80]!r}"
                f"{f' ({len(track)} characters)' if len(track) > 80 else ''}."
            )
    return found


def _can_be_kept(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _matrix(name: str, values: Any, count: int) -> np.ndarray:
    matrix = np.asarray(values, dtype=np.float32)
    if matrix.ndim != 2 or len(matrix) != count:
        raise DataError(f"{name} features: expected {count} rows, one a track, found the shape {matrix.shape}.")
    if np.isinf(matrix).any():
        raise DataError(f"{name} features: expected finite numbers, or NaN for a track without, found an infinite one.")
    return matrix


# --- metadata -------------------------------------------------------------------------------------------------------
def as_records(metadata: pd.DataFrame | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Metadata as one dictionary of plain values a track; what is missing is left out."""
    if isinstance(metadata, pd.DataFrame):
        names = [str(name) for name in metadata.columns]
        if not names:
            return [{} for _ in range(len(metadata))]
        columns = [metadata.iloc[:, at].astype(object).tolist() for at in range(len(names))]
        rows: Iterable[Iterable[tuple[str, Any]]] = (zip(names, row, strict=True) for row in zip(*columns, strict=True))
    else:
        rows = (record.items() for record in metadata)
    return [{name: plain for name, value in row if (plain := _plain(value)) is not None} for row in rows]


def _plain(value: Any) -> Any:
    """A value as JSON can say it; None for a missing one."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _as_json(track: str, record: Mapping[str, Any]) -> str:
    try:
        text = _encode(record)
        size = len(text) if text.isascii() else len(text.encode())
    except (ValueError, RecursionError) as error:  # UnicodeEncodeError is one
        reason = "half a character" if isinstance(error, UnicodeEncodeError) else "a value that is infinite or too deep"
        raise DataError(f"track '{track}': expected metadata that JSON can say, found {reason}.") from error
    if size > LARGEST_METADATA:
        raise DataError(f"track '{track}': expected at most {LARGEST_METADATA} bytes of metadata, found {size}.")
    if "\\u0000" in text and "\0" in "".join(_texts(record)):
        raise DataError(f"track '{track}': expected metadata without the character 0, found one.")
    return text


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield key
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


# --- kinds of columns -----------------------------------------------------------------------------------------------
def new_kinds(ids: Sequence[str], records: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """The kinds of columns that are new with some tracks; a column keeps the kind of the first values it held.

    A column holds numbers, or texts, which a number becomes among them; or lists of one of them. Others are kept and
    answered, but no filter reads them.

    Raises:
        DataError: a text in a column of numbers, a list that is too long, a number too large, too many columns.
    """
    found: dict[str, str] = {}
    for track, record in zip(ids, records, strict=True):
        for name, value in record.items():
            kind = _kind(track, name, value)
            if kind is None:
                continue
            if known.get(name) == NUMBER and kind == TEXT:
                raise DataError(
                    f"track '{track}': expected a number in '{name}', as the catalogue has there, found {value!r:.80}."
                )
            if name not in known and found.get(name) != TEXT:
                found[name] = kind
    if len(known) + len(found) > MOST_COLUMNS:
        raise DataError(f"metadata: expected at most {MOST_COLUMNS} columns, found {len(known) + len(found)}.")
    return found


def _kind(track: str, name: str, value: Any) -> str | None:
    """The kind of a value; None for one that says nothing, or that filters cannot read."""
    if type(value) is str:
        return TEXT if value else None
    if isinstance(value, list):
        if len(value) > MOST_VALUES:
            raise DataError(f"track '{track}': expected at most {MOST_VALUES} values in '{name}', found {len(value)}.")
        kinds = {_kind(track, name, part) for part in value if not isinstance(part, (list, dict))} - {None}
        return TEXT if TEXT in kinds else NUMBER if kinds else None
    if isinstance(value, (bool, int, float)):
        try:
            float(value)
        except OverflowError:
            raise DataError(f"track '{track}': expected numbers below 1e308 in '{name}', found a larger one.") from None
        return NUMBER
    return None


def cell(value: Any, kind: str) -> tuple[Any, ...]:
    """What filters see of a value: floats or texts, none where it is missing.

    Examples:
        >>> cell(["pop", "", None, 7], TEXT), cell(True, NUMBER), cell({}, TEXT)
        (('pop', '7'), (1.0,), ())
    """
    parts = value if isinstance(value, list) else (value,)
    if kind == TEXT:
        return tuple(str(part) for part in parts if isinstance(part, (str, bool, int, float)) and part != "")
    return tuple(float(part) for part in parts if isinstance(part, (bool, int, float)))


def cells_of(record: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, tuple[Any, ...]]:
    """What filters see of a track: column -> its values, without the columns it misses."""
    cells = {name: cell(value, kinds[name]) for name, value in record.items() if name in kinds}
    return {name: values for name, values in cells.items() if values}


def genres_of(record: Mapping[str, Any]) -> list[str]:
    """The genres of a track, as encoders take them."""
    return list(cell(record.get("genre"), TEXT))


def unpacked(layouts: Sequence[str], contents: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Rows' features as matrices: field -> (n, F) float32, NaN where a row has no such field.

    Args:
        layouts: of each row, as :attr:`Rows.layout`; contents: the bytes.

    Raises:
        DataError: rows of one field have several widths, as after a new extractor.
    """
    found: dict[str, np.ndarray] = {}
    of_layout: dict[str, list[int]] = {}
    for row, layout in enumerate(layouts):
        of_layout.setdefault(layout, []).append(row)
    for layout, rows in of_layout.items():
        widths = {name: int(part["width"]) for name, part in json.loads(layout).items()}
        block = np.frombuffer(b"".join([contents[row] for row in rows]), np.float32).reshape(len(rows), -1)
        start = 0
        for name, width in widths.items():
            matrix = found.setdefault(name, np.full((len(layouts), width), np.nan, np.float32))
            if matrix.shape[1] != width:
                raise DataError(f"{name} features: expected one width, found {matrix.shape[1]} and {width}.")
            matrix[rows] = block[:, start : start + width]
            start += width
    return found
