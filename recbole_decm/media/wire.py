"""Messages between a reader and its child: JSON and bytes. Nothing is unpickled: the child may have been taken over."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("!II")
_LONGEST_HEAD = 1 << 16
LONGEST_BODY = 1 << 26


def send(line: socket.socket, head: dict[str, Any], body: bytes | memoryview = b"", file: int | None = None) -> None:
    """Send a message, and an open file with it.

    Args:
        file: number of the open file.
    """
    text = json.dumps(head).encode()
    start = _LENGTHS.pack(len(text), len(body)) + text
    if file is None:
        line.sendall(start)
    else:
        line.sendall(start[socket.send_fds(line, [start], [file]) :])
    line.sendall(body)


def receive(line: socket.socket, files: int = 0) -> tuple[dict[str, Any], bytearray, list[int]]:
    """The next message and the files that came with it.

    Raises:
        EOFError: the other side is gone, or does not keep to the form.
    """
    if files:
        start, descriptors, *_ = socket.recv_fds(line, _LENGTHS.size, files)
    else:
        start, descriptors = line.recv(_LENGTHS.size), []
    start += _exactly(line, _LENGTHS.size - len(start)) if start else b""
    if not start:
        raise EOFError
    head, body = _LENGTHS.unpack(start)
    if head > _LONGEST_HEAD or body > LONGEST_BODY:
        raise EOFError
    return json.loads(_exactly(line, head)), _exactly(line, body), descriptors


def _exactly(line: socket.socket, count: int) -> bytearray:
    found = bytearray(count)
    view = memoryview(found)
    while view:
        got = line.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return found
