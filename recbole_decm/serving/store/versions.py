"""Versions: the encoders of published artefacts, as a store keeps them and as they are opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recbole_decm.errors import DataError
from recbole_decm.media.cards import Card, differs, from_values

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact
    from recbole_decm.serving.store.contract import Store


@dataclass(frozen=True)
class Encoders:
    """What a store keeps of an artefact beside its tracks.

    Attributes:
        id: the artefact's.
        fields: field -> its ``width`` F and the ``card`` of what makes it, of what its track side reads.
        files: name -> content.
    """

    id: str
    fields: dict[str, dict[str, Any]]
    files: dict[str, bytes]

    @classmethod
    def of(cls, artefact: Artefact) -> Encoders:
        manifest = artefact.manifest
        cards = {} if manifest.features is None else from_values(manifest.features, "the artefact's features.json")
        fields = {
            name: {"width": width, "card": cards[name].model_dump() if name in cards else None}
            for name, width in manifest.track_fields.items()
        }
        return cls(manifest.id, fields, artefact.encoder_files())

    @property
    def cards(self) -> dict[str, Any]:
        """Field -> what makes its features, as plain values."""
        return {name: part["card"] for name, part in self.fields.items()}


def open_version(store: Store, version: str) -> Artefact:
    """The encoders of a version, as an artefact without tracks.

    Raises:
        ConfigError: no such version.
        DataError: its files are not what was published.
    """
    from recbole_decm.serving.artefact import open_encoders

    return open_encoders(store.files(version), f"version {version}")


def fits(layout: str, encoders: Encoders) -> None:
    """Refuse an artefact that cannot encode tracks of some layout of features.

    Args:
        layout: as of :class:`~recbole_decm.serving.store.rows.Rows`.

    Raises:
        DataError: none of its fields, another width, or features that something else made, where both say what.
    """
    found = json.loads(layout)
    shared = [name for name in found if name in encoders.fields]
    needed = {name: encoders.fields[name] for name in shared}
    if not shared or any(needed[name]["width"] != found[name]["width"] for name in shared):
        raise _refusal(encoders, f"the features {_told(encoders.fields)}", f"tracks with {_told(found)}")
    for name in shared:
        one, other = needed[name]["card"], found[name]["card"]
        if one and other and (difference := differs(Card(**one), Card(**other))):
            raise _refusal(encoders, f"{name} made as its own", f"{'; '.join(difference)} (its own first)")


def _refusal(encoders: Encoders, expected: str, found: str) -> DataError:
    return DataError(
        f"artefact {encoders.id}: expected tracks with {expected}, found {found} in the store. Put them again with new "
        "features, or publish with --replace."
    )


def _told(fields: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} ({part['width']} numbers)" for name, part in fields.items()) or "none"
