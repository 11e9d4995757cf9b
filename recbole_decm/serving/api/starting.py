"""A server that can be asked from its first moment on: it is up, and not ready until its catalogue is loaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from recbole_decm.serving.api.guard import App, Receive, Scope, Send
from recbole_decm.serving.api.problems import Problem

if TYPE_CHECKING:
    from recbole_decm.serving.api.service import Service

UP = {"status": "up"}


class Starting:
    """An ASGI application that opens a service in a thread, hands requests on from then on, and closes it at the end.

    Args:
        load: opens the service.
        routes: makes its application.
        wait: take no request before it is open, and do not start where it cannot be; otherwise requests are answered
            503 until then.
        ended: called when loading has ended, with the service or with what was raised.
    """

    def __init__(
        self,
        load: Callable[[], Service],
        routes: Callable[[Service], App],
        wait: bool = False,
        ended: Callable[[Service | BaseException], object] = lambda found: None,
    ) -> None:
        self._load, self._routes, self._wait, self._ended = load, routes, wait, ended
        self._app: App | None = None
        self._service: Service | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._open, name="load", daemon=True)

    def _open(self) -> None:
        try:
            service = self._load()
            self._service = service
            service.warm()
            self._app = self._routes(service)
        except BaseException as error:
            self._error = error
            self._ended(error)
        else:
            self._ended(service)

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request, once there is who counts."""
        if self._service is not None:
            self._service.gauges.observe(route, status, seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope.get("path") == "/healthz":
            await JSONResponse(UP)(scope, receive, send)
        else:
            raise Problem(503, "expected a catalogue, which is being loaded. Come again.", 1)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._thread.start()
        if self._wait:
            await asyncio.to_thread(self._thread.join)
            if self._error is not None:
                await asyncio.to_thread(self._close)
                await send({"type": "lifespan.startup.failed", "message": str(self._error)})
                return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    def _close(self) -> None:
        self._thread.join()
        if self._service is not None:
            self._service.close()
