"""Columns that change, against columns of the whole: numbers, texts, lists, and texts of which each row has its own."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.serving.filters import Column
from recbole_decm.serving.store import columns
from recbole_decm.serving.store.columns import LiveColumn


def column_of(kind: str, values: list, pages: int = 3) -> LiveColumn:
    made, told = LiveColumn(kind, len(values)), [None] * len(values)
    for rows in np.array_split(np.arange(len(values)), pages):
        for row in rows:
            told[row] = values[row]
        made.set(rows, [values[row] for row in rows], lambda: told)
    return made


def same(made: LiveColumn, kind: str, values: list, sign: str, wanted: list) -> bool:
    texts = [str(value) if isinstance(value, int) and kind == "text" else value for value in values]
    found = made.view(len(values), lambda row: texts[row]).where(sign, wanted)
    expected = Column.of(texts).where(sign, wanted)
    return (found.yes == expected.yes).all() and (found.no == expected.no).all()


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        ("number", [1.5, None, 3, -2, 1.5], [1.5]),
        ("number", [1.5, None, [3, 1.5], -2, []], [1.5]),
        ("text", ["b", "", None, "é", "a", 7], ["b"]),
        ("text", ["b", ["a", "b"], [], "é", "a", None], ["b"]),
    ],
)
def test_a_column_that_changes_is_that_of_the_whole(sign, kind, values, wanted):
    assert same(column_of(kind, values), kind, values, sign, wanted)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(columns, "_MANY", 20)


TITLES = [None if at % 7 == 0 else f"title {chr(200 + at % 50)} {at % 90}" for at in range(100)] + [
    "",
    "titlé",
    "t",
    12,
]


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("wanted", ["title È 40", TITLES[33], "t", "", "title ", "12", "😀"])
def test_texts_of_which_each_row_has_its_own(few, sign, wanted):
    made = column_of("text", TITLES)
    assert made._unique is not None and not len(made._places)
    assert same(made, "text", TITLES, sign, [wanted])
    assert same(made.grown(200), "text", TITLES, sign, [wanted])


def test_lists_among_them_bring_the_cells_back(few):
    values = [*TITLES, ["title a", "t"]]
    made = column_of("text", values)
    assert made._unique is None
    for sign in ("=", "<", ">="):
        assert same(made, "text", values, sign, ["t"])


def test_texts_that_come_again_stay_cells(few):
    values = [f"artist {at % 25}" for at in range(200)]
    assert column_of("text", values)._unique is None
