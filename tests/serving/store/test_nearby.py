"""An index over a catalogue that changes: what it finds against exact search, with filters and after changes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks

from recbole_decm.serving.index import IndexOptions
from recbole_decm.serving.store import Live, open_store
from recbole_decm.serving.store.nearby import QUERIES

pytest.importorskip("faiss")
COUNT = 4_000


@pytest.fixture
def lives(tmp_path):
    """The same catalogue with an index, and without."""
    store = open_store(f"sqlite:///{tmp_path}/tracks.db")
    store.publish(artefact("one", count=COUNT, dim=8))
    live = Live(store, opened, poll=60, index=IndexOptions("hnsw"))
    live.view().nearby._least = 1_000
    exact = Live(open_store(f"sqlite:///{tmp_path}/tracks.db"), opened, poll=60)
    yield live, exact
    live.close()
    exact.close()


def queries(count: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8), dtype=np.float32)


def recall(live, exact, where: str | None, exclude=(), k: int = 10) -> float:
    asked = queries(100, 6)
    exact._catch_up()
    found = zip(live.search(asked, k, where, exclude), exact.search(asked, k, where, exclude), strict=True)
    return float(np.mean([len({*a.ids} & {*b.ids}) / len(b.ids) for a, b in found]))


def test_what_an_index_finds_with_filters_and_after_changes(lives):
    live, exact = lives
    nearby = live.view().nearby
    for query in queries(QUERIES):
        live.search(query[None], 5)
    nearby.look()
    nearby._worker.join()
    assert nearby.reached >= 0.95
    counted = []
    search = nearby._built.index.search
    nearby._built.index.search = lambda *given: counted.append(given) or search(*given)
    for where in (None, "genre = 'pop'", "bpm < 150 and not artist = 'Ann'"):
        before = len(counted)
        assert recall(live, exact, where, ["t5"]) >= 0.95 and len(counted) > before
    before = len(counted)
    assert recall(live, exact, "bpm = 77") == 1 and len(counted) == before  # narrow: compared one by one
    best = live.search(queries(1, 6), 3)[0].ids
    live.delete(best[:1])
    live.put(tracks([f"t{at}" for at in range(200)] + ["new"], 8))
    assert recall(live, exact, None) >= 0.95
    assert best[0] not in live.search(queries(1, 6), 50)[0].ids
    live.put(tracks(["strong"], metadata=[{}]))
    strong = live.vectors_of(["strong"])
    assert live.search(100 * strong, 1)[0].ids == exact_best(exact, 100 * strong)


def exact_best(exact, query) -> list[str]:
    exact._catch_up()
    return exact.search(query, 1)[0].ids


def test_no_index_without_queries_or_below_the_recall_that_is_wanted(lives, caplog):
    live, _ = lives
    nearby = live.view().nearby
    nearby.look()
    assert nearby._worker is None and nearby.reached is None
    nearby._recall = 1.1
    for query in queries(QUERIES):
        live.search(query[None], 5)
    nearby.look()
    nearby._worker.join()
    assert nearby._built is None and "search stays exact, since recall is" in caplog.text
    nearby.look()
    assert not nearby._worker.is_alive()  # nothing has changed since
