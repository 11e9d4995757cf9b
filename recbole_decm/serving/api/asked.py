"""A request as arrays: features by field, and what each genre counts for each video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_decm.serving.api.diversity import values_of
from recbole_decm.serving.api.forms import Options
from recbole_decm.serving.api.problems import Problem
from recbole_decm.serving.filters import Filter

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact


@dataclass(frozen=True)
class Asked:
    """Lists that are asked for.

    Attributes:
        options: how to rank.
        features: field -> (B, F) float32; a row of NaN where a video does not have the field.
        preferences: of each video's uploader, None where they are not given.
        where: the filter, read; exclude: ids that are left out.
    """

    options: Options
    features: Mapping[str, np.ndarray]
    preferences: Sequence[Sequence[float] | None]
    where: Filter | None
    exclude: frozenset[str]

    @classmethod
    def of(
        cls, options: Options, features: Mapping[str, np.ndarray], preferences: Sequence[Sequence[float] | None]
    ) -> Asked:
        """Read the filter of a request.

        Raises:
            ConfigError: it is not of the grammar.
        """
        where = None if options.filter is None else Filter.parse(options.filter)
        return cls(options, features, preferences, where, frozenset(options.exclude))

    def __len__(self) -> int:
        return len(self.preferences)


@dataclass(frozen=True)
class Priors:
    """What the genres count.

    Attributes:
        kind: neutral, mean, uploader or given.
        used: (B, K) that the ranking is made with; None for a model without.
        habit: (B, K) of the uploaders, rows of NaN where they are not known; None where none is.
    """

    kind: str
    used: np.ndarray | None
    habit: np.ndarray | None


def stack(
    videos: Sequence[Mapping[str, Sequence[float]]], fields: Mapping[str, int], what: str
) -> dict[str, np.ndarray]:
    """Features of videos, or of tracks, as matrices.

    Args:
        videos: field -> values, of each.
        fields: field -> F, of the model.
        what: they are called, for the message.

    Returns:
        field -> (B, F) float32; a row of NaN where a field is missing.

    Raises:
        Problem: 422, an unknown field, another width, numbers that are no finite 32-bit floats, none of the fields.
    """
    for place, features in enumerate(videos):
        where = f"{what}, entry {place + 1}"
        if not features:
            raise Problem(422, f"{where}: expected at least one of the fields {', '.join(fields)}, found none.")
        for name, values in features.items():
            if name not in fields:
                raise Problem(422, f"{where}: expected the fields {', '.join(fields)}, found '{name[:100]}'.")
            if len(values) != fields[name]:
                raise Problem(422, f"{where}.{name}: expected {fields[name]} numbers, found {len(values)}.")
    with np.errstate(over="ignore"):
        found = {
            name: np.array([features.get(name) or [np.nan] * dim for features in videos], np.float32).reshape(-1, dim)
            for name, dim in fields.items()
        }
    for name, matrix in found.items():
        if np.isinf(matrix).any():
            place = int(np.flatnonzero(np.isinf(matrix).any(axis=1))[0])
            raise Problem(422, f"{what}, entry {place + 1}.{name}: expected 32-bit floats, found a number beyond them.")
    return found


MetadataOf = Callable[[Sequence[str]], Sequence[Mapping[str, Any] | None]]


def priors_of(artefact: Artefact, asked: Asked, metadata_of: MetadataOf) -> Priors:
    """What the genres count for each video of a request.

    Args:
        metadata_of: ids of tracks -> the metadata of each, for a history; tracks that are not there are left out.

    Raises:
        Problem: 422, a prior that the artefact does not know, or the uploader's without any.
    """
    manifest, kind = artefact.manifest, asked.options.prior
    habit = _habit(artefact, asked, metadata_of) if manifest.genres else None
    if not manifest.takes_priors:
        if kind is not None:
            reason = manifest.why_no_prior_changes or f"{manifest.model} as it was trained has no genre prior."
            raise Problem(422, f"prior: expected none. {reason}")
        return Priors("none", None, habit)
    if kind is None:
        return _by_default(artefact, len(asked), habit)
    if kind != "uploader":
        return Priors(kind if isinstance(kind, str) else "given", artefact.priors(kind, len(asked)), habit)
    if habit is None or np.isnan(habit).any():
        raise Problem(
            422,
            "prior: expected uploader_prior of each video, or a history of tracks that are here and have a genre, "
            "found neither. Or ask for 'neutral' or 'mean'.",
        )
    return Priors("uploader", habit, habit)


def _by_default(artefact: Artefact, count: int, habit: np.ndarray | None) -> Priors:
    """As the model was trained to rank; where that is by the uploader, an unknown one counts as the mean."""
    manifest = artefact.manifest
    if not manifest.ranks_by_uploader:
        prior: Any = manifest.inference_prior
        if isinstance(prior, str):
            kind = "neutral" if prior == "uniform" else prior
            return Priors(kind, artefact.priors(kind, count), habit)
        return Priors("given", artefact.priors(np.tile(np.float32(prior), (count, 1)), count), habit)
    mean = artefact.priors("mean", count)
    if habit is None:
        return Priors("mean", mean, None)
    return Priors("uploader", np.where(np.isnan(habit), mean, habit), habit)


def _habit(artefact: Artefact, asked: Asked, metadata_of: MetadataOf) -> np.ndarray | None:
    """(B, K): each video's own preferences, or those of the history."""
    count = len(artefact.manifest.genres)
    habit = np.full((len(asked), count), np.nan, np.float32)
    if asked.options.history:
        records = metadata_of(asked.options.history)
        known = [found for record in records if record and (found := values_of(record.get("genre")))]
        if known:
            habit[:] = artefact.history_prior(known)
    for place, given in enumerate(asked.preferences):
        if given is not None:
            habit[place] = _checked(given, count, place)
    return None if np.isnan(habit).all() else habit


def _checked(given: Sequence[float], count: int, place: int) -> np.ndarray:
    values = np.asarray(given, np.float32)
    if len(values) != count or abs(float(values.sum()) - 1) > 1e-3:
        raise Problem(
            422,
            f"videos, entry {place + 1}.uploader_prior: expected {count} probabilities that sum to 1, in the order "
            f"of the artefact's genres, found {len(values)} numbers with the sum {float(values.sum()):g}.",
        )
    return values
