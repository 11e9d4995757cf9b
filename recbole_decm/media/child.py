"""The process that decodes: it has one open file at a time, can open no other and no socket, and can write to none."""

from __future__ import annotations

import gc
import os
import pkgutil
import resource
import socket
from importlib import import_module
from pathlib import Path
from typing import Any

from recbole_decm.media import wire
from recbole_decm.media.decode import decode
from recbole_decm.media.failures import Reason, Unreadable
from recbole_decm.media.wants import Limits, Picture, Sound, Want


class _Damaged(Exception):
    """Several threads may make different things of a damaged clip; one makes always the same."""


def confine(limits: Limits) -> None:
    """Take from this process what decoding does not need, for good."""
    free = os.dup(0)
    os.close(free)
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[0]) if statm.exists() else 0
    for kind, most in (
        (resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + limits.memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, free + 1),  # the clip, and nothing beside it
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _as_want(head: dict[str, Any]) -> Want:
    return Picture(**head) if "size" in head else Sound(**head)


def serve(line: socket.socket, limits: Limits) -> None:
    """Decode one clip after another, as they are sent, until the other side is gone."""
    while True:
        try:
            head, _, files = wire.receive(line, files=1)
        except EOFError:
            return
        wants = [_as_want(want) for want in head["wants"]]
        with open(files[0], "rb", buffering=0) as file:
            try:
                try:
                    _send(line, file, wants, limits, head["threads"])
                except _Damaged:
                    _send(line, file, wants, limits, 1)
            except Unreadable as failure:
                wire.send(line, {"kind": "failure", "reason": failure.reason.value, "detail": failure.detail})
                if failure.reason is Reason.OUT_OF_MEMORY:
                    return
            except BrokenPipeError:  # the reader has had enough
                return
            except Exception as error:
                detail = f"the decoder raised {type(error).__name__}"
                wire.send(line, {"kind": "failure", "reason": Reason.CRASHED.value, "detail": detail})
                return
            else:
                wire.send(line, {"kind": "end"})


def _send(line: socket.socket, file: Any, wants: list[Want], limits: Limits, threads: int) -> None:
    def damaged() -> None:
        if threads > 1:
            raise _Damaged

    wire.send(line, {"kind": "start"})
    for place, block in decode(file, wants, limits, threads, damaged):
        wire.send(line, {"kind": "block", "want": place}, block.data.cast("B"))


def main(line: int, **limits: Any) -> None:
    """Called with the number of the socket that leads to the reader."""
    import av

    av.logging.set_level(av.logging.PANIC)
    for module in pkgutil.walk_packages(av.__path__, "av."):  # those it imports when it meets a stream of their kind
        if not module.name.endswith("__main__"):
            import_module(module.name)
    gc.freeze()  # what was imported lives as long as this process
    gc.set_threshold(20, 2, 2)  # PyAV's frames are in cycles, and each holds its pixels until they are found
    allowed = Limits(**limits)
    with socket.socket(fileno=line) as connection:
        confine(allowed)
        serve(connection, allowed)
