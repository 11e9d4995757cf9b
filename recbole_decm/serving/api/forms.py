"""What requests hold and answers give, as they are validated and described in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from recbole_decm.serving.filters import LONGEST

Features = dict[str, Annotated[list[float], Field(min_length=1, max_length=1 << 16)]]
Value = str | bool | int | float | None
Probabilities = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=10_000)]


def _readable(track: str) -> str:
    if not track.isprintable() or track != track.strip() or "\ufffd" in track:  # what was no UTF-8 in an address
        raise ValueError("expected a text of printable characters, without blanks around it.")
    return track


def _by_genre(given: Any) -> Any:
    if not isinstance(given, dict) or not given:
        raise PydanticCustomError("expected", "{words}", {"words": "a probability for each genre, as in {'pop': 1.0}"})
    return given


TrackId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]


class Form(BaseModel):
    """Base of what is read: of the types it says, with finite numbers, without keys it does not know."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Video(Form):
    """A video by its features, one list for each field; a field may be left out where the model has several."""

    features: Features
    uploader_prior: Probabilities | None = Field(
        None, description="Genre preferences of its uploader, in the order of the artefact's genres."
    )


class UploadedVideo(Form):
    """What is known of an uploaded video beside its file."""

    uploader_prior: Probabilities | None = None


class Options(Form):
    """How to rank."""

    k: int = Field(10, ge=1, le=1_000_000, description="Tracks of each list.")
    prior: (
        Literal["neutral", "mean", "uploader"]
        | Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(min_length=1), BeforeValidator(_by_genre)]
        | None
    ) = Field(
        None,
        description="neutral: all genres alike; mean: as in training; uploader: uploader_prior, or from history; or "
        "the probability of each genre. By default as the model was trained to rank.",
    )
    history: list[str] | None = Field(None, max_length=10_000, description="Tracks that the uploader has used.")
    filter: str | None = Field(None, max_length=LONGEST, description="Such as: genre in ['pop'] and duration < 60")
    exclude: list[str] = Field(default_factory=list, max_length=10_000, description="Tracks to leave out.")
    diversity: float = Field(0.0, ge=0, le=1, description="Weight of unlikeness to the tracks above, from 0 to 1.")
    max_per: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, max_length=10, description="Column of the metadata -> most tracks with one value of it."
    )
    explain: bool = Field(False, description="Whether to say why each track is where it is.")


class Recommendations(Options):
    """A request for lists."""

    videos: list[Video] = Field(min_length=1)


class UploadOptions(Options):
    """The field ``options`` of an upload; ``videos``, where given, has an entry for each file."""

    videos: list[UploadedVideo] | None = None


class TrackForm(Form):
    """A track that is added or replaced. ``genre``, a name or a list of them, is part of the metadata."""

    features: Features
    metadata: dict[Annotated[str, Field(min_length=1, max_length=100)], Value | list[str | bool | int | float]] = Field(
        default_factory=dict, max_length=200
    )


class UploadedTrack(Form):
    """The field ``options`` of a track that is added by its sound."""

    metadata: dict[Annotated[str, Field(min_length=1, max_length=100)], Value | list[str | bool | int | float]] = Field(
        default_factory=dict, max_length=200
    )


class NamedTrack(TrackForm):
    """A track of a batch."""

    track_id: TrackId


class Batch(Form):
    """Changes that are made in this order: ``put``, then ``delete``."""

    put: list[NamedTrack] = Field(default_factory=list)
    delete: list[TrackId] = Field(default_factory=list)


# --- answers --------------------------------------------------------------------------------------------------------
class Ranks(BaseModel):
    """Places of a track among those that the filter leaves, from 1; before diversity and max_per."""

    served: int
    habit: int | None = Field(None, description="Under the uploader's own preferences, where they are known.")
    neutral: int | None = Field(None, description="Where all genres count alike.")


class Explanation(BaseModel):
    """Why a track is in a list. ``match`` and the sum of ``adjustment`` are the score, where the model adds them."""

    match: float | None = None
    adjustment: dict[str, float] | None = Field(None, description="Genre -> its part of the score.")
    ranks: Ranks
    neighbours: list[dict[str, Any]] | None = Field(None, description="Training videos near this one that used it.")


class Track(BaseModel):
    """A track of a list."""

    track_id: str
    rank: int
    score: float
    metadata: dict[str, Any]
    explanation: Explanation | None = None


class Result(BaseModel):
    """The list of one video."""

    tracks: list[Track]
    prior: dict[str, float] | None = Field(None, description="What the genres counted; with explain alone.")
    habit: dict[str, float] | None = Field(None, description="The uploader's preferences, where known; with explain.")


class Answer(BaseModel):
    """The lists of all videos, in their order, and the artefact that made them."""

    artefact: str
    results: list[Result]


class DecodedVideo(BaseModel):
    """Features of one video by field."""

    features: dict[str, list[float]]


class FeaturesAnswer(BaseModel):
    """Features of the files, in their order, as a request for lists takes them."""

    artefact: str
    videos: list[DecodedVideo]


class StoredTrack(BaseModel):
    """A track as it is stored."""

    track_id: str
    features: dict[str, list[float] | None]
    metadata: dict[str, Any]


class ProblemForm(BaseModel):
    """RFC 9457: what was expected, what was found, what to do."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
