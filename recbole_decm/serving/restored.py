"""A trained model over a catalogue: neither interactions nor the training videos' features are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recbole_decm.config import registry
from recbole_decm.data.catalogue import Catalogue, read_catalogue
from recbole_decm.data.features import FeatureMatrix, joined
from recbole_decm.data.inputs import ModelInputs, feature_fields
from recbole_decm.errors import CheckpointError, ConfigError, DataError
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.towers import encoder_shapes
from recbole_decm.training.checkpoint import load_weights


def serving_model(content: Mapping[str, Any], config: Any, path: Path | str) -> tuple[CMVAE, Catalogue]:
    """A checkpoint's model over the catalogue of a config's data set, in evaluation mode.

    Args:
        content: of :func:`~recbole_decm.training.checkpoint.read_checkpoint`, the file ``path``.

    Raises:
        ConfigError: a model that does not look at content.
        DecCMError: the catalogue or the weights do not fit.
    """
    kind = content_model(config)
    settings = kind.settings_class.from_config(config)
    weights = content["state_dict"]
    shapes = encoder_shapes(weights, "visual")
    if not shapes or (kind.uses_uploader_prior and "prior_mean" not in weights):
        raise CheckpointError(f"{path}: expected the weights of {content['model']}, found others.")
    catalogue = read_catalogue(config, kind.needs_genre(settings))
    prior = weights.get("prior_mean")
    if catalogue.genres is not None and catalogue.genres.shape[1] != len(prior):
        raise DataError(
            f"{config['data_path']}: expected music of the {len(prior)} genre groups that the checkpoint was trained "
            f"with, found {catalogue.genres.shape[1]} in {config['dataset']}.item."
        )
    fields, nothing = feature_fields(config)[0], torch.zeros(1, dtype=torch.int64)
    if len(fields) != len(shapes):
        raise CheckpointError(f"{path}: expected the weights of {len(fields)} fields of a video, found {len(shapes)}.")
    widths = dict(zip(fields, (width for _, width in shapes), strict=True))
    no_video = joined({field: FeatureMatrix(field, torch.zeros(1, width), nothing) for field, width in widths.items()})
    inputs = ModelInputs.of_features(
        no_video,
        catalogue.acoustic,
        prior_mean=prior,
        priors=None if prior is None else torch.zeros(1, len(prior)),
        genres=catalogue.genres,
        genre_names=config.genres,
        id_fields=(config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]),
    )
    model = kind(settings, inputs, config["device"])
    load_weights(model, weights, path)
    return model.to(config["device"]).eval(), catalogue


def content_model(config: Any) -> type[CMVAE]:
    """The class of a config's model, which has vectors of videos and tracks.

    Raises:
        ConfigError: it has none.
    """
    if not ranks_new_videos(config):
        able = [name for name in registry.MODELS if _has_vectors(registry.model_class(name))]
        raise ConfigError(
            f"recommend: expected a checkpoint of {', '.join(able)}, which rank tracks for new videos, found one of "
            f"{config['model']}. For the videos of its data set use --split=test or --split=all."
        )
    return config.model_class


def ranks_new_videos(config: Any) -> bool:
    """Whether a config's model has vectors for videos that no data set holds."""
    return _has_vectors(config.model_class)


def _has_vectors(kind: type) -> bool:
    return getattr(kind, "ranks_new_videos", False)
