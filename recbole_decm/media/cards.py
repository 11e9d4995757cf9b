"""What made a feature: the card of its extractor, ``features.json``, and what differs between two of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from recbole_decm.errors import DataError
from recbole_decm.io.typed import Strict, complaint
from recbole_decm.io.write import write_text

FORMAT_VERSION = 1
FILE = "features.json"


class Card(Strict):
    """All that a feature's numbers depend on, and the licence they come under.

    Attributes:
        extractor: its name in the table, as in ``clip``.
        source: what it was opened from, as in a hub id or a folder; empty for those without weights. Two folders may
            hold the same weights, so it is not compared.
        version: of the extractor; a change of its numbers raises it.
        weights: digest of the weights; empty for those without.
        sampling: frames a second or number of frames, size, samples a second.
        window: how a clip becomes one vector.
        dimension: of the vector.
        licence: of the weights, or of the extractor where it has none.
        side: ``video`` or ``music`` where the extractor alone does not tell, as with texts; not compared.
    """

    extractor: str
    source: str = ""
    version: int
    weights: str = ""
    sampling: dict[str, float | int | str]
    window: str
    dimension: Annotated[int, Field(ge=1)]
    licence: str
    side: Literal["", "video", "music"] = ""


class _Cards(Strict):
    format_version: int
    fields: dict[str, Card]


def differs(one: Card, other: Card) -> list[str]:
    """What keeps features of two cards apart, each as ``name: one, other``; empty if they can stand side by side.

    Examples:
        >>> card = Card(extractor="x", version=1, sampling={"fps": 1}, window="mean", dimension=2, licence="MIT")
        >>> differs(card, card.model_copy(update={"sampling": {"fps": 2}}))
        ['sampling fps: 1, 2']
    """
    found = []
    for name in ("extractor", "version", "weights", "window", "dimension"):
        a, b = getattr(one, name), getattr(other, name)
        if a != b:
            found.append(f"{name}: {a or 'none'}, {b or 'none'}")
    for name in sorted(one.sampling.keys() | other.sampling.keys()):
        a, b = one.sampling.get(name, "none"), other.sampling.get(name, "none")
        if a != b:
            found.append(f"sampling {name}: {a}, {b}")
    return found


def require_equal(needed: Mapping[str, Card], found: Mapping[str, Card], what: str) -> None:
    """Refuse features that were not made as a model's were.

    Args:
        needed: the cards of the model, by field.
        found: those of the features.
        what: the features, as in their folder.

    Raises:
        DataError: a field is missing, or its extractor, weights or sampling differ.
    """
    for field, card in needed.items():
        if field not in found:
            raise DataError(f"{what}: expected the field {field}, found {', '.join(found) or 'none'}.")
        difference = differs(card, found[field])
        if difference:
            raise DataError(
                f"{what}: expected {field} made as the model's was, found {'; '.join(difference)} (the model's first)."
            )


def as_values(cards: Mapping[str, Card]) -> dict[str, Any]:
    """Cards as plain values, as they stand in a file or a checkpoint."""
    return {"format_version": FORMAT_VERSION, "fields": {name: card.model_dump() for name, card in cards.items()}}


def from_values(values: Any, what: Path | str) -> dict[str, Card]:
    """Cards by field from plain values.

    Args:
        what: where they come from, for the message.

    Raises:
        DataError: they are of another form or version.
    """
    try:
        cards = _Cards.model_validate(values)
    except ValidationError as error:
        raise DataError(f"{what}: {complaint(error)}") from error
    if cards.format_version != FORMAT_VERSION:
        raise DataError(
            f"{what}: expected format_version {FORMAT_VERSION}, found {cards.format_version}. Update recbole-decm."
        )
    return cards.fields


def write_cards(path: Path, cards: Mapping[str, Card]) -> None:
    """Write ``features.json``."""
    write_text(path, json.dumps(as_values(cards), indent=2) + "\n")


def read_cards(path: Path) -> dict[str, Card]:
    """Read ``features.json``: the cards by field.

    Raises:
        DataError: no such file, or not of this form.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the cards of features, but {error}.") from error
    return from_values(values, path)
