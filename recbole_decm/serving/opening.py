"""From a checkpoint to a recommender: its model, its catalogue, and the videos to recommend for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.restored import content_model, serving_model
from recbole_decm.serving.videos import DatasetVideos, Videos, open_videos
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.run import build


@dataclass(frozen=True)
class VideoChoice:
    """Which videos to recommend for: a file of features, or else a split of the data set.

    Attributes:
        file: ``.npy`` (N, F); uploaders: ``.npy`` (N, K), for a model that ranks under the uploaders' preferences.
        split: ``test`` or ``all``.
    """

    file: Path | None = None
    uploaders: Path | None = None
    split: str = "test"


def open_recommender(checkpoint: Path | str, arguments: Sequence[str] = ()) -> Recommender:
    """A checkpoint and its catalogue, ready to recommend for any videos (:meth:`Recommender.recommend`).

    Neither the interactions nor the videos of the data set are read.

    Args:
        checkpoint: of a model that ranks tracks for new videos.
        arguments: ``--key=value``, above the values the checkpoint was trained with; ``--dataset=NAME`` ranks the
            catalogue of another data set.

    Raises:
        DecCMError: bad checkpoint, config or catalogue.
    """
    content = read_checkpoint(checkpoint)
    model, catalogue = serving_model(content, restored_config(content, arguments), checkpoint)
    return Recommender(model, catalogue, content["state_dict"])


def open_with_videos(
    checkpoint: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()
) -> tuple[Recommender, Videos]:
    """A checkpoint, its catalogue, and the videos to recommend for, from files.

    For a file of videos, neither the interactions nor the videos of the data set are read.

    Args:
        arguments: ``--key=value``, above the values the checkpoint was trained with; ``--dataset=NAME`` ranks the
            catalogue of another data set.

    Raises:
        DecCMError: bad checkpoint, config, data or file of videos.
    """
    if choice.file is not None:
        recommender = open_recommender(checkpoint, arguments)
        model = recommender.model
        return recommender, open_videos(choice.file, model.visual.dim, choice.uploaders, model.num_groups)
    content = read_checkpoint(checkpoint)
    content_model(content["model"])
    config = restored_config(content, arguments)
    if choice.uploaders is not None:
        raise ConfigError("--uploaders: expected --videos beside it; the videos of a split have their uploaders.")
    return _of_dataset(content, config, checkpoint, choice.split)


def _of_dataset(content: dict, config: Any, checkpoint: Path | str, split: str) -> tuple[Recommender, Videos]:
    model, splits = build(config)
    load_weights(model, content["state_dict"], checkpoint)
    model.eval()
    dataset = splits.dataset
    ids = np.arange(1, dataset.user_num)
    if split == "test":
        if splits.test is None:
            raise ConfigError("--split: expected all, since the data set has no test split, found test.")
        ids = splits.test.users
    tokens = dataset.field2id_token[dataset.iid_field][1:]
    genres = dataset.genre_membership if model.needs_genre(model.settings) else None
    catalogue = Catalogue(tokens, model.acoustic, genres)
    videos = DatasetVideos(model, ids, dataset.field2id_token[dataset.uid_field])
    return Recommender(model, catalogue, content["state_dict"]), videos
