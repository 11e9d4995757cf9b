"""Filters over the live catalogue and as SQL: the same tracks as Filter.mask, whatever the filter says."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.errors import ConfigError
from recbole_decm.serving.filters import Column, Filter
from recbole_decm.serving.store import Live, open_store
from recbole_decm.serving.store.postgres_filter import condition

INJECTED = "'; DROP TABLE decm_tracks; --"
TEXTS = ["pop", "Pop", "jazz", "", "it's", 'a"b', "\\", "é", "😀", "zz", "%", INJECTED, "10", "null"]
NUMBERS = [0, 1, -1, 2.5, 1e300, -1e-300, 0.1, 2**53 + 1, 60, True, 1e-320]


def records(count: int = 60) -> list[dict]:
    """Metadata with what goes wrong: lists, nothing, quotes, signs beyond the first plane, numbers at their ends."""
    draw = np.random.default_rng(4)

    def pick(values):
        return values[draw.integers(len(values))]

    made = []
    for _ in range(count):
        record = {
            "genre": [pick(TEXTS) for _ in range(draw.integers(4))],
            "artist": pick([*TEXTS, None, 7]),
            "bpm": pick([*NUMBERS, None, float("nan")]),
            "scores": [pick([*NUMBERS, None]) for _ in range(draw.integers(3))],
            "größe": pick([1, 2, [3, 4], None]),
        }
        made.append({name: value for name, value in record.items() if draw.random() < 0.9})
    return made


RECORDS = records()
KINDS = {"genre": "text", "artist": "text", "bpm": "number", "scores": "number", "größe": "number"}


def table() -> dict[str, Column]:
    columns = {}
    for name, kind in KINDS.items():
        cells = [record.get(name) for record in RECORDS]
        if kind == "text":  # as texts, which a number among them becomes
            cells = [str(cell) if isinstance(cell, int) else cell for cell in cells]
        columns[name] = Column.of(cells)
    return columns


TABLE = table()


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


any_text = st.one_of(st.sampled_from(TEXTS), st.text(max_size=3).filter(lambda t: t.isprintable()), st.just("po\0p"))
texts = any_text.map(quoted)
numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False)).map(
    lambda value: repr(float(value))
)


@st.composite
def comparisons(draw):
    name = draw(st.sampled_from(list(KINDS)))
    value = texts if KINDS[name] == "text" else numbers
    if draw(st.booleans()):
        return f"{name} in [{', '.join(draw(st.lists(value, max_size=3)))}]"
    return f"{name} {draw(st.sampled_from(['=', '!=', '<', '<=', '>', '>=']))} {draw(value)}"


filters = st.recursive(
    comparisons(),
    lambda part: st.one_of(
        part.map(lambda text: f"not ({text})"),
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(lambda three: f"({three[0]}) {three[1]} {three[2]}"),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def in_postgres(postgres):
    store = open_store(postgres.new_schema("filtered"))
    store.put(tracks([f"t{at}" for at in range(len(RECORDS))], metadata=RECORDS))
    yield store
    store.close()


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory):
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('store')}/tracks.db")
    store.publish(artefact("one"))
    live = Live(store, opened)
    half = len(RECORDS) // 2
    for part in (slice(0, half), slice(half, None), slice(0, 5)):  # the first rows are put twice
        at = range(len(RECORDS))[part]
        live.put(tracks([f"t{place}" for place in at], metadata=RECORDS[part]))
    yield live
    live.close()


@settings(max_examples=150, deadline=None)
@given(text=filters)
def test_the_live_catalogue_finds_what_the_mask_finds(in_memory, text):
    found = in_memory.search(np.zeros((1, 4), np.float32), len(RECORDS), text)[0].ids
    assert sorted(found) == sorted(expected(text))


@settings(max_examples=150, deadline=None)
@given(text=filters)
def test_sql_finds_what_the_mask_finds(in_postgres, text):
    assert sorted(in_sql(in_postgres, text)) == sorted(expected(text))


def expected(text: str) -> list[str]:
    return [f"t{at}" for at in np.flatnonzero(Filter.parse(text).mask(TABLE))]


def in_sql(store, text: str) -> list[str]:
    where, values = condition(Filter.parse(text), KINDS)
    return [track for (track,) in store._all(f"SELECT id FROM decm_tracks t WHERE {where}", *values)]


INJECTIONS = [
    INJECTED,
    "' OR '1'='1",
    "pop' UNION SELECT content FROM decm_files --",
    "\\'; SELECT pg_sleep(10); --",
    "%s",
    "%(x)s",
    "$1",
    "{}",
    '"; DROP SCHEMA filtered CASCADE; --',
    "'||(SELECT version())||'",
]


@pytest.mark.parametrize("attempt", INJECTIONS)
def test_what_tries_to_inject_is_a_text_like_others(in_postgres, in_memory, attempt):
    for sign in ("=", "!=", "<", ">="):
        text = f"genre {sign} {quoted(attempt)}"
        assert sorted(in_sql(in_postgres, text)) == sorted(expected(text))
    for text in (f"genre = '{attempt}'", attempt, f"{attempt} = 1", f"genre in [{attempt}]"):  # not quoted
        try:
            parsed = Filter.parse(text)
        except ConfigError:
            continue
        unknown = parsed.columns - KINDS.keys()
        if unknown:
            with pytest.raises(ConfigError, match="expected a column of the tracks"):
                in_sql(in_postgres, text)
        else:
            assert sorted(in_sql(in_postgres, text)) == sorted(expected(text))
    assert in_postgres.count() == len(RECORDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mood = 'x'", "expected a column of the tracks"),
        ("bpm = 'x'", "expected a number to compare 'bpm' with"),
        ("genre < 3", "expected a text in quotes to compare 'genre' with"),
        ("genre = '\ud800'", "expected whole characters, found half a one"),
    ],
)
def test_filters_that_do_not_fit_are_refused_alike(in_postgres, in_memory, text, message):
    for where in (lambda: in_sql(in_postgres, text), lambda: in_memory.search(np.zeros((1, 4)), 3, text)):
        with pytest.raises(ConfigError, match=message):
            where()
