"""The HTTP application: routes and their description, inside a guard."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recbole_decm.errors import DecCMError
from recbole_decm.io.version import __version__
from recbole_decm.serving.api import pages, recommendations, tracks
from recbole_decm.serving.api.description import describe
from recbole_decm.serving.api.direct import Direct
from recbole_decm.serving.api.failures import problem_of
from recbole_decm.serving.api.gauges import CONTENT_TYPE
from recbole_decm.serving.api.guard import App, Guard, Observe
from recbole_decm.serving.api.keys import Keys
from recbole_decm.serving.api.options import ServeOptions, allowed_hosts
from recbole_decm.serving.api.problems import MEDIA_TYPE, Problem, of_error
from recbole_decm.serving.api.rate import Buckets
from recbole_decm.serving.api.service import Service
from recbole_decm.serving.api.starting import UP, Starting

TITLE = "recbole-decm"


def create_app(service: Service, keys: Keys | None = None) -> App:
    """The ASGI application of a service, inside its guard; it closes the service when it ends.

    Args:
        keys: None where everybody who reaches the server may do everything.
    """
    app = Starting(lambda: service, routes, wait=True)
    return guarded(app, service.options, keys, app.observe)


def guarded(app: App, options: ServeOptions, keys: Keys | None, observe: Observe) -> App:
    """An application inside a guard of these options."""
    return Guard(
        app=app,
        hosts=allowed_hosts(options.host, options.hosts),
        limits=options.limits,
        keys=keys,
        buckets=Buckets(options.limits.rate),
        policy=pages.policy(options.media_origins),
        observe=observe,
    )


def routes(service: Service) -> App:
    """The routes of a service."""
    app = FastAPI(title=TITLE, version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    for kind in (Problem, DecCMError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _answer)
    _operations(app, service)
    for router in (recommendations.router, tracks.router, pages.router):
        app.include_router(router)
    describe(app)
    return Direct(app, service)


def _operations(app: FastAPI, service: Service) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=["operation"], summary="200 when the server is up")
    async def healthz() -> dict[str, str]:
        return UP

    @app.head("/readyz", include_in_schema=False)
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


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(request.scope, error)
    found = Response(problem.body(request.scope["request_id"]), problem.status, problem.headers(), MEDIA_TYPE)
    if isinstance(error, HTTPException):
        found.headers.update(error.headers or {})
    return found
