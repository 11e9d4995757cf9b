"""Variational towers: encoders from features to diagonal Gaussian posteriors, and cross-generation decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


def _is_half(values: Tensor) -> bool:
    return values.dtype in (torch.bfloat16, torch.float16)
