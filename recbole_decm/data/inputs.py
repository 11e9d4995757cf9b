"""What a model is built from, as numbers; what of a data set has to be read for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from recbole_decm.data.features import FeatureMatrix, Features


@dataclass(frozen=True)
class Needs:
    """What a run reads of a data set beside the pairs.

    Attributes:
        content: content vectors, for one of our models.
        context: content vectors as numeric fields, for one of RecBole's context-aware models.
        prior: the uploaders' genre preferences.
        genre: the genres of the tracks.
        uploader: who uploaded each video.
        choices: content vectors of videos and tracks beside the model, for a metric that knows how tracks are chosen.
        tables: further tables and weights, for a model from elsewhere; neither our models nor RecBole's that run here
            read any.
    """

    content: bool = False
    context: bool = False
    prior: bool = False
    genre: bool = False
    choices: bool = False
    tables: bool = False
    uploader: bool = False


def feature_fields(config: Any) -> tuple[list[str], list[str]]:
    """The fields of the videos' and of the tracks' content vectors: one each, or several by ``video_fields`` and
    ``music_fields``.
    """
    return config["video_fields"] or [config["VISUAL_FIELD"]], config["music_fields"] or [config["ACOUSTIC_FIELD"]]


@dataclass(frozen=True)
class ModelInputs:
    """All that a model takes of a data set. Ids count from 1; row 0 of every table is RecBole's padding.

    Attributes:
        video: feature matrices of the videos by field name, such as ``visual``.
        music: feature matrices of the tracks by field name, such as ``acoustic``.
        popularity: (n_tracks,) int64, training pairs of each track.
        priors: (n_videos, K) float, the genre preference of each video's uploader; None for a model that reads none.
        training_priors: the same as training sees it; None for ``priors``.
        prior_mean: (K,) float, the mean of ``priors`` over the training pairs; None likewise.
        genres: (n_tracks, K) float32, the genres of each track as a distribution; None for a model that reads none.
        genre_names: the K genre groups, in the order of the columns; empty where they are not known.
        pairs: ids of the training pairs, (n,) videos and (n,) tracks; None where a model only ranks.
        uploaders: (n_videos,) int64, the number of each video's uploader from 1 on, 0 for the padding; None for a model
            that does not ask.
        id_fields: what a batch calls the ids of its videos and of its tracks.
    """

    video: Mapping[str, FeatureMatrix]
    music: Mapping[str, FeatureMatrix]
    popularity: np.ndarray
    priors: Tensor | None = None
    training_priors: Tensor | None = None
    prior_mean: Tensor | None = None
    genres: np.ndarray | None = None
    genre_names: tuple[str, ...] = ()
    pairs: tuple[Tensor, Tensor] | None = None
    uploaders: np.ndarray | None = None
    id_fields: tuple[str, str] = ("video_id", "music_id")

    @classmethod
    def of_features(cls, visual: Features, acoustic: Features, **known: Any) -> ModelInputs:
        """The inputs of a model that only ranks: no training pairs, other values as given."""
        nothing = np.zeros(len(acoustic), dtype=np.int64)
        return cls(visual.fields, acoustic.fields, **{"popularity": nothing, **known})
