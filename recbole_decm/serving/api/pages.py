"""The page at ``/``, the readable description at ``/docs``, and the files of ``--media`` that the page plays."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from recbole_decm.serving.api.players import TYPES
from recbole_decm.serving.api.problems import Problem
from recbole_decm.serving.api.requests import service_of

router = APIRouter(tags=["page"])
_FOLDER = files("recbole_decm.serving.api") / "page"
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
ASSETS = ("page.css", "docs.js", "page.js", "bars.js", "client.js", "tracks.js")


def policy(media_origins: Sequence[str] = ()) -> str:
    """Content-Security-Policy of all answers: nothing but this server's own files runs, loads or is asked.

    Args:
        media_origins: from which previews may be played, too.
    """
    media = " ".join(["'self'", "blob:", *media_origins])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        f"media-src {media}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page to try it."""
    return _asset("index.html")


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The description, to read."""
    return _asset("docs.html")


@router.get("/page/{name}", include_in_schema=False)
async def asset(name: str) -> Response:
    """A file of the two pages."""
    if name not in ASSETS:
        raise Problem(404, f"expected one of {', '.join(ASSETS)}, found '{name[:100]}'.")
    return _asset(name)


@router.get("/v1/media", summary="What there is to play: videos to try, and which tracks have a file")
async def media(request: Request) -> dict[str, Any]:
    """Each video with the tracks that its uploader has used, where that is known."""
    service = service_of(request)
    videos = [{"name": demo.name, "history": list(demo.history)} for demo in service.players.videos.values()]
    return {"videos": videos, "tracks": bool(service.players.tracks), "origins": list(service.options.media_origins)}


@router.get("/v1/media/videos/{name:path}", summary="The file of a video to try", response_class=Response)
async def video(name: str, request: Request) -> Response:
    """With ranges, as players ask for them."""
    found = service_of(request).players.videos.get(name)
    return _file(None if found is None else found.path, name)


@router.get("/v1/media/tracks/{track_id:path}", summary="The file of a track", response_class=Response)
async def track(track_id: str, request: Request) -> Response:
    """With ranges, as players ask for them."""
    return _file(service_of(request).players.tracks.get(track_id), track_id)


def _asset(name: str) -> Response:
    content = (_FOLDER / name).read_bytes()
    kind = _KINDS[name.rpartition(".")[2]]
    return Response(content, media_type=f"{kind}; charset=utf-8", headers={"cache-control": "no-cache"})


def _file(path: Path | None, name: str) -> Response:
    if path is None or not path.is_file():
        raise Problem(404, f"media: expected the name of a file that was there at the start, found '{name[:100]}'.")
    return FileResponse(path, media_type=TYPES[path.suffix.lower()], headers={"cache-control": "private, max-age=600"})
