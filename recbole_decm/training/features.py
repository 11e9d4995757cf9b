"""How the features of a data set were made, as a run and its checkpoint know it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_decm.config.config import DecCMConfig
from recbole_decm.data.inputs import feature_fields
from recbole_decm.media.cards import FILE, Card, from_values, read_cards, require_equal


def cards_of(config: DecCMConfig) -> dict[str, Card]:
    """What made the features that a config reads, by field; empty where its data set has no ``features.json``.

    Raises:
        DataError: the file is not of this form.
    """
    path = Path(config["data_path"]) / FILE
    if not (config.needs.content or config.needs.context) or not path.is_file():
        return {}
    videos, tracks = feature_fields(config)
    return {field: card for field, card in read_cards(path).items() if field in (*videos, *tracks)}


def cards_in(content: Mapping[str, Any]) -> dict[str, Card]:
    """What made the features of a checkpoint, by field; empty where it does not say.

    Args:
        content: of :func:`~recbole_decm.training.checkpoint.read_checkpoint`.
    """
    values = content.get("features")
    return from_values(values, "the checkpoint's part 'features'") if values else {}


def require_made_alike(content: Mapping[str, Any], config: DecCMConfig) -> None:
    """Refuse a data set whose features were not made as a checkpoint's were, where both say how.

    Raises:
        DataError: another extractor, other weights or another sampling; a field is missing.
    """
    needed, found = cards_in(content), cards_of(config)
    if needed and found:
        require_equal(needed, found, str(Path(config["data_path"]) / FILE))
