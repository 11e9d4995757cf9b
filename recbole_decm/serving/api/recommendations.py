"""``POST /v1/recommendations``: features or videos in, lists out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from recbole_decm.serving.api.forms import Answer, FeaturesAnswer, Recommendations, UploadOptions
from recbole_decm.serving.api.problems import Problem, read_json
from recbole_decm.serving.api.requests import kind_of, service_of
from recbole_decm.serving.api.uploads import read_form

if TYPE_CHECKING:
    from recbole_decm.serving.api.service import Service

PATH, JSON = "/v1/recommendations", "application/json"
router = APIRouter()


async def by_features(request: Request, service: Service) -> bytes:
    """The answer to a request with features as JSON."""
    return await service.recommend(read_json(Recommendations, await request.body()), request.scope["request_id"])


@router.post(
    PATH,
    tags=["recommendations"],
    summary="The best tracks for videos, by their features or their files",
    response_model=Answer,
)
async def recommend(request: Request) -> Response:
    """Features as JSON; or `multipart/form-data` with one or more files `video` and the JSON field `options`."""
    service, request_id = service_of(request), request.scope["request_id"]
    if kind_of(request) == JSON:
        found = await by_features(request, service)
    elif kind_of(request) == "multipart/form-data":
        files, options = await read_form(request, "video", service.limits.uploads)
        try:
            found = await service.recommend_for(files, read_json(UploadOptions, options, "options"), request_id)
        finally:
            await request.close()
    else:
        raise Problem(
            415, f"Content-Type: expected application/json or multipart/form-data, found '{kind_of(request)[:100]}'."
        )
    return Response(found, media_type=JSON)


@router.post(
    "/v1/features",
    tags=["recommendations"],
    summary="The features of videos, so that several requests can use what was decoded once",
    response_model=FeaturesAnswer,
)
async def features(request: Request) -> Response:
    """`multipart/form-data` with one or more files `video`. A field that a video does not have is left out."""
    service = service_of(request)
    if kind_of(request) != "multipart/form-data":
        raise Problem(415, f"Content-Type: expected multipart/form-data, found '{kind_of(request)[:100]}'.")
    files, _ = await read_form(request, "video", service.limits.uploads)
    try:
        found = await service.features(files)
    finally:
        await request.close()
    return Response(to_json(found), media_type="application/json")
