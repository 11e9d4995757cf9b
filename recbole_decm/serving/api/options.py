"""What a server is started with, and how much one request may ask for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from recbole_decm.errors import ConfigError
from recbole_decm.io.typed import STRICT, Typed

_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class Limits(Typed):
    """How much one request, or one caller, may take.

    Attributes:
        rate: requests a second of each caller, with as many at once; 0 for any number.
        body: bytes of a request without a file.
        upload: bytes of a request with files.
        k: tracks of a list.
        tracks: of all lists of a request.
        explained: videos of a request with explanations, which rank the catalogue twice more.
        batch: videos of a request, or tracks of a change.
        uploads: files of a request.
        seconds: until a request has arrived, and until it is answered.
        waiting: requests that wait for an answer; those beyond are asked to come again.
        decodes: files that are decoded at a time.
        clip_seconds: length of an uploaded clip.
        decode_seconds: of work on one file.
        decode_memory: bytes that a decoder may take.
    """

    rate: Annotated[float, Field(ge=0)] = 1000.0
    body: _Count = 4 << 20
    upload: _Count = 256 << 20
    k: _Count = 1000
    tracks: _Count = 20_000
    explained: _Count = 32
    batch: _Count = 256
    uploads: _Count = 8
    seconds: Annotated[float, Field(gt=0)] = 30.0
    waiting: _Count = 512
    decodes: _Count = 2
    clip_seconds: Annotated[float, Field(gt=0)] = 600.0
    decode_seconds: Annotated[float, Field(gt=0)] = 20.0
    decode_memory: _Count = 1 << 30

    @staticmethod
    def option(field: str) -> str:
        """As the command line has it."""
        return f"--max-{field.replace('_', '-')}" if field != "rate" else "--rate"


@dataclass(frozen=True, config=STRICT)
class ServeOptions(Typed):
    """What the command line says, but for limits and files that are opened elsewhere.

    Attributes:
        hosts: names that requests may be addressed to, beside the addresses of this machine.
        media: folder with files of tracks and of videos for the page.
        media_origins: such as https://cdn.example.org, from which the page may play previews.
        log: file for what was served.
        window: seconds that the gauges look back.
        majority: genre whose share is watched; None for the catalogue's largest.
        popularity: column of the tracks' metadata that says how popular each is.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    hosts: tuple[str, ...] = ()
    media: Path | None = None
    media_origins: tuple[str, ...] = ()
    log: Path | None = None
    window: Annotated[float, Field(gt=0)] = 3600.0
    majority: str | None = None
    popularity: str = "popularity"
    limits: Limits = field(default_factory=Limits)

    @staticmethod
    def option(field: str) -> str:
        """As the command line has it."""
        return {"hosts": "--allowed-host", "media_origins": "--media-origin"}.get(field, f"--{field}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at ``host``.

    Examples:
        >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_keys(host: str, keys: object | None) -> None:
    """Refuse to be reached by others without keys.

    Raises:
        ConfigError: a host that is no loopback address, and no keys.
    """
    if keys is None and not is_loopback(host):
        raise ConfigError(
            f"--host: expected a loopback address such as 127.0.0.1 where there are no keys, found {host}. "
            "Make keys with `recbole-decm api-key FILE --name NAME --role read`, and give them with --api-keys FILE."
        )


def allowed_hosts(host: str, names: Sequence[str]) -> frozenset[str]:
    """The names, in lower case and without a port, that a request may be addressed to; addresses are always allowed."""
    return frozenset({"localhost", host.strip("[]").lower(), *(name.lower() for name in names)})
