"""Versions: the encoders of published artefacts, as a store keeps them and as they are opened again."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_decm.errors import DataError

if TYPE_CHECKING:
    from recbole_decm.serving.artefact import Artefact
    from recbole_decm.serving.store.contract import Store


@dataclass(frozen=True)
class Encoders:
    """What a store keeps of an artefact beside its tracks.

    Attributes:
        id: the artefact's.
        fields: field -> F, what its track side reads.
        files: name -> content.
    """

    id: str
    fields: dict[str, int]
    files: dict[str, bytes]

    @classmethod
    def of(cls, artefact: Artefact) -> Encoders:
        manifest = artefact.manifest
        return cls(manifest.id, dict(manifest.track_fields), artefact.encoder_files())


def open_version(store: Store, version: str) -> Artefact:
    """The encoders of a version, as an artefact without tracks.

    Raises:
        ConfigError: no such version.
        DataError: its files are not what was published.
    """
    from recbole_decm.serving.artefact import open_artefact

    with tempfile.TemporaryDirectory(prefix="recbole-decm-") as place:
        for name, content in store.files(version).items():
            if name != Path(name).name or name in (".", ".."):
                raise DataError(f"version {version}: expected names of files, found {name!r}.")
            Path(place, name).write_bytes(content)
        return open_artefact(Path(place), tracks=False)


def fits(layout: str, encoders: Encoders) -> None:
    """Refuse an artefact that cannot encode tracks of some layout of features.

    Args:
        layout: JSON of field -> F.

    Raises:
        DataError: another width, or none of its fields.
    """
    found = json.loads(layout)
    shared = {name: width for name, width in found.items() if name in encoders.fields}
    if not shared or any(encoders.fields[name] != width for name, width in shared.items()):
        raise DataError(
            f"artefact {encoders.id}: expected tracks with the features {_told(encoders.fields)}, found tracks with "
            f"{_told(found)} in the store. Put them again with new features, or publish with --replace."
        )


def _told(fields: dict[str, int]) -> str:
    return ", ".join(f"{name} ({width} numbers)" for name, width in fields.items()) or "none"
