"""The variational cross-modal matcher: what teacher and student have in common."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from recbole_decm.data.features import standardisation
from recbole_decm.data.inputs import ModelInputs
from recbole_decm.model.adjustment import Adjustment
from recbole_decm.model.base import ContentModel
from recbole_decm.model.losses import kl_annealing, kl_to_standard_normal
from recbole_decm.model.objectives import MATCHINGS, MatchedPairs
from recbole_decm.model.settings import MatcherSettings
from recbole_decm.model.towers import Posterior, make_decoder, make_encoder
from recbole_decm.parallel.share import Share

_ENCODE_ROWS = 8_192


class LossTerms(NamedTuple):
    """The weighted terms of the matcher's objective, each () float; their sum is minimised."""

    matching: Tensor
    kl_video: Tensor
    kl_music: Tensor
    reconstruction_visual: Tensor
    reconstruction_acoustic: Tensor


class CMVAE(ContentModel):
    """The variational cross-modal matcher, without teacher and without deconfounding.

    Content vectors are looked up here. The score of a video and a track is the dot product of their posterior means.

    Args:
        settings: values of ``properties/model/<Model>.yaml``.
        inputs: the numbers of a data set, the training split's.
        device: where the model computes.
    """

    ranks_new_videos = True
    settings_class: ClassVar[type[MatcherSettings]] = MatcherSettings
    settings: MatcherSettings
    loss_names: tuple[str, ...] = LossTerms._fields
    share = Share()  # the rows of a batch that this process encodes and decodes: all, where it is alone
    popularity: Tensor
    encoders: Any  # a ModuleDict of GaussianEncoder, by modality
    decoders: Any  # a ModuleDict of FeatureDecoder, by modality
    num_groups: int | None = None  # K, of a model that looks at the uploaders' preferences

    def __init__(self, settings: MatcherSettings, inputs: ModelInputs, device: torch.device | str):
        super().__init__(settings, inputs, device)
        self.epoch = 0
        self.adjustment = Adjustment()
        s = self.settings
        self.register_buffer("popularity", torch.from_numpy(inputs.popularity).float().clamp(min=1), persistent=False)
        self.train_pairs = int(inputs.popularity.sum())
        if s.matching == "softmax":
            self.log_temperature = torch.nn.Parameter(torch.tensor(math.log(s.temperature)))
        towers = {"visual": self.visual, "acoustic": self.acoustic}
        dropout = {"visual": s.dropout_prob, "acoustic": s.music_dropout_prob}
        logvar = s.initial_logvar if s.initial_weights == "adapted" else None
        self.encoders = torch.nn.ModuleDict(
            {name: make_encoder(side, s.latent_dimension, dropout[name], logvar) for name, side in towers.items()}
        )
        if s.standardize_features and inputs.pairs is not None:
            for (name, side), ids in zip(towers.items(), inputs.pairs, strict=True):
                for expert, matrix in zip(self.encoders[name].experts, side.fields.values(), strict=True):
                    if found := standardisation(matrix, ids):
                        expert.standardise_by(*found)
        self.decoders = torch.nn.ModuleDict(
            {
                name: make_decoder(side, self.latent_size, s.dropout_prob, s.decoder_relu)
                for name, side in towers.items()
            }
        )

    @property
    def standardised_features(self) -> list[str]:
        """The fields that are standardised by training statistics."""
        sides = ((self.visual, self.encoders["visual"]), (self.acoustic, self.encoders["acoustic"]))
        return [
            name
            for side, encoder in sides
            for name, expert in zip(side.fields, encoder.experts, strict=True)
            if expert.factor is not None
        ]

    @property
    def latent_size(self) -> int:
        """Dimensions of what :meth:`encode` returns."""
        return self.settings.latent_dimension

    # --- the method -----------------------------------------------------------------------------------------------
    def encode(self, modality: str, features: Tensor) -> Posterior:
        """Posterior of ``visual`` or ``acoustic`` features, (B, F) -> (B, D); of unit length where so set."""
        return self._of_unit_length(self.encoders[modality](features))

    def _of_unit_length(self, q: Posterior) -> Posterior:
        return Posterior(
            normalize(q.mean, dim=1) if self.settings.normalize_mean else q.mean,
            normalize(q.logvar, dim=1) if self.settings.normalize_logvar else q.logvar,
        )

    def learned_part(self, q: Posterior) -> Posterior:
        """The part of a posterior that training shapes: all of it, unless a frozen teacher's stands beside it."""
        return q

    def decoding_latent(self, latent: Tensor, videos: Tensor) -> Tensor:
        """What videos are generated from; here the tracks' latent vectors themselves.

        Args:
            latent: (n, D) of this process's share of the batch; videos: (B,) ids of the whole batch.

        Returns:
            (n, D).
        """
        return latent

    def calculate_loss(self, interaction: Any) -> tuple[Tensor, ...]:
        """Weighted loss terms of a batch of matched pairs; RecBole's trainer minimises their sum."""
        videos, music = interaction[self.USER_ID], interaction[self.ITEM_ID]
        visual = self.visual.lookup_on(self.device, self.share.own(videos))
        acoustic = self.acoustic.lookup_on(self.device, self.share.own(music))
        q_video, q_music = self.encode("visual", visual), self.encode("acoustic", acoustic)
        return self.share.average(self._terms(videos, music, visual, acoustic, q_video, q_music), len(videos))

    def _terms(
        self,
        videos: Tensor,
        music: Tensor,
        visual: Tensor,
        acoustic: Tensor,
        q_video: Posterior,
        q_music: Posterior,
    ) -> Any:
        """The weighted terms of a batch, by name, () float each.

        Args:
            videos, music: (B,) ids of the whole batch; visual, acoustic: (n, F) features of this process's share.
            q_video, q_music: (n, D) posteriors of them.
        """
        s = self.settings
        decodes = s.reconstruction_weight > 0
        if decodes or s.match_on == "sample":
            z_video, z_music = q_video.sample(s.sampling_noise), q_music.sample(s.sampling_noise)
        video, tune = (z_video, z_music) if s.match_on == "sample" else (q_video.mean, q_music.mean)
        video, tune = self.share.gather(video, tune, len(videos))
        with torch.autocast(music.device.type, enabled=False):  # a temperature magnifies what half precision rounds off
            scores = self.training_scores(video, tune, videos, music)
        rows = music if s.mask_same_music else torch.arange(len(music), device=music.device)
        masked = rows.unsqueeze(1) == rows.unsqueeze(0)
        popularity, weights = self.popularity[music], self.pair_weights(music)
        pairs = MatchedPairs(scores, masked, self.temperature, popularity, self.train_pairs, weights)
        kl_weight = s.kl_weight * kl_annealing(self.epoch, s.kl_anneal_epochs)
        visual_error = acoustic_error = kl_video = kl_music = scores.new_zeros(())
        if kl_weight > 0:
            kl_video = kl_to_standard_normal(self.learned_part(q_video))
            kl_music = kl_to_standard_normal(self.learned_part(q_music))
        if decodes:
            video_source = self.decoding_latent(z_music, videos)
            visual_error = self.decoders["visual"].error(video_source, self.encoders["visual"].standardised(visual))
            acoustic_error = self.decoders["acoustic"].error(z_video, self.encoders["acoustic"].standardised(acoustic))
        return LossTerms(
            matching=MATCHINGS[s.matching](pairs, s),
            kl_video=kl_weight * kl_video,
            kl_music=kl_weight * kl_music,
            reconstruction_visual=s.reconstruction_weight * visual_error,
            reconstruction_acoustic=s.reconstruction_weight * acoustic_error,
        )

    @property
    def temperature(self) -> Tensor:
        """How many units of score make the odds e times larger in ``matching: softmax``, () float; learned there."""
        learned = getattr(self, "log_temperature", None)
        return torch.tensor(self.settings.temperature) if learned is None else learned.exp()

    def training_scores(self, video: Tensor, tune: Tensor, videos: Tensor, music: Tensor) -> Tensor:
        """Scores of a training batch, (B, B): video i in row i, track j in column j.

        Args:
            video, tune: (B, D) latent vectors of both sides.
            videos, music: (B,) their ids.
        """
        return self.adjustment.training_scores(video, tune, videos, music)

    def pair_weights(self, music: Tensor) -> Tensor | None:
        """What each pair of a batch counts in the matching term, (B,), by its track; None for all alike."""
        return None

    # --- scores ---------------------------------------------------------------------------------------------------
    def set_validating(self, validating: bool) -> None:
        """Tell whether rankings serve to choose an epoch; the matcher ranks the same in any case."""

    def set_epoch(self, epoch: int) -> None:
        """Tell the schedules which epoch (0-based) is being trained."""
        self.epoch = epoch

    def posteriors(self, modality: str) -> Posterior:
        """Posteriors of all ids of a modality in evaluation mode: mean and logvar of shape (n_ids, D)."""
        matrix = self.visual if modality == "visual" else self.acoustic
        blocks = torch.arange(len(matrix)).split(_ENCODE_ROWS)
        encoded = [self.encode(modality, matrix.lookup_on(self.device, ids)) for ids in blocks]
        return Posterior(torch.cat([q.mean for q in encoded]), torch.cat([q.logvar for q in encoded]))

    def video_latents(self, visual: Tensor) -> Tensor:
        """(B, F) features of any videos, on this model's device -> (B, D) posterior means."""
        return self.encode("visual", visual).mean

    def music_latents(self, acoustic: Tensor) -> Tensor:
        """(N, F) features of any tracks, on this model's device -> (N, D) posterior means."""
        return self.encode("acoustic", acoustic).mean

    def query_vectors(self, visual: Tensor, uploaders: Tensor | None = None) -> Tensor:
        """Vectors of any videos, whose dot products with :meth:`music_vectors` are the scores.

        Args:
            visual: (B, F) features, on this model's device.
            uploaders: (B, K) preferences of the uploaders, for a model that ranks under them.

        Returns:
            (B, E).
        """
        return self.adjustment.query(self.video_latents(visual), uploaders)

    def ranking_vectors(self, visual: Tensor, uploaders: Tensor | None = None) -> Tensor:
        """As :meth:`query_vectors`, for a ranking: the scores may be off by a constant for each video."""
        return self.adjustment.ranking_query(self.video_latents(visual), uploaders)

    @property
    def why_no_dot_product(self) -> str | None:
        """Why no dot product ranks a video's tracks as the score does; None where one does."""
        if self.adjustment.ranks_by_dot_product:
            return None
        return "backdoor: exact with this confounder_fusion sums probabilities over the groups, which is no dot product"

    def scores_of(self, products: Tensor, tracks: Tensor) -> Tensor:
        """Scores made of dot products with tracks of (n,) ids, (B, n); the products themselves unless overridden."""
        return products

    def uploaders_of(self, videos: Tensor) -> Tensor | None:
        """(B, K) preferences of the uploaders of (B,) video ids; None for a model without confounder."""
        return None

    def video_vectors(self, videos: Tensor) -> Tensor:
        """:meth:`query_vectors` of (B,) video ids -> (B, E)."""
        return self.query_vectors(self.visual.lookup_on(self.device, videos), self.uploaders_of(videos))

    def music_block(self, music: Tensor) -> Tensor:
        """(N,) track ids -> (N, E) vectors, to be scored with :meth:`query_vectors`."""
        return self.adjustment.key(self.music_latents(self.acoustic.lookup_on(self.device, music)), music)

    def catalogue_vectors(self) -> Tensor:
        """(n_tracks, E) vectors of the catalogue, padding first."""
        return torch.cat([self.music_block(ids) for ids in self.catalogue_ids(first=0)])

    def catalogue_ids(self, first: int = 1) -> tuple[Tensor, ...]:
        """The ids of the catalogue from ``first`` on, in blocks to be encoded at a time; id 0 is the padding."""
        return torch.arange(first, len(self.acoustic)).split(_ENCODE_ROWS)


class DecCMTeacher(CMVAE):
    """The teacher alone: the matcher trained on professional music videos (PGC)."""
