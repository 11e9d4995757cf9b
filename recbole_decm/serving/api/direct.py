"""Lists by features past FastAPI, whose steps around a route take longer than all else that is done for one list.

The route stands in FastAPI, too, for its description and for uploads; both call the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request

from recbole_decm.serving.api import recommendations
from recbole_decm.serving.api.failures import problem_of
from recbole_decm.serving.api.guard import App, Receive, Scope, Send
from recbole_decm.serving.api.requests import kind_of
from recbole_decm.serving.api.service import Service


class _Route(NamedTuple):
    """As the guard looks for it, to count answers by route."""

    path: str


_LISTS = _Route(recommendations.PATH)
_HEADERS = ((b"content-type", recommendations.JSON.encode()),)


@dataclass(frozen=True)
class Direct:
    """An ASGI application around another, which answers one kind of request by itself.

    Attributes:
        app: what answers all others.
    """

    app: App
    service: Service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _LISTS.path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if kind_of(request) != recommendations.JSON:
            await self.app(scope, receive, send)
            return
        scope["route"] = _LISTS
        try:
            found = await recommendations.by_features(request, self.service)
        except Exception as error:
            raise problem_of(scope, error) from error
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, _length(found)]})
        await send({"type": "http.response.body", "body": found})


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()
