"""Variational towers: encoders from features to diagonal Gaussian posteriors, and cross-generation decoders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recbole_decm.data.features import Features
from recbole_decm.model import kernels


class Posterior(NamedTuple):
    """A diagonal Gaussian over the latent space.

    Attributes:
        mean: (B, D).
        logvar: (B, D), logarithm of the variances.
    """

    mean: Tensor
    logvar: Tensor

    def to(self, device: torch.device | str) -> Posterior:
        """The same posterior on another device."""
        return Posterior(self.mean.to(device), self.logvar.to(device))

    def sample(self, noise: float = 1.0) -> Tensor:
        """One reparameterised draw, mean + noise * eps * std with eps ~ N(0, I); (B, D). The mean for a noise of 0."""
        if noise == 0:
            return self.mean
        return torch.addcmul(self.mean, torch.randn_like(self.mean), (0.5 * self.logvar).exp(), value=noise)


class Dropout(nn.Module):
    """Dropout by :func:`recbole_decm.model.kernels.keep_mask` on a CPU; on other devices it is torch's dropout.

    Args:
        prob: share of the entries that are set to 0 in training, at least 0 and below 1.
    """

    def __init__(self, prob: float):
        super().__init__()
        self.prob = prob

    def forward(self, values: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        kept, scale = self.unscaled(values)
        return kept if scale == 1 else kept * scale

    def unscaled(self, values: Tensor) -> tuple[Tensor, float]:
        """Values with the dropped ones at 0, and the factor that makes up for them: a layer that follows can carry it
        in its weights, which are fewer.
        """
        if values.device.type != "cpu":
            return nn.functional.dropout(values, self.prob, self.training), 1.0
        keep, scale = self.mask(values)
        return (values if keep is None else values * keep), scale

    def mask(self, values: Tensor) -> tuple[Tensor | None, float]:
        """0 where an entry is dropped and 1 where it is kept, of the shape and type of ``values``, and the factor that
        makes up for what is dropped; (None, 1) where nothing is dropped.
        """
        if not self.training or round(self.prob * 256) == 0:
            return None, 1.0
        return kernels.keep_mask(values, self.prob)


class GaussianEncoder(nn.Module):
    """Features -> posterior: BatchNorm, Dropout, and one linear head each for mean and logvar.

    Features far from unit scale are standardised first (:meth:`standardise_by`).

    Args:
        feature_dim: F.
        latent_dimension: D.
        dropout_prob: dropout on the normalised features.
        initial_logvar: bias the logvar head starts from; at 0 the noise (norm sqrt(D)) drowns a unit mean. None leaves
            the head as torch initialises it.
    """

    shift: Tensor | None
    factor: Tensor | None

    def __init__(self, feature_dim: int, latent_dimension: int, dropout_prob: float, initial_logvar: float | None):
        super().__init__()
        self.standardise_by(None, None)
        self.norm = nn.BatchNorm1d(feature_dim)
        self.dropout = Dropout(dropout_prob)
        self.mean = nn.Linear(feature_dim, latent_dimension)
        self.logvar = nn.Linear(feature_dim, latent_dimension)
        if initial_logvar is not None:
            nn.init.constant_(self.logvar.bias, initial_logvar)
            nn.init.zeros_(self.logvar.weight)

    def forward(self, features: Tensor) -> Posterior:
        """(B, F) -> posterior with (B, D) mean and logvar."""
        features = self.standardised(features)
        heads = (self.mean, self.logvar)  # side by side in one product
        weight, bias = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])
        if kernels.fits(self.norm, features):
            both = kernels.normed_linear(features, self.norm, *self.dropout.mask(features), weight, bias)
        else:
            hidden, scale = self.dropout.unscaled(self.norm(features))
            both = nn.functional.linear(hidden, weight if scale == 1 else weight * scale, bias)
        return Posterior(*both.float().chunk(2, dim=1)) if _is_half(both) else Posterior(*both.chunk(2, dim=1))

    @property
    def experts(self) -> Sequence[GaussianEncoder]:
        """This encoder, the only one of its side."""
        return [self]

    def standardise_by(self, shift: Tensor | None, factor: Tensor | None) -> None:
        """Look at (features - shift) * factor from now on, (F,) each, kept with the weights; None: at the features."""
        self.register_buffer("shift", shift)
        self.register_buffer("factor", factor)

    def standardised(self, features: Tensor) -> Tensor:
        """What the encoder looks at, and what features are reconstructed as: (B, F) -> (B, F)."""
        if self.shift is None or self.factor is None:
            return features
        return (features - self.shift) * self.factor


def take_standardisation(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Make a model's encoders look at features as those of these weights did, which are about to be loaded."""
    for name, module in model.named_modules():
        if isinstance(module, GaussianEncoder):
            like = module.mean.weight.detach()[0]
            shift, factor = (state_dict.get(f"{name}.{part}") for part in ("shift", "factor"))
            fit = shift is not None and factor is not None and like.shape == shift.shape == factor.shape
            module.standardise_by(*(torch.empty_like(like), torch.empty_like(like)) if fit else (None, None))


class FeatureDecoder(nn.Module):
    """Latent vector of one modality -> features of the other: BatchNorm, Dropout, Linear, and a ReLU if wanted.

    Args:
        latent_dimension: D.
        feature_dim: F of the other modality.
        dropout_prob: dropout on the normalised latent vector.
        relu: cut negative outputs off, for features that are never negative.
    """

    def __init__(self, latent_dimension: int, feature_dim: int, dropout_prob: float, relu: bool = False):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(latent_dimension),
            Dropout(dropout_prob),
            nn.Linear(latent_dimension, feature_dim),
            *([nn.ReLU()] if relu else []),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(B, D) -> (B, F)."""
        return self.layers(latent)

    def error(self, latent: Tensor, features: Tensor) -> Tensor:
        """Mean squared error of the features (B, F) generated from (B, D) latent vectors, () float."""
        linear = self.layers[-1]
        if not isinstance(linear, nn.Linear) or torch.is_autocast_enabled(latent.device.type):
            return kernels.reconstruction_error(self(latent).to(features.dtype), features)
        return kernels.linear_error(self.layers[:-1](latent), linear.weight, linear.bias, features)


class FusedEncoder(nn.Module):
    """Several fields of one side -> one posterior: the product of their Gaussians, an expert a field.

    Precisions add up, and each mean counts by its precision; there is no prior among the experts. A field that is
    missing, a row of NaN, is no expert of its row (Wu and Goodman, "Multimodal generative models for scalable
    weakly-supervised learning", NeurIPS 2018, without their prior expert). The precisions are learned wherever the
    mean is: an expert that is surer pulls it further.

    Args:
        dims: F of each field.
        latent_dimension, dropout_prob, initial_logvar: as of :class:`GaussianEncoder`.
    """

    def __init__(self, dims: Sequence[int], *args: Any):
        super().__init__()
        self.dims = list(dims)
        self.experts: Any = nn.ModuleList(GaussianEncoder(dim, *args) for dim in dims)

    def forward(self, features: Tensor) -> Posterior:
        """(B, sum of F) -> posterior with (B, D) mean and logvar."""
        means, precisions = [], []
        for expert, part in zip(self.experts, features.split(self.dims, dim=1), strict=True):
            rows = _there(part)
            if rows is None:
                found = expert(part)
                means.append(found.mean)
                precisions.append(-found.logvar)
                continue
            with _statistics_of(expert, len(rows)):
                found = expert(part[rows])
            like = found.mean.new_zeros(len(part), found.mean.shape[1])
            means.append(like.index_copy(0, rows, found.mean))
            precisions.append(like.fill_(-torch.inf).index_copy(0, rows, -found.logvar))
        log_precision = torch.stack(precisions)
        mean = (log_precision.softmax(dim=0) * torch.stack(means)).sum(dim=0)
        return Posterior(mean, -log_precision.logsumexp(dim=0))

    def standardised(self, features: Tensor) -> Tensor:
        """What the experts look at: (B, sum of F) -> (B, sum of F)."""
        parts = zip(self.experts, features.split(self.dims, dim=1), strict=True)
        return torch.cat([expert.standardised(part) for expert, part in parts], dim=1)


class FusedDecoder(nn.Module):
    """Latent vector of one modality -> each field of the other.

    Args:
        latent_dimension: D.
        dims: F of each field.
        dropout_prob, relu: as of :class:`FeatureDecoder`.
    """

    def __init__(self, latent_dimension: int, dims: Sequence[int], *args: Any):
        super().__init__()
        self.dims = list(dims)
        self.fields: Any = nn.ModuleList(FeatureDecoder(latent_dimension, dim, *args) for dim in dims)

    def error(self, latent: Tensor, features: Tensor) -> Tensor:
        """Sum over the fields of the mean squared error of (B, F), () float; where one is missing it is 0."""
        total = latent.new_zeros(())
        for decoder, part in zip(self.fields, features.split(self.dims, dim=1), strict=True):
            rows = _there(part)
            if rows is None:
                total = total + decoder.error(latent, part)
                continue
            with _statistics_of(decoder, len(rows)):  # also for no rows: other processes may have some
                error = decoder.error(latent[rows], part[rows]) if len(rows) else decoder(latent[rows]).sum()
            total = total + error * (len(rows) / len(part))
        return total


@contextmanager
def _statistics_of(layers: nn.Module, rows: int) -> Iterator[None]:
    """Let fewer than two rows be normalised by the running statistics, unless other processes' rows join them."""
    training = layers.training
    alone = any(type(module) is nn.BatchNorm1d for module in layers.modules())
    layers.train(training and (rows > 1 or not alone))
    yield
    layers.train(training)


def _there(part: Tensor) -> Tensor | None:
    """The rows of (B, F) that have the field; None for all."""
    missing = part[:, 0].isnan()
    return (~missing).nonzero()[:, 0] if bool(missing.any()) else None


def make_encoder(side: Features, *args: Any) -> GaussianEncoder | FusedEncoder:
    """The encoder of a side's features; further arguments as of :class:`GaussianEncoder`."""
    dims = [matrix.dim for matrix in side.fields.values()]
    return GaussianEncoder(dims[0], *args) if len(dims) == 1 else FusedEncoder(dims, *args)


def make_decoder(side: Features, latent_dimension: int, *args: Any) -> FeatureDecoder | FusedDecoder:
    """The decoder to a side's features; further arguments as of :class:`FeatureDecoder`."""
    dims = [matrix.dim for matrix in side.fields.values()]
    if len(dims) == 1:
        return FeatureDecoder(latent_dimension, dims[0], *args)
    return FusedDecoder(latent_dimension, dims, *args)


def encoder_shapes(weights: Mapping[str, Tensor], modality: str) -> list[tuple[int, int]]:
    """(D, F) of each field that the encoder of a modality was trained on, from its weights; none for other weights."""
    pattern = re.compile(rf"encoders\.{modality}\.(?:experts\.(\d+)\.)?mean\.weight")
    found = {int(match[1] or 0): weights[name].shape for name in weights if (match := pattern.fullmatch(name))}
    return [(found[place][0], found[place][1]) for place in sorted(found)]


def _is_half(values: Tensor) -> bool:
    return values.dtype in (torch.bfloat16, torch.float16)
