"""``manifest.json``: what an artefact is, and digests of its files.

Reading policy: a reader of ``format_version`` n reads all versions up to n, and refuses a newer one. The digests find
damage, not forgery: whoever can change a file can change its digest, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from recbole_decm.errors import DataError
from recbole_decm.io.digest import of_values
from recbole_decm.io.typed import Strict, complaint
from recbole_decm.serving.artefact.files import read_at_most, regular

FORMAT_VERSION = 1
FILE = "manifest.json"
QUERY, TRACK, WEIGHTS, TABLE, VECTORS = (
    "query.onnx",
    "track.onnx",
    "weights.safetensors",
    "tracks.parquet",
    "vectors.npy",
)
NEIGHBOURS = "neighbours.npz"
POPULARITY = "popularity"
"""Column of the tracks: training pairs of each."""
LARGEST = 1 << 24
"""Bytes of a manifest."""
PRIOR, GENRES = "P(k)", "genres(k)"
"""What sides call their last input, (n, K); no field can have such a name."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", max_length=200)]
Positive = Annotated[int, Field(ge=1)]


class Manifest(Strict):
    """What an artefact is.

    Attributes:
        id: its name in answers, a digest of all else.
        package: the version of recbole-decm that wrote it.
        settings: of the model.
        genres: names of the K genre groups, in the order of priors; empty where the model knows none.
        video_fields, track_fields: field -> F, in the order of the inputs of ``query.onnx`` and ``track.onnx``.
        dim: E of a vector; match_dim: its first dimensions, whose products are the match where ``additive``.
        takes_priors: whether ``query.onnx`` takes P(k) of each video; reads_genres: ``track.onnx`` the genres.
        additive: whether dimension ``match_dim`` + k is what genre k adds to the score.
        priors: the mean of the training uploaders' preferences.
        inference_prior: what the model ranks under unless another prior is asked for.
        ranks_by_uploader: whether that is each uploader's own.
        why_no_prior_changes: why no prior can change a ranking; None where one can.
        smoothing: tracks of each genre that an uploader's history starts with.
        features: the cards of the features (``features.json``); None where they are not known.
        tracks: how many there are.
        checkpoint: digest of the weights; data: of the training data, None where the checkpoint does not say.
        files: name -> digest.
    """

    format: Literal["recbole-decm artefact"] = "recbole-decm artefact"
    format_version: int = FORMAT_VERSION
    id: str
    package: str
    model: str
    settings: dict[str, Any]
    genres: list[str]
    video_fields: dict[Name, Positive]
    track_fields: dict[Name, Positive]
    dim: Positive
    match_dim: Positive
    takes_priors: bool
    reads_genres: bool
    additive: bool
    priors: list[float] | None = None
    inference_prior: str | list[float] | None = None
    ranks_by_uploader: bool
    why_no_prior_changes: str | None = None
    smoothing: Annotated[float, Field(gt=0)]
    features: dict[str, Any] | None = None
    tracks: Annotated[int, Field(ge=0)]
    checkpoint: str
    data: str | None = None
    files: dict[Name, str]


def with_id(values: dict[str, Any]) -> Manifest:
    """A manifest whose id is made of all else."""
    return Manifest.model_validate({"id": of_values(values), **values})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an artefact.

    Raises:
        DataError: no artefact, of a newer version, or damaged.
    """
    try:
        (folder / FILE).stat()
        content = read_at_most(regular(folder, FILE), LARGEST)
    except OSError as error:
        raise _no_artefact(folder, error) from error
    return parse_manifest(folder, content)


def _no_artefact(folder: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__
    return DataError(f"{folder}: expected an artefact, written by recbole-decm export, but {FILE}: {reason}.")


def parse_manifest(folder: Path, content: bytes) -> Manifest:
    """As of :func:`read_manifest`, for the content of the file; ``folder`` is what the messages name."""
    path = folder / FILE
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_artefact(folder, error) from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise DataError(
            f"{path}: expected format_version {FORMAT_VERSION} or older, found {version}. Update recbole-decm."
        )
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        raise DataError(f"{path}: {complaint(error)}") from error
    if manifest.id != of_values({key: value for key, value in values.items() if key != "id"}):
        raise DataError(f"{path}: expected what was written, found other values: damaged. Export it again.")
    return manifest
