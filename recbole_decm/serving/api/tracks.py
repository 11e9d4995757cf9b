"""``/v1/tracks``: the catalogue as a table that changes. A change that is answered is durable, and in all lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from recbole_decm.serving.api.forms import Batch, NamedTrack, StoredTrack, TrackForm, TrackId, UploadedTrack
from recbole_decm.serving.api.problems import Problem, read_json
from recbole_decm.serving.api.requests import kind_of, require_json, service_of
from recbole_decm.serving.api.uploads import read_form

router = APIRouter(tags=["tracks"])
_TRACK_ID: TypeAdapter[str] = TypeAdapter(TrackId)


@router.put("/v1/tracks/{track_id:path}", summary="Add or replace a track, by its features or its sound")
async def put(track_id: str, request: Request) -> dict[str, str]:
    """Features and metadata as JSON; or `multipart/form-data` with the file `audio` and the JSON field `options`."""
    service, track = service_of(request), _checked(track_id)
    if kind_of(request) == "multipart/form-data":
        files, options = await read_form(request, "audio", 1)
        try:
            await service.put_file(track, files[0], read_json(UploadedTrack, options, "options").metadata)
        finally:
            await request.close()
    else:
        require_json(request)
        form = read_json(TrackForm, await request.body())
        await service.put([NamedTrack.model_construct(track_id=track, features=form.features, metadata=form.metadata)])
    return {"track_id": track}


@router.get("/v1/tracks/{track_id:path}", summary="A track as it is stored", response_model=StoredTrack)
async def get(track_id: str, request: Request) -> Response:
    """Features are null where the track has none of a field."""
    service = service_of(request)
    track = await service.change(service.live.get, _checked(track_id))
    if track is None:
        raise _unknown(track_id)
    features = {name: None if np.isnan(row).any() else row.tolist() for name, row in track.features.items()}
    body = {"track_id": track.id, "features": features, "metadata": track.metadata}
    return Response(to_json(body), media_type="application/json")


@router.delete("/v1/tracks/{track_id:path}", summary="Remove a track", status_code=204)
async def delete(track_id: str, request: Request) -> Response:
    """404 where there is no such track."""
    service = service_of(request)
    removed = await service.change(service.live.delete, [_checked(track_id)])
    if not removed.rows:
        raise _unknown(track_id)
    return Response(status_code=204)


@router.post("/v1/tracks:batch", summary="Add, replace and remove many tracks")
async def batch(request: Request) -> dict[str, Any]:
    """All of `put` is done or none; then `delete`. Ids of no track are passed over."""
    service = service_of(request)
    require_json(request)
    form = read_json(Batch, await request.body())
    most = service.limits.batch
    if len(form.put) + len(form.delete) > most:
        raise Problem(422, f"put, delete: expected at most {most} tracks, found {len(form.put) + len(form.delete)}.")
    if form.put:
        await service.put(form.put)
    removed = (await service.change(service.live.delete, form.delete)).rows if form.delete else 0
    return {"put": len(form.put), "deleted": removed}


def _checked(track_id: str) -> str:
    try:
        return _TRACK_ID.validate_python(track_id)
    except ValidationError:
        raise Problem(
            422,
            f"track id: expected 1 to 200 printable characters without blanks around them, found {track_id[:100]!r}.",
        ) from None


def _unknown(track_id: str) -> Problem:
    return Problem(404, f"track: expected the id of a track that is here, found '{track_id[:100]}'.")
