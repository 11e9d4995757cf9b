"""From a folder and options to a server that answers, until it is told to end."""

from __future__ import annotations

import ctypes
import gc
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from logging import getLogger
from pathlib import Path

import uvicorn
from threadpoolctl import threadpool_limits

from recbole_decm.errors import ConfigError
from recbole_decm.serving.api.app import guarded, routes
from recbole_decm.serving.api.heads import BoundedHeads
from recbole_decm.serving.api.keys import Keys
from recbole_decm.serving.api.options import ServeOptions, require_keys
from recbole_decm.serving.api.service import Service
from recbole_decm.serving.api.starting import Starting
from recbole_decm.serving.artefact import open_artefact
from recbole_decm.serving.artefact.manifest import read_manifest
from recbole_decm.serving.index import IndexOptions
from recbole_decm.serving.store.live import Live
from recbole_decm.serving.store.opening import open_store

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of mallopt(3)
_OBJECTS = 50_000
"""New objects after which Python looks for cycles."""
_SWITCH = 0.0005
"""Seconds after which a thread lets another one run. The search's thread comes back from numpy while requests are being
read, and each answer would wait for Python's 5 ms."""


def open_catalogue(folder: Path, url: str | None = None, index: str = "exact") -> Live:
    """The catalogue of a store.

    The artefact of the folder answers where the store is the folder's own, or has not had it yet. A store that others
    share may have gone on to another version, and a server that is started again does not take that back.

    Args:
        url: of the store; None for the folder's own.
        index: exact, or the kind of an index for large catalogues.

    Raises:
        DecCMError: the artefact or the store cannot be used.
    """
    version = read_manifest(folder).id
    store = open_store(url or default_store(folder))
    try:
        new = version not in [entry.id for entry in store.versions()]
        if new:
            store.publish(open_artefact(folder))
        if (new or url is None) and store.active() != version:
            store.activate(version)
        if (active := store.active()) != version:
            getLogger(__name__).warning(f"{active} answers, not {version} of {folder}: the store was switched to it.")
        return Live(store, index=None if index == "exact" else IndexOptions(index))
    except BaseException:
        store.close()
        raise


def default_store(folder: Path) -> str:
    """Where a catalogue is kept that nobody gave a place: beside its artefact."""
    return f"sqlite:///{folder.resolve()}.db"


def serve(
    folder: Path,
    options: ServeOptions,
    url: str | None = None,
    keys: Path | None = None,
    threads: int = 1,
    index: str = "exact",
    tell: Callable[[str], object] = lambda line: None,
) -> None:
    """Serve the artefact of a folder until SIGTERM or SIGINT; what is being answered then is answered.

    The server is up at once, and ready when the catalogue is loaded; until then requests get 503.

    Args:
        url: of the store; None for one beside the folder.
        keys: file of the keys.
        threads: of a product of matrices. Requests that come together share one, so one thread serves hundreds a
            second, and leaves the other cores to what reads requests and decodes uploads.
        index: as of :func:`open_catalogue`.
        tell: told where the server is, once it is ready.

    Raises:
        DecCMError: it cannot start.
    """
    found = None if keys is None else Keys(keys)
    require_keys(options.host, found)
    line = _bound(options.host, options.port)
    failed: list[BaseException] = []
    _return_large_arrays()

    def load() -> Service:
        service = Service(open_catalogue(folder, url, index), folder, options)
        threadpool_limits(limits=threads)
        sys.setswitchinterval(_SWITCH)
        _settle()
        return service

    def ended(loaded: Service | BaseException) -> None:
        if isinstance(loaded, BaseException):
            failed.append(loaded)
            server.should_exit = True
            return
        host = f"[{options.host}]" if ":" in options.host else options.host
        address, place = f"http://{host}:{line.getsockname()[1]}", _without_password(url or default_store(folder))
        tell(f"{loaded.live.size} tracks of {loaded.live.version} at {address}/ (kept in {place})")

    app = Starting(load, routes, ended=ended)
    config = uvicorn.Config(
        guarded(app, options, found, app.observe),
        lifespan="on",
        http=BoundedHeads,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(3 * options.limits.seconds) + 2,  # to read, to decode, and to rank
    )
    server = uvicorn.Server(config)
    with line, suppress(KeyboardInterrupt):  # uvicorn has ended in peace, and passes the signal on
        server.run(sockets=[line])
    if failed:
        raise failed[0]


def _return_large_arrays() -> None:
    """Let arrays from 8 MB on go back to the system when they are freed, as glibc does until it has seen some go."""
    with suppress(OSError, AttributeError):  # a system without glibc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, 8 << 20)
        libc.mallopt(_ARENA_MAX, 1)  # what one thread frees another one takes: Python runs one at a time


def _settle() -> None:
    """Give back the memory that loading took, and let no later collection walk through what stays.

    Requests leave no cycles behind, so collections can be rare; every 700 objects they took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS)
    with suppress(OSError, AttributeError):  # a system without glibc keeps it for itself
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _bound(host: str, port: int) -> socket.socket:
    """A socket at an address, before anything large is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        line = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or a body waits 40 ms for an ACK
        return line
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host, --port: expected a free address, but {host}:{port}: {words}.") from error


def _without_password(url: str) -> str:
    start, at, rest = url.rpartition("@")
    scheme, slashes, user = start.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}@{rest}" if at else url
