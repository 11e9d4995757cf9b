"""What every request passes first: whose it is, whether it may, how large it is, how long it takes."""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio

from recbole_decm.serving.api.keys import ROLES, Keys, Role
from recbole_decm.serving.api.options import Limits
from recbole_decm.serving.api.problems import MEDIA_TYPE, Problem
from recbole_decm.serving.api.rate import Buckets

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Observe = Callable[[str, int, float], None]

OPEN = frozenset({"/healthz", "/readyz", "/", "/docs", "/openapi.json"})
_OPEN_FOLDER = "/page/"
MOST_HEAD = 1 << 16
"""Bytes of a request's address and headers."""
_SERVER, _COUNT = secrets.token_hex(4), itertools.count()
"""Of which a request's id is made: it is unique, and no secret."""


@dataclass(frozen=True)
class Guard:
    """An ASGI application around another.

    Attributes:
        app: the one inside.
        hosts: names that a request may be addressed to, as of :func:`~.options.allowed_hosts`.
        limits: of size, time and rate.
        keys: None where everybody who reaches the server may do everything.
        policy: Content-Security-Policy of all answers.
        observe: told the route, the status and the seconds of each answer.
    """

    app: App
    hosts: frozenset[str]
    limits: Limits
    keys: Keys | None
    buckets: Buckets
    policy: str
    observe: Observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = f"{_SERVER}{next(_COUNT):08x}", time.perf_counter(), 500
        scope["request_id"] = request_id
        extra = [
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", self.policy.encode()),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"referrer-policy", b"no-referrer"),
        ]

        gone = False

        def leave() -> None:
            nonlocal gone
            gone = True

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if gone:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *extra]
            try:
                await send(message)
            except Exception:  # uvicorn has answered already what it could not read to its end
                leave()

        try:
            headers = _single(scope)
            self._check_address(headers)
            self._check_caller(scope, headers)
            await self.app(scope, self._limited(scope, headers, receive, leave), answer)
        except Problem as problem:
            await send_problem(problem, request_id, answer)
        finally:
            self.observe(_route(scope), status, time.perf_counter() - started)

    def _check_address(self, headers: dict[bytes, bytes]) -> None:
        """Host and Origin: a page elsewhere, whose name leads here, cannot ask in its visitor's name."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = _without_port(host)
        if name not in self.hosts and not _is_address(name):
            raise Problem(
                421,
                f"Host: expected an address or one of {', '.join(sorted(self.hosts))}, found '{host[:100]}'. "
                "Start the server with --allowed-host NAME to be reached by another name.",
            )
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host:
            raise Problem(403, f"Origin: expected this server's page, found '{origin.decode('latin-1')[:100]}'.")
        if headers.get(b"sec-fetch-site") == b"cross-site" and headers.get(b"sec-fetch-mode") != b"navigate":
            raise Problem(403, "Sec-Fetch-Site: expected this server's page, found cross-site.")

    def _check_caller(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """The key and its role, then how often its owner asks."""
        path = scope["path"]
        if path in OPEN or path.startswith(_OPEN_FOLDER):
            return
        caller = (scope.get("client") or ("",))[0]
        if self.keys is not None:
            needed = needed_role(scope["method"], path)
            scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            entry = self.keys.find(key.strip()) if scheme.lower() == "bearer" else None
            if entry is None:
                self._take(f"address {caller}")
                raise Problem(401, "Authorization: expected 'Bearer KEY' with a key of this server, found none.")
            if ROLES.index(entry.role) < ROLES.index(needed):
                raise Problem(403, f"Authorization: expected a key with the role {needed}, found {entry.role}.")
            caller = f"key {entry.name}"
        self._take(caller)

    def _take(self, caller: str) -> None:
        wait = self.buckets.wait(caller)
        if wait:
            raise Problem(429, f"expected at most {self.limits.rate:g} requests a second, found more.", int(wait) + 1)

    def _limited(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, leave: Callable[[], None]
    ) -> Receive:
        """Receives no more than a request may hold, in the time it may take; ``leave`` is told if it breaks off."""
        most = self.limits.upload if takes_files(scope, headers) else self.limits.body
        try:
            told = int(headers.get(b"content-length", b"0"))
        except ValueError:
            raise Problem(400, "Content-Length: expected a number.") from None
        too_large = Problem(413, f"body: expected at most {most} bytes, found more.")
        if told > most:
            raise too_large
        seen, until, whole = 0, time.monotonic() + self.limits.seconds, False

        async def limited() -> MutableMapping[str, Any]:
            nonlocal seen, whole
            if whole:
                return await receive()
            try:
                with anyio.fail_after(max(0.0, until - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise Problem(408, f"body: expected all of it within {self.limits.seconds:g} s.") from None
            if message["type"] == "http.disconnect":
                leave()
                return message
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > most:
                raise too_large
            return message

        return limited


def needed_role(method: str, path: str) -> Role:
    """The least role that may ask for this.

    Examples:
        >>> needed_role("POST", "/v1/recommendations"), needed_role("PUT", "/v1/tracks/a")
        ('read', 'write')
    """
    if path == "/v1/artefact:reload":
        return "admin"
    return "write" if path.startswith("/v1/tracks") and method not in ("GET", "HEAD") else "read"


def takes_files(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a request brings files to a place that takes them."""
    if not headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data"):
        return False
    path = scope["path"]
    return path in ("/v1/recommendations", "/v1/features") or (
        scope["method"] == "PUT" and path.startswith("/v1/tracks/")
    )


async def send_problem(problem: Problem, request_id: str, send: Send) -> None:
    """Answer with a problem."""
    body = problem.body(request_id)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers()}
    if problem.status in (408, 413):
        headers["connection"] = "close"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _single(scope: Scope) -> dict[bytes, bytes]:
    """Headers by name; those that decide something may be given once alone."""
    found: dict[bytes, bytes] = {}
    size = len(scope["path"]) + len(scope.get("query_string", b""))
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in found and name in (b"host", b"origin", b"authorization", b"content-type"):
            raise Problem(400, f"{name.decode('latin-1')}: expected this header once, found it again.")
        found[name] = value
    if size > MOST_HEAD:
        raise Problem(431, f"headers: expected at most {MOST_HEAD} bytes, found {size}.")
    return found


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _route(scope: Scope) -> str:
    """The route as it is written in the description, so that there are few of them."""
    route = scope.get("route")
    return str(getattr(route, "path", "other")) if route is not None else "other"
