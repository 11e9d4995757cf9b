"""A real artefact of an untrained DecCM over the planted tracks, in a second."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.serving.export import Source, write_artefact
from recbole_decm.training.run import build


def planted_artefact(folder: Path, place: Path, seed: int = 1) -> Path:
    """Write it to ``place``; its data to ``folder``, unless they are there."""
    if not (folder / "planted").is_dir():
        write_planted(folder, videos=90, music=40)
    config = make_config("DecCM", folder, teacher="none", latent_dimension=16, seed=seed)
    model, splits = build(config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for side in model.encoders.values():
            for expert in side.experts:
                expert.norm.running_mean.normal_()
    model.eval()
    dataset = splits.dataset
    config.genres = tuple(dataset.genre_vocabulary)
    catalogue = Catalogue(dataset.field2id_token["music_id"][1:], model.acoustic, dataset.genre_membership)
    write_artefact(model, catalogue, config, Source(model.state_dict()), place)
    return place
