"""A server is up at once and ready when its catalogue is loaded; where it cannot be loaded, the server ends."""

from __future__ import annotations

import asyncio
import threading

import pytest
from helpers.service import build
from starlette.testclient import TestClient

from recbole_decm.errors import ConfigError
from recbole_decm.serving.api.app import guarded, routes
from recbole_decm.serving.api.options import ServeOptions
from recbole_decm.serving.api.starting import Starting

ASK = {"videos": [{"features": {"visual": [0.5] * 5}}], "k": 3}


@pytest.fixture
def starting(tmp_path):
    """(client, event that lets it load, event of its end)"""
    _, service = build(tmp_path)
    go, loaded = threading.Event(), threading.Event()

    def load():
        go.wait(10)
        return service

    app = Starting(load, routes, ended=lambda found: loaded.set())
    guard = guarded(app, ServeOptions(), None, app.observe)
    with TestClient(guard, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client, go, loaded
        go.set()


def test_requests_are_told_to_come_again_until_the_catalogue_is_loaded(starting):
    client, go, loaded = starting
    assert client.get("/healthz").json() == {"status": "up"}
    for answer in (client.get("/readyz"), client.post("/v1/recommendations", json=ASK), client.get("/")):
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        assert "is being loaded" in answer.json()["detail"]
    go.set()
    assert loaded.wait(10)
    assert client.get("/readyz").json()["status"] == "ready"
    assert client.get("/healthz").json() == {"status": "up"}
    assert 'route="/v1/recommendations"' not in client.get("/metrics").text  # counted once there is who counts
    assert client.post("/v1/recommendations", json=ASK).status_code == 200
    assert 'decm_requests_total{route="/v1/recommendations",status="200"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("wait", [False, True])
def test_what_keeps_it_from_loading_is_told_and_who_waits_for_it_does_not_start(wait):
    error, ended, done = ConfigError("no catalogue"), [], threading.Event()

    def load():
        raise error

    def end(found):
        ended.append(found)
        done.set()

    app = Starting(load, routes, wait=wait, ended=end)
    said = []

    async def live():
        messages = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive():
            return {"type": next(messages)}

        async def send(message):
            said.append(message)

        await app({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    assert done.wait(10) and ended == [error]
    kinds = [message["type"] for message in said]
    assert kinds == (
        ["lifespan.startup.failed"] if wait else ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    )
