"""Content baselines as RecBole models: ridge regression, canonical correlation, raw cosine, and nearest videos."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import ConfigError
from recbole_decm.model.baselines.content import ContentBaseline
from recbole_decm.model.baselines.linear import AffineMap, fit_cca, fit_ridge
from recbole_decm.model.baselines.moments import mean_and_deviation, paired_moments
from recbole_decm.model.baselines.neighbours import music_votes, nearest
from recbole_decm.model.baselines.settings import CCASettings, CosineSettings, NearestVideosSettings, RidgeSettings

_QUERY_ROWS = 2_048


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


class _LinearBaseline(ContentBaseline):
    """The cosine of affine maps of both sides into one space."""

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        sizes = {"video": self.visual.dim, "music": self.acoustic.dim}
        for side, dim in sizes.items():
            self.register_buffer(f"{side}_weight", torch.zeros(dim, self.dimension))
            self.register_buffer(f"{side}_bias", torch.zeros(self.dimension))

    @property
    def dimension(self) -> int:
        """E, of the space in which both sides are compared."""
        raise NotImplementedError

    def _keep(self, **maps: AffineMap) -> None:
        for side, (weight, bias) in maps.items():
            getattr(self, f"{side}_weight").copy_(weight)
            getattr(self, f"{side}_bias").copy_(bias)

    def video_vectors(self, videos: Tensor) -> Tensor:
        return _unit(self.visual_of(videos) @ self.video_weight + self.video_bias)

    def catalogue_vectors(self) -> Tensor:
        return _unit(self.acoustic_of(torch.arange(len(self.acoustic))) @ self.music_weight + self.music_bias)


class Ridge(_LinearBaseline):
    """Ridge regression from video to music features; a track scores by its cosine with the predicted features.

    Features are standardised by the training pairs, the music's as well (:func:`fit_ridge`).
    """

    settings_class = RidgeSettings
    settings: RidgeSettings

    @property
    def dimension(self) -> int:
        return self.acoustic.dim

    def fit_once(self, show_progress: bool) -> float:
        """Returns the share of the music features' variance that the regression leaves unexplained."""
        moments = paired_moments(self.pair_blocks(show_progress))
        try:
            fit = fit_ridge(moments, self.settings.alpha)
        except ValueError as error:
            raise ConfigError(f"alpha: {error}.") from error
        self._keep(video=fit.video, music=fit.music)
        return fit.unexplained


class CCA(_LinearBaseline):
    """Regularised canonical correlation analysis; the score is the cosine in the canonical space (:func:`fit_cca`)."""

    settings_class = CCASettings
    settings: CCASettings

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        self.register_buffer("correlations", torch.zeros(self.dimension))

    @property
    def dimension(self) -> int:
        return min(self.settings.canonical_dimension, self.visual.dim, self.acoustic.dim)

    def fit_once(self, show_progress: bool) -> float:
        """Returns 1 less the mean of the canonical correlations that are kept."""
        moments = paired_moments(self.pair_blocks(show_progress))
        s = self.settings
        try:
            fit = fit_cca(moments, self.dimension, s.regularization, s.correlation_power)
        except ValueError as error:
            raise ConfigError(f"regularization: {error}.") from error
        self._keep(video=fit.video, music=fit.music)
        self.correlations.copy_(fit.correlations)
        return float(1 - fit.correlations.mean())


class Cosine(ContentBaseline):
    """The cosine of the features as they are, for features of one space, such as those of a joint encoder.

    Raises:
        ConfigError: the two kinds of features have different numbers of dimensions.
    """

    settings_class = CosineSettings
    settings: CosineSettings

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        if self.visual.dim != self.acoustic.dim:
            raise ConfigError(
                f"Cosine: expected video and music features of the same number of dimensions, found "
                f"{self.visual.dim} in '{self.visual.name}' and {self.acoustic.dim} in '{self.acoustic.name}'. "
                "Use Ridge or CCA, which learn a map between the two."
            )
        self.register_buffer("video_mean", torch.zeros(self.visual.dim))
        self.register_buffer("music_mean", torch.zeros(self.acoustic.dim))

    def fit_once(self, show_progress: bool) -> float:
        """Learns the means of the training pairs where ``center`` is on; returns 0."""
        if self.settings.center:
            self.video_mean.copy_(mean_and_deviation(self.video_blocks(show_progress))[0])
            self.music_mean.copy_(mean_and_deviation(music for _, music in self.pair_blocks())[0])
        return 0.0

    def video_vectors(self, videos: Tensor) -> Tensor:
        return _unit(self.visual_of(videos) - self.video_mean)

    def catalogue_vectors(self) -> Tensor:
        return _unit(self.acoustic_of(torch.arange(len(self.acoustic))) - self.music_mean)


class NearestVideos(ContentBaseline):
    """The music of similar training videos: each of the k nearest votes for its music by its similarity.

    Similarity is the cosine of standardised visual features. Music without training pairs gets no vote and scores 0.
    The memory is the training split itself, which no checkpoint repeats: on another data set, that one's training
    videos vote.
    """

    settings_class = NearestVideosSettings
    settings: NearestVideosSettings

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        self.register_buffer("video_mean", torch.zeros(self.visual.dim))
        self.register_buffer("video_scale", torch.ones(self.visual.dim))

    def fit_once(self, show_progress: bool) -> float:
        """Learns how to standardise; returns 0."""
        mean, scale = mean_and_deviation(self.video_blocks(show_progress))
        self.video_mean.copy_(mean)
        self.video_scale.copy_(scale)
        return 0.0

    def _standardised(self, features: Tensor) -> Tensor:
        return _unit((features - self.video_mean) / self.video_scale)

    def video_vectors(self, videos: Tensor) -> Tensor:
        """(B,) video ids -> (B, F_v) vectors whose dot products are the similarities of videos."""
        return self._standardised(self.visual_of(videos))

    def score_matrix(self, videos: Tensor) -> Tensor:
        return torch.cat([self._votes(part) for part in videos.split(_QUERY_ROWS)])

    def _votes(self, videos: Tensor) -> Tensor:
        blocks = (self._standardised(block) for block in self.video_blocks())
        similarity, rows = nearest(self.video_vectors(videos), blocks, self.settings.num_neighbors)
        music = self.train_music.to(rows.device)[rows]
        return music_votes(similarity, music, self.n_items, self.settings.similarity_power)

    def predict(self, interaction: Any) -> Tensor:
        """Scores of given (video, music) pairs, (B,); each distinct video is looked at once, a block at a time."""
        videos, index = torch.unique(interaction[self.USER_ID], return_inverse=True)
        items = interaction[self.ITEM_ID]
        scores = torch.zeros(len(items), device=items.device)
        for start in range(0, len(videos), _QUERY_ROWS):
            here = (index >= start) & (index < start + _QUERY_ROWS)
            votes = self._votes(videos[start : start + _QUERY_ROWS])
            scores[here] = votes[index[here] - start, items[here]]
        return scores
