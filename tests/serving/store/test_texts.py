"""Texts of rows: what is set comes back, whatever the names of columns that are kept short."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_decm.serving.store.texts import Shorthand, Texts

NAMES = st.text(max_size=4) | st.sampled_from(["genre", 'ge"nre', "g\\", "\x01", "a", "aa", '":'])
VALUES = st.recursive(
    st.none() | st.integers() | st.text() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=5), st.data())
def test_a_text_comes_back_as_it_was_also_after_more_names_are_learned(records, data):
    texts = [json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() for record in records]
    shorthand, rows = Shorthand(), np.arange(len(records))
    shorthand.learn(data.draw(st.lists(NAMES, max_size=3)))
    kept = Texts(len(records), shorthand)
    kept.set(rows, texts)
    shorthand.learn(name for record in records for name in record)
    assert kept.of(rows) == texts and [kept[row] for row in rows] == texts
    again = kept.grown(2 * len(records))
    again.set(rows[:1], texts[:1])
    assert again.of(rows) == texts


def test_names_take_a_byte_and_there_are_bytes_for_28():
    shorthand = Shorthand()
    shorthand.learn(f"name{at:02d}" for at in range(40))
    shorthand.learn(["name00", "late"])
    text = json.dumps({f"name{at:02d}": 1 for at in range(40)}, separators=(",", ":")).encode()
    assert len(text) - len(shorthand.short(text)) == 28 * len('"name00":') - 28
    assert shorthand.whole(shorthand.short(text)) == text
