"""The HTTP application: routes, their description, and what is made of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from logging import getLogger
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recbole_decm.errors import DecCMError
from recbole_decm.io.version import __version__
from recbole_decm.serving.api import pages, recommendations, tracks
from recbole_decm.serving.api.description import describe
from recbole_decm.serving.api.gauges import CONTENT_TYPE
from recbole_decm.serving.api.guard import App, Guard
from recbole_decm.serving.api.keys import Keys
from recbole_decm.serving.api.options import allowed_hosts
from recbole_decm.serving.api.problems import MEDIA_TYPE, Problem, of_error
from recbole_decm.serving.api.rate import Buckets
from recbole_decm.serving.api.service import Service

TITLE = "recbole-decm"


def create_app(service: Service, keys: Keys | None = None) -> App:
    """The ASGI application of a service, inside its guard.

    Args:
        keys: None where everybody who reaches the server may do everything.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.warm)
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title=TITLE, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.service = service
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    _operations(app, service)
    for router in (recommendations.router, tracks.router, pages.router):
        app.include_router(router)
    describe(app)
    options = service.options
    return Guard(
        app=app,
        hosts=allowed_hosts(options.host, options.hosts),
        limits=options.limits,
        keys=keys,
        buckets=Buckets(options.limits.rate),
        policy=pages.policy(options.media_origins),
        observe=service.gauges.observe,
    )


def _operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operation"], summary="200 when the server is up")
    async def healthz() -> dict[str, str]:
        return {"status": "up"}

    @app.get("/readyz", tags=["operation"], summary="200 when the catalogue is loaded")
    async def readyz() -> dict[str, Any]:
        return {"status": "ready", "artefact": service.live.version, "tracks": service.live.size}

    @app.get("/metrics", tags=["operation"], summary="Counters and gauges in Prometheus' text format")
    async def metrics() -> Response:
        return Response(await asyncio.to_thread(service.gauges.text), media_type=CONTENT_TYPE)

    @app.get("/v1/artefact", tags=["artefact"], summary="What answers: its model, genres, fields and limits")
    async def artefact() -> dict[str, Any]:
        return service.describe()

    @app.post("/v1/artefact:reload", tags=["artefact"], summary="Take up the artefact that is in the folder now")
    async def reload() -> dict[str, Any]:
        try:
            return await asyncio.to_thread(service.reload)
        except DecCMError as error:
            problem = of_error(error)
            raise Problem(problem.status if problem.status == 503 else 409, problem.detail) from error


# --- errors ---------------------------------------------------------------------------------------------------------
def _answer(request: Request, problem: Problem) -> Response:
    body = problem.body(str(request.scope.get("request_id", "")))
    return Response(body, problem.status, problem.headers(), MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _own(request: Request, error: Exception) -> Response:
    assert isinstance(error, DecCMError)
    return _answer(request, of_error(error))


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = f"{request.method} {request.url.path[:200]}: expected one of the routes of /docs, found no such."
    found = _answer(request, Problem(error.status_code, words if error.status_code in (404, 405) else error.detail))
    for name, value in (error.headers or {}).items():
        found.headers[name] = value
    return found


async def _of_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _answer(request, Problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))


async def _gone(request: Request, error: Exception) -> Response:
    return _answer(request, Problem(400, "body: expected all of it, but the connection ended."))


async def _unexpected(request: Request, error: Exception) -> Response:
    getLogger("recbole_decm.serving").error("request %s", request.scope.get("request_id"), exc_info=error)
    return _answer(request, Problem(500, "expected an answer, but the server has a fault. Its log says which."))


_HANDLERS: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    Problem: _problem,
    DecCMError: _own,
    HTTPException: _of_http,
    RequestValidationError: _of_parameters,
    ClientDisconnect: _gone,
    Exception: _unexpected,
}
