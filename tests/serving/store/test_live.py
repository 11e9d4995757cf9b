"""The live catalogue against brute force over the store, while it changes and while versions take over."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from helpers.linear_artefact import artefact, opened, tracks

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.serving.filters import Filter
from recbole_decm.serving.store import Live, Want, open_store


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


def test_changes_during_a_switch_are_replayed(live, store, queries):
    """Put and delete while the new version is being encoded: both versions answer with all of it."""
    store.publish(artefact("two", seed=9))
    began, go_on = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, made):
            self.made, self.dim, self.manifest = made, made.dim, made.manifest

        def track_vectors(self, features, genres):
            began.set()
            assert go_on.wait(10)
            return self.made.track_vectors(features, genres)

    live._opener = lambda store, version: Slow(opened(store, version))
    switching = threading.Thread(target=live.switch, args=("two",))
    switching.start()
    assert began.wait(10)
    live.put(tracks(["late", "t7"], 4))
    live.delete(["t8"])
    assert live.version == "one"
    assert live.search(queries[:1], 400)[0].ids == brute_force(store, "one", queries[0])
    go_on.set()
    switching.join()
    assert live.version == "two"
    assert live.search(queries[:1], 400)[0].ids == brute_force(store, "two", queries[0])


def test_a_version_that_cannot_take_over_changes_nothing(live, store):
    store.publish(artefact("two", seed=9))

    def broken(store, version):
        raise DataError("damaged")

    live._opener = broken
    with pytest.raises(DataError, match="damaged"):
        live.switch("two")
    live._opener = opened
    with pytest.raises(ConfigError, match="expected one that was published"):
        live.switch("three")
    live._opener = broken
    assert live.version == store.active() == "one"
    store.activate("two")  # as another process does
    until(lambda: live.trouble == "damaged")
    assert live.version == "one" and live.size == 300
    live._opener = opened
    until(lambda: live.version == "two" and live.trouble is None)


def test_a_switch_back_computes_nothing(live, store):
    store.publish(artefact("two", seed=9))
    live.switch("two")
    seen = []

    def counted(store, version):
        seen.append(opened(store, version))
        return seen[-1]

    live._opener = counted
    live.switch("one")
    live.switch("two")
    assert [made.encoded for made in seen] == [0, 0]


def test_two_followers_see_each_others_changes_within_a_second(live, url, queries):
    other = Live(open_store(url), opened)
    try:
        start = time.monotonic()
        live.put(tracks(["seen"], 3, metadata=[{"new": "column"}]))
        until(lambda: other.search(queries[:1], 5, "new = 'column'")[0].ids == ["seen"] if other.size > 300 else False)
        other.delete(["seen"])
        other.put(tracks(["mine"], 4))
        until(lambda: live.size == 301 and live.metadata_of(["seen", "mine"])[0] is None)
        assert time.monotonic() - start < 1
        live.store.publish(artefact("two", seed=2))
        other.switch("two")
        until(lambda: live.version == "two")
        both = [catalogue.search(queries, 301) for catalogue in (live, other)]
        assert [hits.ids for hits in both[0]] == [hits.ids for hits in both[1]]
    finally:
        other.close()


def test_both_write_at_once_and_agree(live, url, queries):
    other = Live(open_store(url), opened, poll=0.02)

    def write(catalogue, seed):
        draw = np.random.default_rng(seed)
        for number in range(15):
            names = [f"t{at}" for at in draw.choice(300, 5, replace=False)]
            catalogue.put(tracks(names, seed + number))
            catalogue.delete(names[:1])

    try:
        writers = [threading.Thread(target=write, args=given) for given in ((live, 100), (other, 200))]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        last = live.store.state()[0]
        until(lambda: live.seq == other.seq == last)
        wanted = brute_force(live.store, "one", queries[0])
        assert live.search(queries[:1], 300)[0].ids == other.search(queries[:1], 300)[0].ids == wanted
    finally:
        other.close()


def test_readers_never_see_half_of_a_change(tmp_path):
    """A track's vector, id and metadata say one number; readers compare them while it changes and rows are reused."""
    store = open_store(f"sqlite:///{tmp_path}/tracks.db")
    store.publish(artefact("one", count=300))
    live = Live(store, opened)
    made = live.artefact
    stop, wrong = threading.Event(), []

    def put(number: int) -> None:
        names = [f"x{at}" for at in range(20)]
        metadata = [{"score": float(number * 20 + at), "id": name} for at, name in enumerate(names)]
        features = np.zeros((20, 6), np.float32)
        features[:, 0] = [record["score"] for record in metadata]
        given = tracks(names, metadata=metadata)
        given.features["acoustic"] = features
        live.put(given)

    def read() -> None:
        query = np.eye(4, dtype=np.float32)[:1]
        factor = float(made.weights[0, 0])
        while not stop.is_set():
            for where in (None, "score >= 0"):
                hits = live.search(query, 20, where or "id >= 'x'")[0]
                for name, score, record in zip(hits.ids, hits.scores, hits.metadata, strict=True):
                    if record["id"] != name or abs(record["score"] * factor - score) > 1e-2 * abs(score) + 1e-3:
                        wrong.append((name, score, record))
                if len(hits.ids) != 20:
                    wrong.append(len(hits.ids))

    put(0)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for number in range(1, 40):
        put(number)
    stop.set()
    for thread in readers:
        thread.join()
    live.close()
    assert not wrong
    assert len(live.view().table.now.alive) < 300 + 20 * 30  # rows were used again


def test_each_query_may_want_something_else(live, store, queries):
    wants = [Want(5), Want(3, Filter.parse("artist = 'Bob'"), {"t4"}), Want(400)]
    found = live.view().search_each(queries, wants)
    assert found[0].ids == brute_force(store, "one", queries[0])[:5]
    bobs = brute_force(store, "one", queries[1], lambda m: m.get("artist") == "Bob")
    assert found[1].ids == [track for track in bobs if track != "t4"][:3]
    assert len(found[2].ids) == 300


def test_ranks_are_those_of_the_search(live, queries):
    hits = live.search(queries, 300, "bpm > 90", ["t2"])
    ranks = live.view().ranks(queries, [hits[0].ids[4], "t2", "nobody"], "bpm > 90", ["t2"])
    assert ranks[:, 0].tolist() == [part.ids.index(hits[0].ids[4]) + 1 for part in hits]
    assert ranks[:, 1:].tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("few", [0, 20])
def test_equal_tracks_have_the_ranks_of_the_search(live, queries, monkeypatch, few):
    monkeypatch.setattr("recbole_decm.serving.store.live._FEW", few)
    twins = tracks([f"twin{at}" for at in range(8)], metadata=[{}] * 8)
    twins.features["acoustic"][:] = twins.features["acoustic"][0]
    live.put(twins)
    for query in queries:
        ids = live.search(query[None], 400)[0].ids
        assert live.view().ranks(query[None], ids).tolist() == [list(range(1, 309))]


def test_vectors_and_metadata_by_id(live):
    vectors = live.vectors_of(["t5", "nobody"])
    np.testing.assert_allclose(vectors[0], artefact("one", count=300).vectors[5], rtol=1e-6)
    assert np.isnan(vectors[1]).all() and live.metadata_of(["t5", "nobody"])[1] is None
    assert set(live.metadata_of(["t5"])[0]) <= {"genre", "bpm", "artist"}


def test_what_the_artefact_cannot_encode_is_refused_before_it_is_kept(live, store):
    given = tracks(["a"])
    given.features["acoustic"] = np.full((1, 6), 3e38, np.float32)
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(DataError, match="vectors are finite"):
        live.put(given)
    with pytest.raises(DataError, match="expected a number in 'bpm'"):
        live.put(tracks(["a"], metadata=[{"bpm": "fast"}]))
    assert store.get("a") is None and live.size == 300


def test_an_empty_store_says_what_to_do(store):
    with pytest.raises(ConfigError, match="Run recbole-decm publish first"):
        Live(store, opened)


def test_an_empty_catalogue_answers_with_nothing(store, queries):
    store.publish(artefact("one"))
    live = Live(store, opened)
    assert live.search(queries, 5)[2].ids == [] and live.size == 0
    live.put(tracks(["a"]))
    live.delete(["a"])
    assert live.search(queries, 5)[0].ids == [] and np.isnan(live.vectors_of(["a"])).all()
    live.close()


def test_metadata_that_keep_changing_take_no_more_memory(tmp_path):
    """Texts and cells of rows that are gone are swept out."""
    store = open_store(f"sqlite:///{tmp_path}/tracks.db")
    store.publish(artefact("one", count=50))
    live = Live(store, opened)
    for number in range(120):
        names = [f"t{at}" for at in range(50)]
        live.put(
            tracks(names, metadata=[{"genre": ["pop"], "title": f"{name} {number} {'x' * 100}"} for name in names])
        )
    now = live.view().table.now
    assert len(now.metadata._content) < 2 * 50 * 200 + 70_000 and len(now.alive) <= 150
    assert live.search(np.ones((1, 4), np.float32), 1, f"title = 't7 119 {'x' * 100}'")[0].ids == ["t7"]
    live.close()
