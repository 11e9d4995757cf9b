"""The training pairs of a checkpoint in its artefact: how often each track was chosen, and, where asked, the videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from recbole_decm.serving.artefact.neighbours import unit, write_neighbours
from recbole_decm.serving.opening import training_videos
from recbole_decm.serving.sides import QuerySide
from recbole_decm.serving.videos import Videos
from recbole_decm.training.evaluate import restored_config
from recbole_decm.training.provenance import data_digest

_BLOCK = 1024


class Pairs(NamedTuple):
    """The training pairs: n videos and the track of each; one of several tracks comes as often."""

    videos: Videos
    tracks: list[str]

    def counts(self, tracks: Sequence[str]) -> list[int]:
        """How often each of some tracks was chosen."""
        found = Counter(self.tracks)
        return [found[track] for track in tracks]


def training_pairs(
    content: Mapping[str, Any], checkpoint: Path | str, arguments: Sequence[str], needed: bool
) -> Pairs | None:
    """The pairs that a checkpoint was trained with; None where its data are gone, or are no longer what they were.

    Args:
        content: of :func:`~recbole_decm.training.checkpoint.read_checkpoint`, the file ``checkpoint``.
        arguments: as of :func:`recbole_decm.serving.export.export`; the data set is the checkpoint's own.
        needed: whether to raise what keeps them from being read, and to take data that have changed.

    Raises:
        DecCMError: see above.
    """
    own = [part for part in arguments if not part.startswith("--dataset=")]
    if not needed:
        config = restored_config(dict(content), own)
        digest = (content.get("digests") or {}).get("data")
        if not Path(config["data_path"]).is_dir() or digest is None or data_digest(config) != digest:
            return None
    return Pairs(*training_videos(checkpoint, own))


@torch.no_grad()
def write_training_videos(query: QuerySide, pairs: Pairs, metadata: pd.DataFrame, path: Path) -> None:
    """Write ``neighbours.npz``.

    Args:
        query: in evaluation mode.
        metadata: of the artefact's tracks, with ``track_id`` and, where it is known, ``genre``.
    """
    dims, parts = [part.dim for part in query.model.visual.fields.values()], []
    labels: list[str] = []
    for block in pairs.videos.blocks(_BLOCK):
        inputs = list(torch.from_numpy(block.visual).to(query.model.device).split(dims, dim=1))
        if query.takes_priors:
            groups = query.model.num_groups or 1
            inputs.append(inputs[0].new_full((len(block.labels), groups), 1 / groups))
        parts.append(query(*inputs).float().cpu())
        labels += map(str, block.labels)
    genre_of = {}
    if "genre" in metadata:
        genre_of = dict(zip(metadata["track_id"], map("\x1f".join, metadata["genre"]), strict=True))
    genres = [genre_of.get(track, "") for track in pairs.tracks]
    with path.open("wb") as file:
        write_neighbours(file, unit(torch.cat(parts).numpy()), labels, pairs.tracks, genres)
