"""What a model is built from, as numbers; what of a data set has to be read for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a run reads of a data set beside the pairs.

    Attributes:
        content: content vectors, for one of our models.
        context: content vectors as numeric fields, for one of RecBole's context-aware models.
        prior: the uploaders' genre preferences.
        genre: the genres of the tracks.
    """

    content: bool = False
    context: bool = False
    prior: bool = False
    genre: bool = False
