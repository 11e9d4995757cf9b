"""Filters on track metadata: ``genre in ['pop', 'jazz'] and not duration > 60``, parsed once, answered for all tracks.

Grammar, words in any case::

    any     = all { "or" all }
    all     = one { "and" one }
    one     = "not" one | "(" any ")" | column ("=" | "!=" | "<" | "<=" | ">" | ">=") value | column "in" list
    list    = "[" [ value { "," value } ] "]"
    value   = number | 'text' | "text"          with \\' \\" \\\\ for a quote or a backslash inside a text

A column of lists matches if any of its values does. A missing value (an empty cell, an empty list) never matches, under
``not`` neither: what is not known of a track speaks neither for it nor against it (Kleene's three values).

numpy and pandas alone: a service reads its catalogue without torch and RecBole.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError, suggest

LONGEST, DEEPEST = 10_000, 50
"""Characters of a filter; parentheses and ``not`` inside each other."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<name>[^\W\d]\w*)"""
    r"""|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<sign>!=|<=|>=|[=<>()\[\],])|(?P<end>\Z))""",
    re.DOTALL,
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    **{"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le},
    **{">": operator.gt, ">=": operator.ge},
}
_WORDS = ("and", "or", "not", "in")


# --- columns --------------------------------------------------------------------------------------------------------
class Match(NamedTuple):
    """Which of M tracks match, and which do not, (M,) bool each; of the others it is not known."""

    yes: np.ndarray
    no: np.ndarray


@dataclass(frozen=True)
class Column:
    """One column of a table of tracks, each distinct value kept once.

    Attributes:
        values: (U,) distinct values, float64 or str.
        codes: int64 places in ``values`` of the tracks' values, one after the other; -1 where one is missing.
        offsets: (M + 1,) where each track's values start in ``codes``; None where each has one.
    """

    values: np.ndarray
    codes: np.ndarray
    offsets: np.ndarray | None = None

    @classmethod
    def of(cls, cells: Sequence[Any] | np.ndarray) -> Column:
        """A column of numbers or texts, or of lists of one of them; None, NaN and an empty text are missing.

        Examples:
            >>> Column.of([["pop", "jazz"], [], ["pop"]]).where("=", ["jazz"]).yes.tolist()
            [True, False, False]
        """
        offsets = None
        if any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells):
            rows = [cell if isinstance(cell, (list, tuple, np.ndarray)) else [cell] for cell in cells]
            offsets = np.cumsum([0, *map(len, rows)])
            cells = [value for row in rows for value in row]
        flat = pd.Series(cells, dtype=None if isinstance(cells, np.ndarray) else object)
        if not pd.api.types.is_numeric_dtype(flat):
            flat = flat.where(flat != "")
            known = flat.dropna()
            numbers = known.map(lambda value: isinstance(value, (int, float, np.number)))
            flat = flat.astype(np.float64) if numbers.all() and len(known) else known.map(str).reindex(flat.index)
        codes, values = pd.factorize(flat)
        return cls(np.asarray(values), codes, offsets)

    @property
    def holds_numbers(self) -> bool:
        return bool(self.values.dtype.kind == "f" or self.values.dtype.kind in "iub")

    def __len__(self) -> int:
        return len(self.codes) if self.offsets is None else len(self.offsets) - 1

    def where(self, sign: str, wanted: Sequence[Any]) -> Match:
        """The tracks with a value that equals one of ``wanted``, or, for another sign, compares so with the first.

        Args:
            sign: one of = != < <= > >=.
        """
        fits = np.zeros(len(self.values) + 1, dtype=bool)  # the last stands for a missing value, whose code is -1
        if sign == "=":
            fits[:-1] = pd.Index(self.values).isin(list(wanted))
        elif len(self.values):
            fits[:-1] = _COMPARE[sign](self.values, wanted[0])
        yes, known = fits[self.codes], self.codes >= 0
        if self.offsets is not None:
            yes, known = (self._any(part) for part in (yes, known))
        return Match(yes, known & ~yes)

    def _any(self, flags: np.ndarray) -> np.ndarray:
        """(M,) whether any of a track's flags is set."""
        before = np.concatenate([[0], np.cumsum(flags)])
        assert self.offsets is not None
        return before[self.offsets[1:]] > before[self.offsets[:-1]]


# --- parsed filters -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Comparison:
    """``column sign value``, or ``column in [..]``: equal to one of several.

    Attributes:
        place: of the column's name in the text, from 1.
    """

    column: str
    sign: str
    wanted: tuple[float | str, ...]
    place: int

    def match(self, table: Mapping[str, Column]) -> Match:
        if self.column not in table:
            names = ", ".join(table) or "none"
            hint = suggest(self.column, table)
            raise _error(self.place, f"a column of the tracks ({names})", f"'{self.column}'", hint)
        column = table[self.column]
        for value in self.wanted:
            if isinstance(value, float) != column.holds_numbers and len(column.values):
                kinds = ("a text in quotes", f"the number {value:g}") if isinstance(value, float) else ("a number", "")
                found = kinds[1] or f"the text {value!r}"
                raise _error(self.place, f"{kinds[0]} to compare '{self.column}' with", found)
        return column.where(self.sign, self.wanted)


@dataclass(frozen=True)
class Not:
    part: Node

    def match(self, table: Mapping[str, Column]) -> Match:
        found = self.part.match(table)
        return Match(found.no, found.yes)


@dataclass(frozen=True)
class Joined:
    """Parts joined by ``and``, or by ``or``."""

    word: str
    parts: tuple[Node, ...]

    def match(self, table: Mapping[str, Column]) -> Match:
        every = self.word == "and"
        yes, no = self.parts[0].match(table)
        for part in self.parts[1:]:
            found = part.match(table)
            yes, no = (yes & found.yes, no | found.no) if every else (yes | found.yes, no & found.no)
        return Match(yes, no)


Node = Comparison | Not | Joined


@dataclass(frozen=True)
class Filter:
    """A parsed filter.

    Attributes:
        text: as it was given.
        columns: the names of the columns it reads.
        root: what it says, parsed.

    Examples:
        >>> table = {"genre": Column.of([["pop"], ["jazz", "pop"], []]), "bpm": Column.of([90.0, None, 120.0])}
        >>> Filter.parse("genre = 'pop' and not bpm > 100").mask(table).tolist()
        [True, False, False]
    """

    text: str
    columns: frozenset[str]
    root: Node = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read a filter.

        Raises:
            ConfigError: not of the grammar, longer than :data:`LONGEST` or deeper than :data:`DEEPEST`; the message
                names the character, from 1.
        """
        parser = _Parser(text)
        root = parser.whole()
        return cls(text, frozenset(parser.columns), root)

    def mask(self, table: Mapping[str, Column]) -> np.ndarray:
        """(M,) bool, the tracks that match.

        Args:
            table: the columns of :attr:`columns` at least, all of M tracks.

        Raises:
            ConfigError: a column is not there, or holds texts where it is compared with a number, or the other way.
        """
        return self.root.match(table).yes


class _Parser:
    """Recursive descent over the tokens of a text."""

    def __init__(self, text: str):
        if not isinstance(text, str) or len(text) > LONGEST:
            found = f"{len(text)}" if isinstance(text, str) else f"a {type(text).__name__}"
            raise ConfigError(f"filter: expected a text of at most {LONGEST} characters, found {found}.")
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can say it, and no text of a track equals it
            raise _error(error.start + 1, "whole characters", "half a one") from error
        self.text, self.at, self.depth = text, 0, 0
        self.columns: dict[str, None] = {}
        self._next()

    def whole(self) -> Node:
        root = self._any()
        if self.kind != "end":
            raise self._expected("'and', 'or' or the end")
        return root

    def _next(self) -> None:
        """Read one token into ``kind``, ``word`` and ``place``."""
        token = _TOKEN.match(self.text, self.at)
        if token is None:
            blank = len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
            rest = self.text[self.at + blank :]
            what = "a text that ends with its quote" if rest[0] in "'\"" else "a column, a value or a sign"
            raise _error(self.at + blank + 1, what, repr(rest[:20]))
        self.kind = str(token.lastgroup)
        self.word, self.place, self.at = token[self.kind], token.start(self.kind) + 1, token.end()
        if self.kind == "name" and self.word.lower() in _WORDS:
            self.kind, self.word = "word", self.word.lower()

    def _takes(self, kind: str, *words: str) -> str | None:
        """The current token, if it is one of these, and the next is read."""
        if self.kind != kind or self.word not in words:
            return None
        word = self.word
        self._next()
        return word

    def _expected(self, what: str) -> ConfigError:
        return _error(self.place, what, "the end" if self.kind == "end" else repr(self.word))

    def _any(self) -> Node:
        return self._joined("or", lambda: self._joined("and", self._one))

    def _joined(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self._takes("word", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _one(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _error(self.place, f"at most {DEEPEST} parentheses and 'not' inside each other", "more")
        if self._takes("word", "not"):
            node: Node = Not(self._one())
        elif self._takes("sign", "("):
            node = self._any()
            if not self._takes("sign", ")"):
                raise self._expected("')'")
        else:
            node = self._comparison()
        self.depth -= 1
        return node

    def _comparison(self) -> Comparison:
        if self.kind != "name":
            raise self._expected("a column, 'not' or '('")
        column, place = self.word, self.place
        self._next()
        self.columns[column] = None
        if self._takes("word", "in"):
            return Comparison(column, "=", tuple(self._list()), place)
        sign = self._takes("sign", *_COMPARE)
        if sign is None:
            raise self._expected(f"{', '.join(_COMPARE)} or 'in'")
        return Comparison(column, sign, (self._value(),), place)

    def _list(self) -> list[float | str]:
        if not self._takes("sign", "["):
            raise self._expected("a list such as ['a', 'b']")
        found: list[float | str] = []
        while not self._takes("sign", "]"):
            if found and not self._takes("sign", ","):
                raise self._expected("',' or ']'")
            found.append(self._value())
        return found

    def _value(self) -> float | str:
        if self.kind not in ("number", "text"):
            raise self._expected("a number or a text in quotes")
        word, kind = self.word, self.kind
        self._next()
        return float(word) if kind == "number" else re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL)


def _error(place: int, expected: str, found: str, hint: str = "") -> ConfigError:
    return ConfigError(f"filter, character {place}: expected {expected}, found {found}.{hint}")
