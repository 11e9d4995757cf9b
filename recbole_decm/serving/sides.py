"""The two sides of a model's score as modules of tensors alone, which can be written as ONNX.

What a model looks up by ids (priors, genres) is an input here, so that one pair of sides serves every uploader and
every catalogue. A field of several that is missing, a row of NaN, is masked instead of left out: in evaluation the rows
of a batch do not depend on each other.

Shapes: B videos, N tracks, F of a field, K genre groups, D latent, E of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recbole_decm.errors import ConfigError
from recbole_decm.model.adjustment import ExactSum
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.towers import FusedEncoder, GaussianEncoder, Posterior


class _Masked(nn.Module):
    """A :class:`FusedEncoder` in evaluation: the same posterior, without choosing rows."""

    def __init__(self, fused: FusedEncoder):
        super().__init__()
        self.dims, self.experts = list(fused.dims), fused.experts

    def forward(self, features: Tensor) -> Posterior:
        means, precisions = [], []
        for expert, part in zip(self.experts, features.split(self.dims, dim=1), strict=True):
            missing = part[:, :1].isnan()
            found = expert(torch.where(missing, torch.zeros_like(part), part))
            means.append(found.mean)
            precisions.append(torch.where(missing, torch.full_like(found.logvar, -torch.inf), -found.logvar))
        log_precision = torch.stack(precisions)
        mean = (log_precision.softmax(dim=0) * torch.stack(means)).sum(dim=0)
        return Posterior(mean, -log_precision.logsumexp(dim=0))


class _Plain(nn.Module):
    """A :class:`GaussianEncoder` in evaluation, in operations that have a name in ONNX."""

    def __init__(self, encoder: GaussianEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor) -> Posterior:
        encoder = self.encoder
        hidden = encoder.norm(encoder.standardised(features))
        return Posterior(encoder.mean(hidden), encoder.logvar(hidden))


def _plain(encoder: Any) -> nn.Module:
    if isinstance(encoder, FusedEncoder):
        masked = _Masked(encoder)
        masked.experts = nn.ModuleList(_Plain(expert) for expert in encoder.experts)
        return masked
    return _Plain(encoder)


@contextmanager
def plainly(model: CMVAE) -> Iterator[None]:
    """Let a model encode by masked and plain operations."""
    holders = [part for name, part in model.named_children() if name in ("encoders", "guide", "genre_encoders")]
    before = [{name: holder[name] for name in ("visual", "acoustic")} for holder in holders]
    for holder, kept in zip(holders, before, strict=True):
        for name, encoder in kept.items():
            holder[name] = _plain(encoder)
    try:
        yield
    finally:
        for holder, kept in zip(holders, before, strict=True):
            for name, encoder in kept.items():
                holder[name] = encoder


def takes_priors(model: CMVAE) -> bool:
    """Whether the query side takes P(k) of each video.

    An exact sum that ranks as a dot product under one group alone does so under no other prior.
    """
    adjustment = model.adjustment
    if not adjustment.confounded:
        return False
    return not isinstance(adjustment, ExactSum) or adjustment.why_no_rank_changes is not None


class QuerySide(nn.Module):
    """Features of videos, and P(k) of each where :func:`takes_priors` says so -> (B, E).

    Args:
        model: in evaluation mode; from now on it ranks under the priors it is given.

    Raises:
        ConfigError: no dot product ranks as the model does.
    """

    def __init__(self, model: CMVAE):
        super().__init__()
        if model.why_no_dot_product:
            raise ConfigError(f"export: expected a model whose score is a dot product, but {model.why_no_dot_product}.")
        self.takes_priors, self._fixed = takes_priors(model), None
        if model.adjustment.confounded:
            self._fixed = None if self.takes_priors else model.adjustment.priors(1, None)
            model.rank_under("uploader")  # type: ignore[operator]
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """(B, F) of each field in the model's order, then (B, K) -> (B, E)."""
        fields, priors = (inputs[:-1], inputs[-1]) if self.takes_priors else (inputs, None)
        features = torch.cat(fields, dim=1)
        if self._fixed is not None:
            priors = torch.ones_like(features[:, :1]) * self._fixed
        return self.model.ranking_vectors(features, priors)


class TrackSide(nn.Module):
    """Features of tracks, and their genres where the model reads them -> (N, E).

    Args:
        model: which :class:`QuerySide` was made of.
    """

    def __init__(self, model: CMVAE):
        super().__init__()
        self.model, self.reads_genres = model, model.needs_genre(model.settings)

    def forward(self, *inputs: Tensor) -> Tensor:
        """(N, F) of each field in the model's order, then (N, K) -> (N, E)."""
        fields, genres = (inputs[:-1], inputs[-1]) if self.reads_genres else (inputs, None)
        return self.model.adjustment.key_of(self.model.music_latents(torch.cat(fields, dim=1)), genres)
