"""Variational towers: encoders from features to diagonal Gaussian posteriors, and cross-generation decoders."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


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

    def sample(self) -> Tensor:
        """One reparameterised draw, mean + eps * std with eps ~ N(0, I); (B, D)."""
        return self.mean + torch.randn_like(self.mean) * (0.5 * self.logvar).exp()


class GaussianEncoder(nn.Module):
    """Features -> posterior: BatchNorm, Dropout, and one linear head each for mean and logvar.

    Args:
        feature_dim: F.
        latent_dimension: D.
        dropout_prob: dropout on the normalised features.
        initial_logvar: bias the logvar head starts from; at 0 the noise (norm sqrt(D)) drowns a unit mean.
    """

    def __init__(self, feature_dim: int, latent_dimension: int, dropout_prob: float, initial_logvar: float):
        super().__init__()
        self.norm = nn.BatchNorm1d(feature_dim)
        self.dropout = nn.Dropout(dropout_prob)
        self.mean = nn.Linear(feature_dim, latent_dimension)
        self.logvar = nn.Linear(feature_dim, latent_dimension)
        nn.init.constant_(self.logvar.bias, initial_logvar)
        nn.init.zeros_(self.logvar.weight)

    def forward(self, features: Tensor) -> Posterior:
        """(B, F) -> posterior with (B, D) mean and logvar."""
        hidden = self.dropout(self.norm(features))
        return Posterior(self.mean(hidden), self.logvar(hidden))


class FeatureDecoder(nn.Module):
    """Latent vector of one modality -> features of the other: BatchNorm, Dropout, Linear.

    Args:
        latent_dimension: D.
        feature_dim: F of the other modality.
        dropout_prob: dropout on the normalised latent vector.
    """

    def __init__(self, latent_dimension: int, feature_dim: int, dropout_prob: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(latent_dimension), nn.Dropout(dropout_prob), nn.Linear(latent_dimension, feature_dim)
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(B, D) -> (B, F)."""
        return self.layers(latent)
