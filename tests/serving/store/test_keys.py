"""Rows of ids against a dictionary, over many changes, with ids that share a hash."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.serving.store import keys as module
from recbole_decm.serving.store.keys import Keys
from recbole_decm.serving.store.texts import Texts


@pytest.mark.parametrize("buckets", [None, 7])
def test_rows_are_those_of_a_dictionary(monkeypatch, buckets):
    monkeypatch.setattr(module, "_RECENT", 5)
    if buckets:  # as if half of all ids had the hash of another
        monkeypatch.setattr(module, "hash", lambda text: int(text[1:]) % buckets, raising=False)
    made, ids, told = Keys(), Texts(2_000), {}
    draw, free = np.random.default_rng(3), 0
    for _ in range(120):
        names = [f"k{at}" for at in draw.choice(60, draw.integers(1, 20), replace=False)]
        cut = int(draw.integers(len(names) + 1))
        gone, put = names[:cut], names[cut:]
        rows = np.arange(free, free + len(put))
        free += len(put)
        ids.set(rows, [name.encode() for name in put])
        made.change(gone, put, rows, ids)
        told.update(zip(put, rows.tolist(), strict=True))
        for name in gone:
            told.pop(name, None)
        asked = [f"k{at}" for at in range(70)]
        assert made.rows(asked, ids).tolist() == [told.get(name, -1) for name in asked]
        assert [made.get(name, ids) for name in asked[:5]] == [told.get(name, -1) for name in asked[:5]]


def test_texts_are_swept_and_stay():
    texts = Texts(100)
    for number in range(300):
        texts.set(np.arange(10), [f"{at} {number}".encode() * 20 for at in range(10)])
        texts = texts.swept()
    assert texts[7] == b"7 299" * 20 and len(texts._content) < 2 * 10 * 100 + 70_000
    assert texts.grown(500)[7] == texts[7] and texts[50] == b""
