"""What a request passes first: names, origins, keys and roles, rate, size, time."""

from __future__ import annotations

import asyncio

import pytest
from helpers.service import served

from recbole_decm.serving.api.keys import Keys, add_key
from recbole_decm.serving.api.options import Limits

ASK = {"videos": [{"features": {"visual": [1, 0, 0, 0, 1]}}], "k": 3}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("guard"), hosts=("music.example",)) as (client, _):
        yield client


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("[::1]:8000", 200),
        ("music.example", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_leads_here_from_elsewhere_is_not_answered(client, host, status):
    assert client.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)
def test_another_page_cannot_ask_in_its_visitors_name(client, headers, status):
    assert client.post("/v1/recommendations", json=ASK, headers=headers).status_code == status


def test_a_form_of_another_page_is_no_json(client):
    answer = client.post("/v1/tracks:batch", content=b'{"delete": ["t0"]}', headers={"content-type": "text/plain"})
    assert answer.status_code == 415 and client.get("/v1/tracks/t0").status_code == 200


def test_answers_say_what_may_run_and_carry_an_id(client):
    answer = client.get("/")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"] != client.get("/").headers["x-request-id"]


def test_each_role_may_do_its_own_and_what_is_below(tmp_path):
    path = tmp_path / "keys.json"
    keys = {role: add_key(path, role, role) for role in ("read", "write", "admin")}
    with served(tmp_path, keys=Keys(path)) as (client, _):

        def status(key, method, place, **given):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            return client.request(method, place, headers=headers, **given).status_code

        for key in (None, "wrong", keys["read"][:-1]):
            assert status(key, "POST", "/v1/recommendations", json=ASK) == 401
            assert status(key, "GET", "/metrics") == status(key, "GET", "/v1/artefact") == 401
        assert status(None, "GET", "/healthz") == status(None, "GET", "/readyz") == status(None, "GET", "/") == 200
        assert client.get("/metrics").headers["www-authenticate"] == "Bearer"
        batch = {"json": {"delete": ["none"]}}
        expected = {"read": (200, 403, 403), "write": (200, 200, 403), "admin": (200, 200, 409)}
        for role, (ask, change, reload) in expected.items():
            assert status(keys[role], "POST", "/v1/recommendations", json=ASK) == ask
            assert status(keys[role], "POST", "/v1/tracks:batch", **batch) == change
            assert status(keys[role], "POST", "/v1/artefact:reload") == reload  # 409: no artefact in that folder
        assert client.get("/metrics", headers={"authorization": keys["read"]}).status_code == 401  # no scheme


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path):
    with served(tmp_path, limits=Limits(rate=2.0)) as (client, _):
        found = [client.get("/v1/artefact") for _ in range(4)]
        assert [answer.status_code for answer in found] == [200, 200, 429, 429]
        assert int(found[-1].headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200


def test_a_body_is_no_larger_than_it_may_be_whatever_it_says(tmp_path):
    with served(tmp_path, limits=Limits(body=2000)) as (client, _):
        large = b'{"videos": "' + b"x" * 3000 + b'"}'
        told = client.post("/v1/recommendations", content=large, headers={"content-type": "application/json"})
        parts = (large[at : at + 500] for at in range(0, len(large), 500))
        untold = client.post("/v1/recommendations", content=parts, headers={"content-type": "application/json"})
        assert told.status_code == untold.status_code == 413
        assert client.post("/v1/recommendations", json=ASK).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    with served(tmp_path, limits=Limits(seconds=0.2)) as (client, _):
        sent = []

        async def receive():
            await asyncio.sleep(5)

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"content-length", b"10")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/recommendations",
            "headers": headers,
            "query_string": b"",
        }
        asyncio.run(client.app(scope | {"client": ("127.0.0.1", 1), "raw_path": b"/"}, receive, send))
        assert sent[0]["status"] == 408


def test_long_headers_and_addresses_are_refused(client):
    answer = client.get("/healthz", headers={"a": "x" * 70_000})
    assert answer.status_code == 431 and "headers: expected at most 65536 bytes" in answer.json()["detail"]
    assert client.get(f"/healthz?{'x' * 60_000}", headers={"a": "x" * 10_000}).status_code == 431
