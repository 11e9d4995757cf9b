"""A catalogue artefact: a folder that ranks tracks without data set, RecBole and torch."""

from __future__ import annotations

from recbole_decm.serving.artefact.manifest import Manifest
from recbole_decm.serving.artefact.opened import Artefact, open_artefact, open_encoders
from recbole_decm.serving.artefact.search import exact_top_k
from recbole_decm.serving.artefact.tracks import Tracks

__all__ = ["Artefact", "Manifest", "Tracks", "exact_top_k", "open_artefact", "open_encoders"]
