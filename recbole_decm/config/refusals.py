"""Models of RecBole that do not run with some values or on some data, and why: said before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_decm.errors import ConfigError

MANY_FIELDS = 16
"""Fields from which on a model whose work grows with their square is slow; FM takes 96 without notice."""


def slow_with(config: Any) -> str | None:
    """What is said beforehand of a model whose work grows with the square of its fields, where it is given many."""
    fields = len(config["numerical_features"])
    if "content_fields" not in config.keys_of_model or config["content_fields"] == "vector" or fields < MANY_FIELDS:
        return None
    return (
        f"content_fields: component makes {fields} fields, and the work of {config['model']} grows with their square, "
        "or faster: an epoch of a small data set may take minutes, or tens of GB. content_fields: vector or a smaller "
        "feature_reduce makes it quick."
    )


def check_values(model: str, config: Any, videos: int, tracks: int, pairs: int) -> None:
    """Refuse a model whose values do not fit the data, or that starts from a file that is not there.

    Args:
        videos, tracks: ids of the data set, with that of the padding.
        pairs: of the training split.

    Raises:
        ConfigError: RaCT, which runs in stages of its own; NCL has more clusters than tracks or videos; DGCF draws
            more tracks a batch than there are; a later phase of KD_DAGFM has no checkpoint of the phase before.
    """
    if model == "RaCT":
        raise ConfigError(
            "model: RaCT trains in three runs that pass on files of RecBole's own, which are not read here. "
            "Use MultiVAE, its first."
        )
    later = model == "KD_DAGFM" and config["phase"] != "teacher_training"
    if later and not Path(config["warm_up"]).is_file():
        raise ConfigError(
            f"warm_up: expected the checkpoint of the phase before {config['phase']} (teacher_training, distillation, "
            f"finetuning), found no file '{config['warm_up']}'. Set --warm_up=PATH."
        )
    fewest = min(videos, tracks)
    if model == "NCL" and config["num_clusters"] > fewest:
        raise ConfigError(
            f"num_clusters: expected at most {fewest}, since NCL clusters {videos} videos and {tracks} tracks, found "
            f"{config['num_clusters']}. Set --num_clusters, to a tenth of that or less."
        )
    batches = pairs // config["train_batch_size"] + 1 if model == "DGCF" else 1
    if model == "DGCF" and max(videos, tracks) // batches > fewest:
        largest = pairs // (max(videos, tracks) // fewest)
        raise ConfigError(
            f"train_batch_size: expected at most {largest}, since DGCF draws {max(videos, tracks) // batches} videos "
            f"and as many of the {tracks} tracks for each batch, found {config['train_batch_size']}."
        )
