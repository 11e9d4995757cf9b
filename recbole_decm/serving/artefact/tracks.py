"""A table of tracks in memory: ids, features and metadata, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tracks:
    """M tracks.

    Attributes:
        ids: (M,) str.
        features: field -> (M, F) float32; a row of NaN where the field is missing.
        metadata: M rows; ``genre``, a list of texts each, and further columns of any type.
    """

    ids: np.ndarray
    features: dict[str, np.ndarray]
    metadata: pd.DataFrame
