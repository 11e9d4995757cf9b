"""The model under audit and the videos it is looked at with, in double precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.errors import ConfigError
from recbole_decm.io.atomic import Format, read_header
from recbole_decm.metrics.ranking import list_recall
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.training.checkpoint import load_weights
from recbole_decm.training.run import build


@dataclass
class Subject:
    """A model under audit, and the videos it is looked at with.

    Attributes:
        videos: (V,) ids; choices: test set -> (V,) id of the music each of them chose.
        video, music: float64 latents of these videos (V, D) and of the catalogue (M, D), whose ids are 1 to M.
        membership: (M, K) genres, or None where they are not known.
    """

    model: CMVAE
    dataset: Any
    videos: torch.Tensor
    choices: dict[str, np.ndarray]
    video: torch.Tensor
    music: torch.Tensor
    membership: np.ndarray | None
    genre_names: list[str]

    @torch.no_grad()
    def scores(self, priors: torch.Tensor | None) -> np.ndarray:
        """(V, M) float64 scores under (V, K) priors."""
        if priors is None:
            return (self.video @ self.music.T).numpy()
        ids = torch.arange(1, len(self.music) + 1)
        return self.model.adjustment.scores_under(self.video, self.music, priors.double(), ids).numpy()

    def recall(self, lists: np.ndarray) -> dict[str, float]:
        """Share of the videos whose choice is in their list of columns (id - 1), by test set."""
        return {name: list_recall(lists, chosen - 1) for name, chosen in self.choices.items()}

    @property
    def confounded(self) -> bool:
        """Whether the model has a prior to change."""
        return self.model.adjustment.confounded


@torch.no_grad()
def load_subject(
    config: Any, content: dict[str, Any], checkpoint: Path, k: int, most_videos: int
) -> tuple[Subject, str]:
    """The checkpoint's model and the first ``most_videos`` videos of its test split, or of valid where there is none.

    Returns:
        (subject, name of the split).
    """
    _ask_for_genres(config)
    model, splits = build(config)
    load_weights(model, content["state_dict"], checkpoint)
    model.eval()
    split = "valid" if splits.test is None else "test"
    loader, dataset = splits.test or splits.valid, splits.dataset
    if k >= dataset.item_num:
        raise ConfigError(f"--k: expected at most {dataset.item_num - 1}, the music of the catalogue, found {k}.")
    videos = torch.from_numpy(loader.users[:most_videos])
    parts = {split: loader, **splits.extra}
    choices = {name: _choices(part, videos.numpy()) for name, part in parts.items()}
    latent = model.video_latents(model.visual.lookup(videos).to(model.device)).double().cpu()
    music = model.posteriors("acoustic").mean[1:].double().cpu()
    model.cpu().double()
    membership = dataset.genre_membership[1:] if dataset.needs_genre else None
    names = dataset.genre_vocabulary if dataset.needs_genre else []
    return Subject(model, dataset, videos, choices, latent, music, membership, names), split


def _ask_for_genres(config: Any) -> None:
    """Have the data set load genres and priors where its files have them, as for the metrics that need them."""
    folder, name = Path(config["data_path"]), config["dataset"]
    metrics, form = list(config["metrics"]), Format.of(config)
    if config["GENRE_FIELD"] in read_header(folder / f"{name}.item", form):
        metrics.append("MajorityShare")
        if config["PRIOR_FIELD"] in read_header(folder / f"{name}.user", form):
            metrics.append("GenreKL")
    config["metrics"] = metrics


def _choices(loader: Any, videos: np.ndarray) -> np.ndarray:
    """The first music each video chose, -1 where the test set does not have the video."""
    chosen = np.full(len(videos), -1)
    rows, ids = loader.positives.pairs()
    first = np.unique(rows, return_index=True)[1]
    place = {int(video): int(music) for video, music in zip(loader.users, ids[first], strict=True)}
    for i, video in enumerate(videos):
        chosen[i] = place.get(int(video), -1)
    return chosen
