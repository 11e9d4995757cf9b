"""The server's socket: taken before anything large is opened, and without delay."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import uvicorn

from recbole_decm.errors import ConfigError
from recbole_decm.serving.api.heads import BoundedHeads
from recbole_decm.serving.api.running import _bound


def test_an_answer_does_not_wait_for_the_clients_acknowledgement():
    """Nagle's algorithm and delayed acknowledgements would add 40 ms to each; asyncio sets it on no socket of ours."""
    with _bound("127.0.0.1", 0) as line, socket.create_connection(line.getsockname()) as _:
        asked, _ = line.accept()
        with asked:
            assert asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_is_taken_is_one_line():
    with _bound("127.0.0.1", 0) as line, pytest.raises(ConfigError, match="--host, --port: expected a free address"):
        _bound(*line.getsockname())


@pytest.fixture
def server():
    """(address) of uvicorn with our heads, over an application that says ok."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    line = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=BoundedHeads, lifespan="off", log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [line]})
    thread.start()
    yield line.getsockname()
    running.should_exit = True
    thread.join()
    line.close()


def test_a_head_that_never_ends_is_cut_off_and_others_go_on(server):
    with socket.create_connection(server) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        sent = 0
        with pytest.raises(OSError):
            for _ in range(400):
                line.sendall(b"A: " + b"x" * 4_000 + b"\r\n")
                sent += 4_000
                time.sleep(0.001)
        assert sent < 1_000_000
    with socket.create_connection(server) as line:  # two requests at once, and a body longer than a head may be
        body = b"x" * 300_000
        line.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body + b"GET / HTTP/1.1\r\nHost:"
        )
        time.sleep(0.05)
        line.sendall(b" a\r\n\r\n")
        line.settimeout(10)
        found = b""
        while found.count(b"ok") < 2:
            part = line.recv(65_536)
            assert part, found
            found += part
        assert found.count(b"200 OK") == 2
