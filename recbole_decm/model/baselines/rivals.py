"""Rivals from the literature of this task, on our towers: what tells them apart is what they learn from, and how.

``docs/baselines.md`` says how each departs from its paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recbole_decm.data.inputs import ModelInputs
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.model.baselines.rival_losses import genre_contrast, structure_loss
from recbole_decm.model.baselines.settings import (
    ControlMVRSettings,
    GenreBalancedSettings,
    UploaderOffsetSettings,
    VMNetSettings,
)
from recbole_decm.model.cmvae import CMVAE, LossTerms
from recbole_decm.model.settings import MatcherSettings
from recbole_decm.model.towers import Posterior, make_encoder


class ContrastiveTowers(CMVAE):
    """Two towers under the symmetric InfoNCE loss with a learned temperature, as contrastive image-text models.

    All of it is the matcher's with ``matching: softmax`` and ``both_directions``; the YAML alone is its own.

    References:
        Radford et al. "Learning Transferable Visual Models From Natural Language Supervision." ICML 2021.
        Surís et al. "It's Time for Artistic Correspondence in Music and Video." CVPR 2022.
    """

    settings_class = MatcherSettings


class StructureTerms(NamedTuple):
    """The weighted terms of VM-NET: the matcher's, and the structure within each modality."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    structure_video: Tensor
    structure_music: Tensor


class VMNet(CMVAE):
    """VM-NET (CBVMR): ranking between modalities by a hinge, and soft structure within each (:func:`structure_loss`).

    Reference:
        Hong, Im, Yang. "CBVMR: Content-Based Video-Music Retrieval Using Soft Intra-Modal Structure Constraint." ICMR
        2018 (arXiv 1704.06761; the authors' code is csehong/VM-NET on GitHub).
    """

    settings_class = VMNetSettings
    settings: VMNetSettings
    loss_names = StructureTerms._fields

    def _terms(
        self, videos: Tensor, music: Tensor, visual: Tensor, acoustic: Tensor, q_video: Posterior, q_music: Posterior
    ) -> Any:
        terms: LossTerms = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        embedded = self.share.gather(q_video.mean, q_music.mean, len(videos))
        seen = [self.encoders[name].standardised(side) for name, side in (("visual", visual), ("acoustic", acoustic))]
        sides = zip(embedded, self.share.gather(seen[0], seen[1], len(videos)), strict=True)
        s = self.settings
        found = [s.structure_weight * structure_loss(after, before, s.structure_rows) for after, before in sides]
        return StructureTerms(*terms, *found)


class GenreTerms(NamedTuple):
    """The weighted terms of Control-MVR: the matcher's, and the contrast of genres."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    genre: Tensor


class ControlMVR(CMVAE):
    """Supervised contrastive learning with genre labels beside the contrast of pairs, mixed as wanted when ranking.

    Each modality has two unit vectors: a, trained on which track belongs to which video, and b, trained on which tracks
    have a common genre (:func:`genre_contrast`). The score is the dot product of (1 - alpha) a + alpha b of both sides.

    Reference:
        Stewart, KV, Lu, Fanelli. "Semi-Supervised Contrastive Learning for Controllable Video-to-Music Retrieval."
        ICASSP 2025 (arXiv 2412.05831).
    """

    uses_genre = True
    settings_class = ControlMVRSettings
    settings: ControlMVRSettings
    loss_names = GenreTerms._fields
    genres: Tensor | None
    genre_encoders: Any  # a ModuleDict of GaussianEncoder, by modality

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        s = self.settings
        if s.matching != "softmax":
            raise ConfigError(f"matching: expected softmax, the contrast of ControlMVR, found {s.matching}.")
        genres = None if inputs.genres is None else torch.from_numpy(inputs.genres)
        self.register_buffer("genres", genres, persistent=False)  # of the training data: no ranking reads it
        sides = {"visual": (self.visual, s.dropout_prob), "acoustic": (self.acoustic, s.music_dropout_prob)}
        start = s.initial_logvar if s.initial_weights == "adapted" else None
        self.genre_encoders = torch.nn.ModuleDict(
            {name: make_encoder(side, s.latent_dimension, dropout, start) for name, (side, dropout) in sides.items()}
        )
        for name, encoder in self.genre_encoders.items():  # which looks at features as the other one does
            for expert, other in zip(encoder.experts, self.encoders[name].experts, strict=True):
                expert.standardise_by(other.shift, other.factor)

    @classmethod
    def needs_genre(cls, settings: Any) -> bool:
        """Only training reads genres."""
        return False

    @property
    def latent_size(self) -> int:
        """D of a and of b, side by side."""
        return 2 * self.settings.latent_dimension

    def encode(self, modality: str, features: Tensor) -> Posterior:
        """(B, F) features -> (B, 2D): a and b side by side."""
        pairs, genre = super().encode(modality, features), self._of_unit_length(self.genre_encoders[modality](features))
        return Posterior(*(torch.cat(both, dim=1) for both in zip(pairs, genre, strict=True)))

    def mixed(self, both: Tensor) -> Tensor:
        """(B, 2D) a and b side by side -> (B, D) what is ranked by."""
        pairs, genre = both.chunk(2, dim=1)
        return torch.lerp(pairs, genre, self.settings.control)

    def video_latents(self, visual: Tensor) -> Tensor:
        return self.mixed(super().video_latents(visual))

    def music_latents(self, acoustic: Tensor) -> Tensor:
        return self.mixed(super().music_latents(acoustic))

    def training_scores(self, video: Tensor, tune: Tensor, videos: Tensor, music: Tensor) -> Tensor:
        """(B, B) scores of the pairs' vectors a."""
        return video.chunk(2, dim=1)[0] @ tune.chunk(2, dim=1)[0].T

    def _terms(
        self, videos: Tensor, music: Tensor, visual: Tensor, acoustic: Tensor, q_video: Posterior, q_music: Posterior
    ) -> Any:
        terms: LossTerms = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        assert self.genres is not None
        by_genre = [q.mean.chunk(2, dim=1)[1] for q in (q_video, q_music)]
        video, tune = self.share.gather(by_genre[0], by_genre[1], len(videos))
        contrast = genre_contrast(video.float() @ tune.float().T / self.temperature, self.genres[music])
        return GenreTerms(*terms, self.settings.genre_weight * contrast)


class GenreBalanced(CMVAE):
    """The matcher on pairs that are drawn so that all genres come equally often; ranking is the matcher's.

    Drawing is the loader's: :func:`~recbole_decm.data.balance.balanced_chances`.

    Reference:
        Shen, Lin, Huang. "Relay Backpropagation for Effective Learning of Deep Convolutional Neural Networks." ECCV
        2016 (class-aware sampling).
    """

    uses_genre = True
    samples_by_genre = True
    settings_class = GenreBalancedSettings
    settings: GenreBalancedSettings

    @classmethod
    def needs_genre(cls, settings: Any) -> bool:
        """Only drawing reads genres."""
        return False


class OffsetTerms(NamedTuple):
    """The weighted terms of the uploader offset: the matcher's, and the penalty on the offsets."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor
    offset: Tensor


class UploaderOffset(CMVAE):
    """A fixed effect for each uploader: in training s(v, m) = (z_v + r_u) . z_m, ranked by z_v . z_m alone.

    The learned r_u (D numbers an uploader, 0 at the start, with a penalty on their squares) takes what an uploader's
    choices have in common beyond the videos, so that the match need not explain it.

    Reference:
        The within estimator of panel data (Mundlak, "On the pooling of time series and cross section data",
        Econometrica 46, 1978), as a penalised embedding.
    """

    uses_uploader = True
    settings_class = UploaderOffsetSettings
    settings: UploaderOffsetSettings
    loss_names = OffsetTerms._fields
    uploader: Tensor

    def __init__(self, settings: Any, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        if inputs.pairs is not None and inputs.uploaders is None:
            raise DataError("UploaderOffset: expected the uploader of every video, found none.")
        known = torch.zeros(0, dtype=torch.int64) if inputs.uploaders is None else torch.from_numpy(inputs.uploaders)
        self.register_buffer("uploader", known, persistent=False)
        count = int(known.max()) + 1 if len(known) else 0
        self.offsets = torch.nn.Parameter(torch.zeros(count, self.settings.latent_dimension))

    def take_shapes(self, weights: Mapping[str, Tensor]) -> None:
        """Make room for the offsets of a checkpoint, which has uploaders of its own."""
        if "offsets" in weights and weights["offsets"].shape != self.offsets.shape:
            self.offsets = torch.nn.Parameter(torch.zeros_like(weights["offsets"], device=self.offsets.device))

    def training_scores(self, video: Tensor, tune: Tensor, videos: Tensor, music: Tensor) -> Tensor:
        """(B, B) scores of a batch, each video's with its uploader's offset."""
        return super().training_scores(video + self.offsets[self.uploader[videos]], tune, videos, music)

    def _terms(
        self, videos: Tensor, music: Tensor, visual: Tensor, acoustic: Tensor, q_video: Posterior, q_music: Posterior
    ) -> Any:
        terms: LossTerms = super()._terms(videos, music, visual, acoustic, q_video, q_music)
        own = self.offsets[self.uploader[videos]]
        return OffsetTerms(*terms, self.settings.offset_penalty * own.square().sum(dim=1).mean())
