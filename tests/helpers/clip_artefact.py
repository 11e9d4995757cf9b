"""The artefact of helpers.genre_artefact for features that the weight-free extractors make of files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
from helpers.genre_artefact import GENRES, GenreArtefact

from recbole_decm.media.cards import as_values
from recbole_decm.media.extractors import open_extractor

CARDS = {"visual": open_extractor("appearance-motion").card, "acoustic": open_extractor("descriptors").card}


def clip_artefact(count: int = 12) -> GenreArtefact:
    """Over tracks m0, m1, ... of random features."""
    video, track = ({name: CARDS[name].dimension} for name in ("visual", "acoustic"))
    draw = np.random.default_rng(5)
    features = {"acoustic": draw.standard_normal((count, track["acoustic"])).astype(np.float32)}
    metadata = pd.DataFrame({"genre": [[GENRES[at % 3]] for at in range(count)]})
    own = SimpleNamespace(ids=np.array([f"m{at}" for at in range(count)], object), features=features, metadata=metadata)
    return GenreArtefact("clips", 0, own, video_fields=video, track_fields=track, features=as_values(CARDS))
