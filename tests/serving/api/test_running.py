"""The server's socket: taken before anything large is opened, and without delay."""

from __future__ import annotations

import socket

import pytest

from recbole_decm.errors import ConfigError
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
