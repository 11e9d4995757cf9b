"""From a checkpoint to a recommender: its model, its catalogue, and the videos to recommend for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.errors import ConfigError
from recbole_decm.io.atomic import Format
from recbole_decm.serving.known import DatasetVideos, KnownLists, KnownVideos
from recbole_decm.serving.lists import Lists
from recbole_decm.serving.model_recommender import ModelRecommender
from recbole_decm.serving.recommender import Recommender
from recbole_decm.serving.restored import content_model, ranks_new_videos, serving_model
from recbole_decm.serving.tracks import ReadColumns, columns_of
from recbole_decm.serving.uploads import open_folder_or_file
from recbole_decm.serving.videos import VideoChoice, Videos
from recbole_decm.training.checkpoint import load_weights, read_checkpoint
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.features import cards_in
from recbole_decm.training.run import build
from recbole_decm.training.trainers import trainer_class


def open_checkpoint(checkpoint: Path | str, arguments: Sequence[str] = ()) -> ModelRecommender:
    """As :func:`~recbole_decm.serving.entry.open_recommender`, for a checkpoint."""
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    kind = content_model(config)
    if kind.ranks_by_popularity(kind.settings_class.from_config(config)):
        return _of_dataset(content, config, checkpoint)[0]
    model, catalogue = serving_model(content, config, checkpoint)
    return ModelRecommender(model, catalogue, content["state_dict"], _metadata(config), config.genres)


def open_checkpoint_with_videos(
    checkpoint: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()
) -> tuple[Lists, Videos]:
    """As :func:`~recbole_decm.serving.entry.open_with_videos`, for a checkpoint."""
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    if choice.file is not None or ranks_new_videos(config):
        return open_new_videos(checkpoint, choice, arguments)
    return _of_known_videos(content, config, checkpoint, choice.split)


def open_new_videos(
    checkpoint: Path | str, choice: VideoChoice, arguments: Sequence[str] = ()
) -> tuple[Recommender, Videos]:
    """As :func:`open_checkpoint_with_videos`, for a model that ranks tracks for new videos."""
    if choice.file is not None:
        recommender = open_checkpoint(checkpoint, arguments)
        return recommender, open_folder_or_file(recommender, cards_in(read_checkpoint(checkpoint)), choice)
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    content_model(config)
    recommender, splits = _of_dataset(content, config, checkpoint)
    tokens = splits.dataset.field2id_token[splits.dataset.uid_field]
    return recommender, DatasetVideos(recommender.model, _videos_of(splits, choice.split), tokens)


def training_videos(checkpoint: Path | str, arguments: Sequence[str] = ()) -> tuple[DatasetVideos, list[str]]:
    """The videos that a checkpoint was trained with, and the track of each; one of several tracks comes as often."""
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    content_model(config)
    recommender, splits = _of_dataset(content, config, checkpoint)
    dataset = splits.dataset
    users, items = (dataset.inter_feat[field].numpy() for field in (dataset.uid_field, dataset.iid_field))
    videos = DatasetVideos(recommender.model, users, dataset.field2id_token[dataset.uid_field])
    return videos, dataset.field2id_token[dataset.iid_field][items].tolist()


def _of_dataset(content: dict, config: Any, checkpoint: Path | str) -> tuple[ModelRecommender, Any]:
    model, splits = build(config)
    load_weights(model, content["state_dict"], checkpoint)
    model.eval()
    dataset = splits.dataset
    tokens = dataset.field2id_token[dataset.iid_field][1:]
    genres = dataset.genre_membership if model.needs_genre(model.settings) else None
    catalogue = Catalogue(tokens, model.acoustic, genres)
    return ModelRecommender(model, catalogue, content["state_dict"], _metadata(config), config.genres), splits


def _of_known_videos(content: dict, config: Any, checkpoint: Path | str, split: str) -> tuple[Lists, Videos]:
    model, splits = build(config)
    trainer = trainer_class(config)(config, model)
    trainer.load_best(checkpoint)
    dataset = splits.dataset
    lists = KnownLists(trainer, dataset, _metadata(config))
    return lists, KnownVideos(_videos_of(splits, split), dataset.field2id_token[dataset.uid_field])


def _videos_of(splits: Any, split: str) -> np.ndarray:
    """(N,) internal ids of the videos of a split."""
    if split == "all":
        return np.arange(1, splits.dataset.user_num)
    if splits.test is None:
        raise ConfigError("--split: expected all, since the data set has no test split, found test.")
    return splits.test.users


def _metadata(config: Any) -> ReadColumns:
    path = Path(config["data_path"]) / f"{config['dataset']}.item"
    return columns_of(path, Format.of(config), config["ITEM_ID_FIELD"])
