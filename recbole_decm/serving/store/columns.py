"""Columns of metadata whose rows change, which filters read as :class:`~recbole_decm.serving.filters.Column`.

Numbers, one a row, stand as they are: 8 bytes a row. Other cells, texts and lists, are kept once each, and a row has
the place of its own: 4 bytes a row. Where about every row has its own text, 16 bytes a row tell them apart. Readers go
on while one writer sets rows that no reader looks at.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_decm.serving.filters import Column, Match
from recbole_decm.serving.store.rows import NUMBER, TEXT, cell
from recbole_decm.serving.store.unique import Unique

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    **{"!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
}
_SPARE = 4_096
"""Cells beyond twice the rows at which those of no row are swept out."""
_MANY = 16_384
"""Distinct texts from which on a column is looked at whether nearly each row has its own."""


class Cells:
    """Distinct cells by their places, as a column that grows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._places: dict[tuple[Any, ...], int] = {}
        self._cells: list[tuple[Any, ...]] = []
        self._parts: list[tuple[int, Column]] = []  # (first place, column) of runs of cells, the larger the earlier

    def __len__(self) -> int:
        return len(self._cells)

    def places(self, values: Sequence[Any]) -> np.ndarray:
        """(n,) int32 places of some values' cells, which get one where they are new; -1 for missing values."""
        found, places, kind = np.full(len(values), -1, np.int32), self._places, self.kind
        for at, value in enumerate(values):
            if type(value) is list:  # most lists are there as they are
                try:
                    place = places.get(tuple(value))
                except TypeError:  # lists in it
                    place = None
                if place is not None:
                    found[at] = place
                    continue
            key = (value,) if type(value) is str and value and kind == TEXT else cell(value, kind)
            if key:
                place = places.get(key)
                if place is None:
                    place = places[key] = len(self._cells)
                    self._cells.append(key)
                found[at] = place
        return found

    def at(self, place: int) -> tuple[Any, ...]:
        """The cell at a place."""
        return self._cells[place]

    def are_single(self) -> bool:
        """Whether each has one value."""
        return all(len(key) == 1 for key in self._cells)

    def taken(self, places: np.ndarray) -> Cells:
        """The cells at some places alone."""
        other = Cells(self.kind)
        other._cells = [self._cells[place] for place in places.tolist()]
        other._places = {key: place for place, key in enumerate(other._cells)}
        return other

    def where(self, sign: str, wanted: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Which cells match and which do not; one more stands for missing values, of which neither is known."""
        parts = self._parts.copy()
        start, stop = (parts[-1][0] + len(parts[-1][1]) if parts else 0), len(self._cells)
        if start < stop:
            while parts and stop - start >= (start - parts[-1][0]) // 2:
                start = parts.pop()[0]
            parts.append((start, Column.of(self._cells[start:stop])))
            self._parts = parts
        found = [column.where(sign, wanted) for _, column in parts]
        unknown = np.zeros(1, bool)
        yes, no = (np.concatenate([*(match[at] for match in found), unknown]) for at in (0, 1))
        return yes, no


@dataclass(frozen=True)
class _View:
    """A column of a table's first rows, as far as filters need one."""

    kind: str
    values = (None,)  # it holds some, so that what it is compared with is checked

    @property
    def holds_numbers(self) -> bool:
        return self.kind == NUMBER


@dataclass(frozen=True)
class _NumbersView(_View):
    numbers: np.ndarray

    def where(self, sign: str, wanted: Sequence[Any]) -> Match:
        known = ~np.isnan(self.numbers)
        yes = np.isin(self.numbers, wanted) if sign == "=" else _COMPARE[sign](self.numbers, wanted[0]) & known
        return Match(yes, known & ~yes)


@dataclass(frozen=True)
class _CellsView(_View):
    places: np.ndarray
    cells: Cells

    def where(self, sign: str, wanted: Sequence[Any]) -> Match:
        yes, no = self.cells.where(sign, wanted)
        places = np.minimum(self.places, len(yes) - 1)  # a row that a writer has just set may hold a later cell
        places = np.where(self.places < 0, len(yes) - 1, places)
        return Match(yes[places], no[places])


@dataclass(frozen=True)
class _UniqueView(_View):
    unique: Unique
    count: int
    text_of: Callable[[int], str]

    def where(self, sign: str, wanted: Sequence[Any]) -> Match:
        return self.unique.where(self.count, self.text_of, sign, wanted)


class LiveColumn:
    """One column of a table.

    Args:
        kind: ``number`` or ``text``; capacity: rows that there is room for.
    """

    def __init__(self, kind: str, capacity: int):
        self.kind = kind
        self._numbers = np.full(capacity if kind == NUMBER else 0, np.nan)
        self._places = np.full(0 if kind == NUMBER else capacity, -1, np.int32)
        self._cells = None if kind == NUMBER else Cells(kind)
        self._unique: Unique | None = None
        self._look_at = _MANY

    def set(self, rows: np.ndarray, values: Sequence[Any], read: Callable[[], Sequence[Any]]) -> None:
        """Set the cells of some rows from metadata's values, None where there is none.

        Args:
            read: gives the values of all rows, these included.
        """
        if self._unique is not None:
            if {*map(type, values)} <= {str, type(None)}:
                self._unique.set(rows, [value or None for value in values])
            elif all(len(cell(value, TEXT)) <= 1 for value in values):
                self._unique.set(rows, [next(iter(cell(value, TEXT)), None) for value in values])
            else:  # lists have come
                self._become_cells(read(), len(self._unique.hashes))
                self._unique, self._look_at = None, 2**62
            return
        if self._cells is None:
            try:
                self._numbers[rows] = np.array(values, np.float64)
                return
            except (TypeError, ValueError):  # lists have come
                self._become_cells(read(), len(self._numbers))
                return
        self._places[rows] = self._cells.places(values)
        if self.kind == TEXT and len(self._cells) >= self._look_at:
            self._look_at = 2 * len(self._cells)
            if 2 * len(self._cells) > int((self._places >= 0).sum()) and self._cells.are_single():
                self._become_unique()

    def _become_cells(self, values: Sequence[Any], capacity: int) -> None:
        cells, places = Cells(self.kind), np.full(capacity, -1, np.int32)
        places[: len(values)] = cells.places(values)
        self._places, self._cells = places, cells

    def _become_unique(self) -> None:
        assert self._cells is not None
        unique, filled = Unique(len(self._places)), np.flatnonzero(self._places >= 0)
        unique.set(filled, [self._cells.at(place)[0] for place in self._places[filled].tolist()])
        self._unique = unique
        self._places, self._cells = self._places[:0], Cells(self.kind)

    def view(self, count: int, text_of: Callable[[int], str]) -> Any:
        """The first rows, for filters.

        Args:
            text_of: the text of this column in a row that has one alone.
        """
        unique, cells, places = self._unique, self._cells, self._places
        if unique is not None:
            return _UniqueView(self.kind, unique, count, text_of)
        if cells is None:
            return _NumbersView(self.kind, self._numbers[:count])
        return _CellsView(self.kind, places[:count], cells)

    def grown(self, capacity: int) -> LiveColumn:
        """A copy with room for more rows."""
        other = LiveColumn(self.kind, 0)
        other._cells, other._look_at = self._cells, self._look_at
        if self._unique is not None:
            other._unique = self._unique.grown(capacity)
        elif self._cells is None:
            other._numbers = _grown(self._numbers, capacity, np.nan)
        else:
            other._places = _grown(self._places, capacity, -1)
        return other

    def swept(self, alive: np.ndarray) -> LiveColumn:
        """This, or a copy without the cells of no row where those are more than half.

        Args:
            alive: (n,) bool, the first rows that count; the others' cells are lost.
        """
        if self._cells is None or len(self._cells) <= 2 * int(alive.sum()) + _SPARE:
            return self
        places = np.where(alive, self._places[: len(alive)], -1)
        used = np.unique(places[places >= 0])
        other = LiveColumn(self.kind, 0)
        other._cells, other._look_at = self._cells.taken(used), self._look_at
        other._places = np.full(len(self._places), -1, np.int32)
        other._places[: len(alive)] = np.where(places >= 0, np.searchsorted(used, places), -1)
        return other


def _grown(values: np.ndarray, capacity: int, fill: float) -> np.ndarray:
    grown = np.full(capacity, fill, values.dtype)
    grown[: len(values)] = values
    return grown
