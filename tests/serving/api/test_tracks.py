"""The catalogue as a table that changes: what is answered is in the next list."""

from __future__ import annotations

import threading

import pytest
from helpers.genre_artefact import ACOUSTIC
from helpers.service import served

from recbole_decm.errors import StoreUnavailable
from recbole_decm.serving.api.options import Limits

ASK = {"videos": [{"features": {"visual": [1.0, 0, 0, 0, 1.0]}}], "k": 100}
FEATURES = {"acoustic": [0.5] * ACOUSTIC}


@pytest.fixture
def client(tmp_path):
    with served(tmp_path) as (client, _):
        yield client


def listed(client):
    found = client.post("/v1/recommendations", json=ASK).json()
    return {track["track_id"]: track["metadata"] for track in found["results"][0]["tracks"]}


def test_a_track_is_added_replaced_and_removed(client):
    metadata = {"genre": "g1", "title": "Ünïcode / & <b>", "bpm": 120, "live": True, "tags": ["a", "b"]}
    assert client.put("/v1/tracks/new", json={"features": FEATURES, "metadata": metadata}).json() == {"track_id": "new"}
    assert listed(client)["new"] == metadata
    stored = client.get("/v1/tracks/new").json()
    assert stored == {"track_id": "new", "features": FEATURES, "metadata": metadata}
    client.put("/v1/tracks/new", json={"features": FEATURES, "metadata": {"genre": "g2"}})
    assert listed(client)["new"] == {"genre": "g2"} and len(listed(client)) == 31
    assert client.delete("/v1/tracks/new").status_code == 204
    assert "new" not in listed(client)
    assert client.delete("/v1/tracks/new").status_code == client.get("/v1/tracks/new").status_code == 404


def test_ids_may_have_slashes_and_other_letters_but_no_control_characters(client):
    for name in ("a/b", "Ä ö", "..", "'; drop table tracks; --"):
        answer = client.put(f"/v1/tracks/{_quoted(name)}", json={"features": FEATURES})
        assert answer.json() == {"track_id": name}, name
        assert client.get(f"/v1/tracks/{_quoted(name)}").json()["track_id"] == name
    for name in ("a%00b", "a%0Ab", "%20a", "x" * 201, ""):
        assert client.put(f"/v1/tracks/{name}", json={"features": FEATURES}).status_code in (404, 422), name


def _quoted(name):
    from urllib.parse import quote

    return quote(name, safe="").replace("..", "%2E%2E")


def test_a_batch_puts_all_or_none_and_then_deletes(client):
    put = [{"track_id": f"n{at}", "features": FEATURES, "metadata": {"genre": ["g0", "g2"]}} for at in range(3)]
    answer = client.post("/v1/tracks:batch", json={"put": put, "delete": ["t0", "n1", "nothing"]})
    assert answer.json() == {"put": 3, "deleted": 2}
    assert set(listed(client)) == ({f"t{at}" for at in range(30)} | {"n0", "n2"}) - {"t0"}
    bad = [*put[:1], {"track_id": "n9", "features": {"acoustic": [1.0]}, "metadata": {}}]
    answer = client.post("/v1/tracks:batch", json={"put": bad, "delete": ["t1"]})
    assert answer.status_code == 422 and "expected 6 numbers, found 1" in answer.json()["detail"]
    assert "t1" in listed(client)


@pytest.mark.parametrize(
    "value, words",
    [
        ({"b": 1}, "metadata.a: expected a text or True or False or a whole number or a number or a list, found {'b'"),
        ([1, None], "metadata.a, entry 2: expected a text or True or False or a whole number or a number, found None."),
    ],
)
def test_a_value_of_another_kind_is_told_all_kinds(client, value, words):
    assert words in client.put("/v1/tracks/new", json={"features": FEATURES, "metadata": {"a": value}}).json()["detail"]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"features": {}},
        {"features": {"other": [1.0]}},
        {"features": {"acoustic": [1.0] * 7}},
        {"features": FEATURES, "metadata": {"a": {"b": 1}}},
        {"features": FEATURES, "metadata": {"": 1}},
        {"features": FEATURES, "metadata": {"a": [["b"]]}},
        {"features": FEATURES, "metadata": {"a": "x" * 100_000}},
    ],
)
def test_what_no_catalogue_can_keep_is_refused(client, form):
    answer = client.put("/v1/tracks/new", json=form)
    assert answer.status_code == 422 and "expected" in answer.json()["detail"], answer.text
    assert client.get("/v1/tracks/new").status_code == 404


def test_a_change_is_no_larger_than_it_may_be(tmp_path):
    with served(tmp_path, limits=Limits(batch=2)) as (client, _):
        answer = client.post("/v1/tracks:batch", json={"delete": ["a", "b", "c"]})
        assert answer.status_code == 422 and "at most 2" in answer.json()["detail"]


def test_a_store_that_is_away_says_when_to_come_again(tmp_path, monkeypatch):
    with served(tmp_path) as (client, service):

        def away(*_):
            raise StoreUnavailable("the store: expected an answer, found none.")

        for name in ("put", "delete", "get"):
            monkeypatch.setattr(service.live, name, away)
        answers = [
            client.put("/v1/tracks/a", json={"features": FEATURES}),
            client.delete("/v1/tracks/t0"),
            client.get("/v1/tracks/t0"),
            client.post("/v1/tracks:batch", json={"delete": ["t0"]}),
        ]
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert len(listed(client)) == 30


def test_a_batch_with_an_id_that_is_none_changes_nothing(client):
    before = listed(client)
    batch = {"put": [{"track_id": "new", "features": FEATURES}], "delete": ["a\nb"]}
    assert client.post("/v1/tracks:batch", json=batch).status_code == 422
    assert listed(client) == before


def test_a_store_that_hangs_is_503_and_what_waits_for_it_is_let_go(tmp_path, monkeypatch):
    with served(tmp_path, limits=Limits(seconds=0.3)) as (client, service):
        hung, interrupted = threading.Event(), []
        monkeypatch.setattr(service.live, "put", lambda tracks: hung.wait(10))
        monkeypatch.setattr(service.live.store, "interrupt", lambda thread: (interrupted.append(thread), hung.set()))
        answer = client.put("/v1/tracks/new", json={"features": FEATURES})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "an answer of the store within 0.3 s" in answer.json()["detail"]
        assert len(interrupted) == 1 and interrupted[0] != threading.get_ident()
        assert client.get("/v1/tracks/t0").status_code == 200
