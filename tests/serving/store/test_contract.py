"""What every store promises, each of them asked the same."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.linear_artefact import artefact, tracks

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.serving.store import open_store


def test_a_track_comes_back_as_it_was_put(store):
    given = tracks(["a", "é'; DROP TABLE tracks; --"], metadata=[{"genre": ["pop"], "year": 1999, "live": True}, {}])
    assert store.put(given) == (2, 2)
    for at, track in enumerate(given.ids):
        found = store.get(track)
        np.testing.assert_array_equal(found.features["acoustic"], given.features["acoustic"][at])
        assert found.metadata == given.metadata[at]
    assert store.get("b") is None and store.count() == 2


def test_a_put_replaces_and_a_deletion_is_told(store):
    store.put(tracks(["a", "b", "c"], 1))
    assert store.put(tracks(["b"], 2)) == (4, 1)
    assert store.delete(["a", "x", "a"]) == (5, 1)
    seen = store.changes(0)
    assert (seen.ids, seen.seqs.tolist(), seen.seq, seen.more) == (["c", "b", "a"], [3, 4, 5], 5, False)
    assert [text is None for text in seen.metadata] == [False, False, True]
    assert store.changes(4).ids == ["a"] and store.changes(5).ids == []
    page = store.changes(0, limit=2)
    assert (page.ids, page.seq, page.more) == (["c", "b"], 4, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tracks(["a", "a"]), "expected each id once, found 'a'"),
        (tracks([""]), "expected 1 to 256 characters"),
        (tracks(["a\0"]), "without control characters"),
        (tracks(["a\ud800"]), "without control characters"),
        (tracks(["a"], metadata=[{"x": "\0"}]), "without the character 0"),
        (tracks(["a"], metadata=[{"x": "\ud800"}]), "half a character"),
        (tracks(["a"], metadata=[{"x": float("inf")}]), "infinite"),
        (tracks(["a"], metadata=[{"x": 10**400}]), "below 1e308"),
        (tracks(["a"], metadata=[{"x": "y" * 70_000}]), "at most 65536 bytes"),
        (tracks(["a"], metadata=[{"x": [1] * 2_000}]), "at most 1000 values in 'x'"),
        (tracks(["a"], metadata=[{f"x{at}": 1 for at in range(300)}]), "at most 256 columns"),
        (tracks(["a"], metadata=[{"bpm": "fast"}]), "expected a number in 'bpm'"),
        (tracks(["a"], metadata=[{}, {}]), "expected metadata of 1 tracks, found 2"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(store, given, message):
    store.put(tracks(["before"], metadata=[{"bpm": 90}]))
    with pytest.raises(DataError, match=message):
        store.put(given)
    assert store.changes(0).ids == ["before"] and store.count() == 1


def test_the_first_artefact_brings_its_tracks_and_answers(store):
    store.publish(artefact("one", count=5))
    assert store.active() == "one" and store.count() == 5
    page = store.changes(0, "one")
    np.testing.assert_array_equal(np.frombuffer(b"".join(page.vectors), np.float32).reshape(5, 4)[2], vector_of("t2"))
    assert store.files("one")["name.json"] == b'"one"'


def vector_of(track: str) -> np.ndarray:
    made = artefact("one", count=5)
    return made.vectors[made.tracks.ids.tolist().index(track)]


def test_a_later_artefact_leaves_the_catalogue_as_it_is(store):
    store.publish(artefact("one", count=3))
    store.put(tracks(["t0", "own"], 7))
    store.delete(["t1"])
    own = store.get("t0")
    store.publish(artefact("two", 1, count=5))
    assert store.active() == "one" and [version.id for version in store.versions()] == ["one", "two"]
    found = store.get("t0")
    np.testing.assert_array_equal(found.features["acoustic"], own.features["acoustic"])
    assert store.get("t1") is None and store.get("own") and store.get("t4") and store.count() == 5


def test_replace_makes_the_artefacts_tracks_the_catalogue(store):
    store.publish(artefact("one", count=3))
    store.put(tracks(["t0", "own"], 7))
    made = artefact("two", 1, count=2)
    store.publish(made, replace=True)
    assert store.count() == 2 and store.get("own") is None and store.get("t2") is None
    np.testing.assert_array_equal(store.get("t0").features["acoustic"], made.tracks.features["acoustic"][0])


def test_an_artefact_that_cannot_encode_the_tracks_is_refused_and_leaves_nothing(store):
    store.publish(artefact("one", count=3))
    with pytest.raises(DataError, match=r"expected tracks with the features acoustic \(8 numbers\).*--replace"):
        store.publish(artefact("two", count=5, width=8))
    assert [version.id for version in store.versions()] == ["one"] and store.count() == 3
    store.publish(artefact("two", count=5, width=8), replace=True)
    assert store.count() == 5


def test_versions_are_activated_and_forgotten(store):
    for name in ("one", "two"):
        store.publish(artefact(name, count=2))
    store.activate("two")
    assert store.active() == "two"
    with pytest.raises(ConfigError, match=r"expected one that was published \(one, two\), found 'tow'. Did you mean"):
        store.activate("tow")
    with pytest.raises(ConfigError, match="found the active 'two'"):
        store.forget("two")
    store.forget("one")
    assert [version.id for version in store.versions()] == ["two"]
    assert store.changes(0, "two").vectors == [None, None]  # those of "one" alone came with the tracks


def test_vectors_are_kept_for_rows_that_are_still_there(store):
    store.publish(artefact("one", count=2))
    store.put(tracks(["a", "b"], 1))
    seqs = store.changes(2).seqs
    store.put(tracks(["a"], 2))
    store.keep_vectors("one", seqs, np.ones((2, 4), np.float32))
    page = store.changes(2, "one")
    assert page.ids == ["b", "a"] and page.vectors == [np.ones(4, np.float32).tobytes(), None]
    assert store.features(seqs)[0].tolist() == seqs[1:].tolist()


def test_another_handle_sees_each_change(store, url):
    other = open_store(url)
    try:
        store.put(tracks(["a"]))
        assert other.state() == (1, None) and other.get("a")
        other.delete(["a"])
        assert store.get("a") is None
    finally:
        other.close()


CARD = {"extractor": "a", "version": 1, "sampling": {"rate": 8}, "window": "mean", "dimension": 6, "licence": "MIT"}


def made_by(name: str, **card) -> object:
    """An artefact that says how its features are made."""
    made = artefact(name, count=2)
    made.manifest.features = {"format_version": 1, "fields": {"acoustic": {**CARD, **card}}}
    return made


def test_an_artefact_whose_features_something_else_makes_is_refused(store):
    store.publish(made_by("one"))
    store.put(tracks(["own"], 7), ("one", np.zeros((1, 4))))
    store.publish(made_by("two", licence="other"))  # no number depends on it
    with pytest.raises(DataError, match=r"made as its own, found sampling rate: 16, 8 \(its own first\).*--replace"):
        store.publish(made_by("three", sampling={"rate": 16}))
    assert [version.id for version in store.versions()] == ["one", "two"]
    store.publish(artefact("four"))  # it does not say
    store.publish(made_by("three", sampling={"rate": 16}), replace=True)
    assert store.get("own") is None
