"""The filter grammar: every sign, missing values, lists, refusals with their place, and random filters by an oracle."""

from __future__ import annotations

import operator
import random
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from recbole_decm.errors import ConfigError
from recbole_decm.serving.filters import DEEPEST, LONGEST, Column, Filter

CELLS = {
    "genre": [["pop"], ["jazz", "pop"], [], ["rock"], ["it's"]],
    "artist": ["Ann", "Bob", "", "ann", None],
    "duration": [30.0, 60.0, np.nan, 90.5, -1e3],
    "scores": [[1.0, 5.0], [2.0], [], [np.nan], [9.0]],
}
TABLE = {name: Column.of(cells) for name, cells in CELLS.items()}


def rows(text: str) -> list[int]:
    return np.flatnonzero(Filter.parse(text).mask(TABLE)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("genre = 'pop'", [0, 1]),
        ("genre != 'pop'", [1, 3, 4]),  # any value that differs
        ("not genre = 'pop'", [3, 4]),  # no value that equals; the empty list is missing
        ("not not genre = 'pop'", [0, 1]),
        ("genre in ['jazz', \"rock\"]", [1, 3]),
        ("genre in []", []),
        ("not genre in []", [0, 1, 3, 4]),
        (r"genre = 'it\'s'", [4]),
        ('genre = "it\'s"', [4]),
        ("duration < 60", [0, 4]),
        ("duration <= 6e1", [0, 1, 4]),
        ("duration > -1000", [0, 1, 3]),
        ("duration >= 90.5", [3]),
        ("duration = -1000", [4]),
        ("duration != 30", [1, 3, 4]),
        ("not duration > 60", [0, 1, 4]),  # an unknown duration is not known to be short
        ("duration in [30,60]", [0, 1]),
        ("artist = 'ann'", [3]),
        ("artist >= 'Bob'", [1, 3]),
        ("not artist in ['Ann']", [1, 3]),
        ("scores > 4", [0, 4]),
        ("not scores > 4", [1]),
        ("genre = 'pop' and duration < 60 or artist = 'ann'", [0, 3]),  # and binds more tightly
        ("genre = 'pop' and (duration < 60 or artist = 'Bob')", [0, 1]),
        ("NOT (genre = 'pop' OR duration > 60) And duration<0", [4]),
        ("artist = 'Ann' or duration < 0", [0, 4]),  # true, whatever the missing artist would say
        ("not (artist = 'x' and duration > 0)", [0, 1, 3, 4]),  # false, whatever the missing artist would say
    ],
)
def test_which_tracks_match(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: expected a column, 'not' or '(', found the end"),
        ("genre", "character 6: expected =, !=, <, <=, >, >= or 'in', found the end"),
        ("genre == 'a'", "character 8: expected a number or a text in quotes, found '='"),
        ("genre = pop", "character 9: expected a number or a text in quotes, found 'pop'"),
        ("genre = 'pop", "character 9: expected a text that ends with its quote"),
        ("duration < 60s", "character 12: expected a column, a value or a sign, found '60s'"),
        ("(duration < 6", "character 14: expected ')', found the end"),
        ("duration < 6)", "character 13: expected 'and', 'or' or the end, found ')'"),
        ("genre in 'a'", "character 10: expected a list such as ['a', 'b']"),
        ("genre in ['a' 'b']", "character 15: expected ',' or ']'"),
        ("genre in ['a',]", "character 15: expected a number or a text in quotes, found ']'"),
        ("genre = 'a' and or", "character 17: expected a column, 'not' or '(', found 'or'"),
        ("__import__('os')", "character 11: expected =, !=, <, <=, >, >= or 'in', found '('"),
        ("duration < 6; x", "character 13: expected a column, a value or a sign, found '; x'"),
        (
            "genr = 'a'",
            "character 1: expected a column of the tracks (genre, artist, duration, scores), found 'genr'.",
        ),
        ("genre = 'a' or genre < 3", "character 16: expected a text in quotes to compare 'genre' with, found the num"),
        ("duration = '3'", "character 1: expected a number to compare 'duration' with, found the text '3'"),
        ("(" * 60 + "a = 1" + ")" * 60, f"character 51: expected at most {DEEPEST} parentheses"),
        ("not " * 100_000, f"expected a text of at most {LONGEST} characters, found 400000"),
        ("not " * 60 + "a = 1", f"expected at most {DEEPEST} parentheses and 'not'"),
        (3, "expected a text of at most"),
    ],
)
def test_refusals_name_the_place(text, message):
    with pytest.raises(ConfigError) as refused:
        Filter.parse(text).mask(TABLE)
    assert message in str(refused.value) and "\n" not in str(refused.value)


SIGNS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def test_random_filters_match_what_an_oracle_says():
    """1,000 random expressions, over and over nested, against three-valued logic value by value."""
    rng = random.Random(0)
    cells = {
        "text": [rng.choice(["a", "b", "c", "ä 'q'", "", None]) for _ in range(60)],
        "number": [rng.choice([1.0, 2.5, -3.0, float("nan")]) for _ in range(60)],
        "texts": [[rng.choice("abc") for _ in range(rng.randrange(4))] for _ in range(60)],
        "numbers": [[rng.choice([1.0, 2.0, float("nan")]) for _ in range(rng.randrange(4))] for _ in range(60)],
    }
    table = {name: Column.of(column) for name, column in cells.items()}

    def known(cell):
        values = cell if isinstance(cell, list) else [cell]
        return [value for value in values if value is not None and value != "" and value == value]

    def literal(value):
        return f"{value:g}" if isinstance(value, float) else repr(value) if "'" not in value else f'"{value}"'

    def expression(depth):
        """A text, and the function from a row to True, False or None."""
        kind = rng.random()
        if depth and kind < 0.25:
            text, inner = expression(depth - 1)
            return f"not ({text})", lambda i: None if inner(i) is None else not inner(i)
        if depth and kind < 0.7:
            word, parts = rng.choice(["and", "or"]), [expression(depth - 1) for _ in range(rng.randrange(2, 4))]
            decides = word == "or"

            def joined(i):
                found = [part(i) for _, part in parts]
                return decides if decides in found else None if None in found else not decides

            return "(" + f" {word} ".join(text for text, _ in parts) + ")", joined
        name = rng.choice(list(cells))
        values = ["a", "b", "d", "ä 'q'"] if name.startswith("text") else [1.0, 2.0, 2.5, -3.0]
        if rng.random() < 0.3:
            chosen = rng.sample(values, rng.randrange(4))
            listed, compare = ", ".join(map(literal, chosen)), lambda value: value in chosen
            text = f"{name} in [{listed}]"
        else:
            sign, wanted = rng.choice(list(SIGNS)), rng.choice(values)
            text, method = f"{name}{sign}{literal(wanted)}", getattr(operator, SIGNS[sign])
            compare = lambda value: method(value, wanted)  # noqa: E731

        def one(i):
            there = known(cells[name][i])
            return any(map(compare, there)) if there else None

        return text, one

    hits = 0
    for _ in range(1_000):
        text, oracle = expression(rng.randrange(4))
        found = Filter.parse(text).mask(table).tolist()
        assert found == [oracle(i) is True for i in range(60)], text
        hits += 0 < sum(found) < 60
    assert hits > 500


def test_random_characters_are_read_or_refused():
    rng = random.Random(1)
    pieces = [*"=()[]'\"\\é.5\n\0", "genre", "in", "'a'", "not", "and", "__class__"]
    for _ in range(5_000):
        text = rng.choice(["", " "]).join(rng.choice(pieces) for _ in range(rng.randrange(12)))
        try:
            Filter.parse(text).mask(TABLE)
        except ConfigError as error:
            assert str(error).startswith("filter, character ")


def test_a_hundred_thousand_tracks_take_milliseconds():
    rng = np.random.default_rng(0)
    table = {
        "artist": Column.of(rng.integers(20_000, size=100_000).astype(str)),
        "genre": Column.of([[f"g{a}", f"g{b}"] for a, b in rng.integers(20, size=(100_000, 2))]),
        "duration": Column.of(rng.uniform(10, 300, size=100_000)),
    }
    found = Filter.parse("genre in ['g1', 'g2'] and duration < 60 and not artist = '7'")
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        count = found.mask(table).sum()
        seconds.append(time.perf_counter() - start)
    assert 1_000 < count < 10_000 and min(seconds) < 0.1


def test_it_needs_neither_torch_nor_recbole():
    code = "import sys, recbole_decm.serving.filters; print({'torch', 'recbole'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_columns_of_a_table():
    frame = pd.DataFrame({"year": [1999, 2001, 2003], "name": ["x", "y", None]})
    table = {name: Column.of(frame[name]) for name in frame}
    assert Filter.parse("year > 2000 and name = 'y'").mask(table).tolist() == [False, True, False]
    assert len(table["year"]) == 3 and Column.of([None, ""]).where("<", ["a"]).no.tolist() == [False, False]
