"""The live catalogue against brute force over the store, while it changes and while versions take over."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks

from recbole_decm.serving.store import Live


@pytest.fixture
def queries() -> np.ndarray:
    return np.random.default_rng(11).standard_normal((3, 4), dtype=np.float32)


@pytest.fixture
def live(store):
    store.publish(artefact("one", count=300))
    live = Live(store, opened, poll=0.02)
    yield live
    live.close()


def brute_force(store, version: str, query: np.ndarray, keep=lambda metadata: True) -> list[str]:
    """The ids of all tracks of a store that ``keep`` lets pass, the best first."""
    made = opened(store, version)
    found = [store.get(track) for track in store.changes(0, limit=10_000).ids]
    found = [track for track in found if track is not None and keep(track.metadata)]
    features = np.stack([track.features["acoustic"] for track in found])
    scores = made.track_vectors({"acoustic": features}, [track.metadata.get("genre", []) for track in found]) @ query
    return [found[at].id for at in np.argsort(-scores, kind="stable")]


def until(condition, seconds: float = 5.0) -> None:
    """Wait for a condition, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


def test_a_search_is_that_of_brute_force_over_all_that_changed(live, store, queries):
    live.put(tracks([f"t{at}" for at in range(50, 120)] + ["new"], 5))
    live.delete([f"t{at}" for at in range(20)])
    live.put(tracks(["t3", "t60"], 6))
    assert live.size == store.count() == 282
    for query, hits in zip(queries, live.search(queries, 282), strict=True):
        assert hits.ids == brute_force(store, "one", query)
    want = brute_force(store, "one", queries[0], lambda m: "pop" in m.get("genre", []) and m.get("bpm", 999) < 120)
    found = live.search(queries[:1], 400, "genre = 'pop' and bpm < 120", want[1:3])[0]
    assert found.ids == want[:1] + want[3:]
    assert found.metadata[0] == store.get(found.ids[0]).metadata
    np.testing.assert_allclose(found.vectors @ queries[0], found.scores, rtol=1e-5)


def test_version_switch_encodes_all_again_and_goes_back(live, store, queries):
    store.publish(artefact("two", seed=9))
    live.switch("two")
    assert live.version == store.active() == "two"
    live.put(tracks(["late"], 4))
    assert live.search(queries[:1], 9)[0].ids == brute_force(store, "two", queries[0])[:9]
    live.switch("one")
    assert live.search(queries[:1], 9)[0].ids == brute_force(store, "one", queries[0])[:9]
    assert "late" in live.search(queries[:1], 301)[0].ids
