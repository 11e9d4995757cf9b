"""What OpenAPI says beyond the routes: bodies that are read by hand, problems, keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from recbole_decm.serving.api.forms import (
    Batch,
    ProblemForm,
    Recommendations,
    TrackForm,
    UploadedTrack,
    UploadOptions,
)
from recbole_decm.serving.api.guard import OPEN, needed_role
from recbole_decm.serving.api.problems import MEDIA_TYPE

_REF = "#/components/schemas/{model}"
_STATUSES = {
    "get": (401, 403, 404, 422, 429, 503),
    "put": (400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    "post": (400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    "delete": (401, 403, 404, 422, 429, 503),
}
_JSON: dict[tuple[str, str], type[BaseModel]] = {
    ("/v1/recommendations", "post"): Recommendations,
    ("/v1/tracks/{track_id}", "put"): TrackForm,
    ("/v1/tracks:batch", "post"): Batch,
}
_FILES: dict[tuple[str, str], tuple[str, type[BaseModel] | None, bool]] = {
    ("/v1/features", "post"): ("video", None, True),
    ("/v1/recommendations", "post"): ("video", UploadOptions, True),
    ("/v1/tracks/{track_id}", "put"): ("audio", UploadedTrack, False),
}


def describe(app: FastAPI) -> None:
    """Let ``/openapi.json`` describe all that the routes take and give."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(make())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    paths = schema["paths"]
    schema["paths"] = {path.replace(":path}", "}"): entry for path, entry in paths.items()}
    components = schema.setdefault("components", {})
    known = components.setdefault("schemas", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "A key of --api-keys."}}
    _ref(known, ProblemForm)
    for path, entry in schema["paths"].items():
        for method, operation in entry.items():
            _operation(known, path, method, operation)


def _operation(known: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if path not in OPEN:
        operation["security"] = [{"key": []}, {}]
        operation["description"] = f"{operation.get('description', '')}\n\nRole: {needed_role(method.upper(), path)}."
        for status in _STATUSES[method]:
            problem = {"schema": {"$ref": _REF.format(model="ProblemForm")}}
            responses[str(status)] = {"description": "A problem", "content": {MEDIA_TYPE: problem}}
    content: dict[str, Any] = {}
    if (path, method) in _JSON:
        content["application/json"] = {"schema": _ref(known, _JSON[path, method])}
    if (path, method) in _FILES:
        name, options, several = _FILES[path, method]
        file: dict[str, Any] = {"type": "string", "format": "binary"}
        files = {"type": "array", "items": file, "minItems": 1} if several else file
        fields: dict[str, Any] = {name: files}
        if options is not None:
            schema = _ref(known, options)
            fields["options"] = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
        form = {"type": "object", "required": [name], "properties": fields}
        content["multipart/form-data"] = {"schema": form | {"additionalProperties": False}}
    if content:
        operation["requestBody"] = {"required": True, "content": content}


def _ref(known: dict[str, Any], model: type[BaseModel]) -> dict[str, str]:
    found = model.model_json_schema(ref_template=_REF)
    known.update(found.pop("$defs", {}))
    known[model.__name__] = found
    return {"$ref": _REF.format(model=model.__name__)}
