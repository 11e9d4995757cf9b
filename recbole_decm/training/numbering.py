"""What RecBole's models know videos, tracks and other tokens by: numbers, which follow the rows of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import CheckpointError
from recbole_decm.io.digest import of_texts


def numbering(config: DecCMConfig, dataset: Any) -> dict[str, str]:
    """By token field that a model of RecBole or of other people may embed: a digest of the tokens in their order.

    Our own models find videos and tracks by their content, and genres by name.

    Args:
        dataset: built.
    """
    if hasattr(config.model_class, "settings_class"):
        return {}
    every = config.needs.context or config.needs.tables
    fields = [dataset.uid_field, dataset.iid_field, *(dataset.token_like_fields if every else ())]
    return {field: of_texts(*dataset.field2id_token[field], size=8) for field in fields}


def require_numbering(content: Mapping[str, Any], model: Any, path: Path | str) -> None:
    """Refuse weights that were learned under other numbers than a model's data set gives; old files do not say.

    Args:
        content: of :func:`~recbole_decm.training.checkpoint.read_checkpoint`, the file ``path``.
        model: of :func:`~recbole_decm.training.run.make_model`.

    Raises:
        CheckpointError: names the first field that has other tokens, or the same in another order.
    """
    trained, found = content.get("numbering") or {}, getattr(model, "numbering", {})
    for field in found if isinstance(trained, dict) else ():
        if trained.get(field, found[field]) != found[field]:
            raise CheckpointError(
                f"{path}: expected the values of '{field}' that the checkpoint was trained with, in their order, found "
                f"others, or another order. {content['model']} knows them by their number. Give it the data set that "
                "it was trained with, or train anew."
            )
