"""Ridge regression and canonical correlation analysis in closed form, from covariances alone.

scikit-learn's ``Ridge`` gives the same weights (a test compares them) but needs all rows in memory and copies them; its
``CCA`` finds one direction at a time by an iteration over all rows and cannot be regularised. Here one pass over blocks
(:mod:`recbole_decm.model.baselines.moments`) is followed by a Cholesky factorisation, and a singular value
decomposition for CCA: at 2,048 x 256 features, seconds whatever the number of rows.

Shapes: Fx features of a video, Fy of a track, E dimensions of the space in which both are compared.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recbole_decm.model.baselines.moments import PairedMoments


class AffineMap(NamedTuple):
    """features @ weight + bias: weight (F, E) and bias (E,), float64."""

    weight: Tensor
    bias: Tensor


class RidgeFit(NamedTuple):
    """Maps of both sides into the standardised music features, and the share of their variance left unexplained."""

    video: AffineMap
    music: AffineMap
    unexplained: float


class CCAFit(NamedTuple):
    """Maps of both sides into the canonical space, and the (E,) canonical correlations in falling order."""

    video: AffineMap
    music: AffineMap
    correlations: Tensor


def fit_ridge(moments: PairedMoments, alpha: float) -> RidgeFit:
    """Ridge regression of standardised music features on standardised video features.

    W = argmin sum_i |y_i - W' x_i|^2 + alpha |W|^2 = (n C_xx + alpha I)^-1 n C_xy, with the covariances of features
    that have mean 0 and variance 1 over the n training pairs (Hoerl and Kennard, "Ridge regression: biased estimation
    for nonorthogonal problems", Technometrics 1970). The music's own map standardises it, so that prediction and
    target are compared around the mean music, with every feature counting the same.

    Args:
        moments: of the raw features.
        alpha: above 0, in units of scikit-learn's ``Ridge``.

    Raises:
        ValueError: the system is singular to working precision.
    """
    scale_x, scale_y, scaled = moments.standardised()
    n = moments.pairs
    weight = torch.cholesky_solve(n * scaled.cov_xy, _cholesky(n * scaled.cov_xx, alpha))
    explained = 2 * (weight * scaled.cov_xy).sum() - (weight * (scaled.cov_xx @ weight)).sum()
    total = scaled.cov_yy.diagonal().sum().clamp(min=1e-30)
    return RidgeFit(
        _map(weight, scale_x, scaled.mean_x),
        _map(torch.eye(len(scale_y), dtype=torch.float64), scale_y, scaled.mean_y),
        float(1 - explained / total),
    )


def fit_cca(moments: PairedMoments, dimension: int, regularization: float, power: float) -> CCAFit:
    """Regularised canonical correlation analysis by whitening and one singular value decomposition.

    With L_x L_x' = C_xx + r I and L_y L_y' = C_yy + r I of the standardised features, and U diag(s) V' the
    decomposition of L_x^-1 C_xy L_y^-T, the canonical maps are L_x^-T U and L_y^-T V, and s the correlations
    (Hotelling, "Relations between two sets of variates", Biometrika 1936; the ridge r is Vinod's, "Canonical ridge and
    econometrics of joint production", J. Econometrics 1976). Both maps are multiplied by s^power, so that directions of
    low correlation count less in a cosine (Gong et al., "A multi-view embedding space for modeling internet images,
    tags, and their semantics", IJCV 2014).

    Args:
        moments: of the raw features.
        dimension: directions to keep, at most min(Fx, Fy).
        regularization: r, in units of a feature's variance.
        power: 0 weighs all directions the same.

    Raises:
        ValueError: a covariance is singular to working precision.
    """
    scale_x, scale_y, scaled = moments.standardised()
    lower_x, lower_y = _cholesky(scaled.cov_xx, regularization), _cholesky(scaled.cov_yy, regularization)
    half = torch.linalg.solve_triangular(lower_x, scaled.cov_xy, upper=False)
    whitened = torch.linalg.solve_triangular(lower_y, half.T, upper=False).T
    left, correlations, right = torch.linalg.svd(whitened, full_matrices=False)
    correlations = correlations[:dimension]
    by_x = torch.linalg.solve_triangular(lower_x.T, left[:, :dimension], upper=True)
    by_y = torch.linalg.solve_triangular(lower_y.T, right[:dimension].T, upper=True)
    weights = correlations**power
    return CCAFit(
        _map(by_x * weights, scale_x, scaled.mean_x), _map(by_y * weights, scale_y, scaled.mean_y), correlations
    )


def _map(weight: Tensor, scale: Tensor, scaled_mean: Tensor) -> AffineMap:
    """The map of raw features that does what ``weight`` does to (x - mean) / scale."""
    return AffineMap(weight / scale.unsqueeze(1), -scaled_mean @ weight)


def _cholesky(matrix: Tensor, ridge: float) -> Tensor:
    lower, failed = torch.linalg.cholesky_ex(matrix + ridge * torch.eye(len(matrix), dtype=matrix.dtype))
    # A pivot is what a feature adds to those before it. The products are float32: below a millionth it is noise.
    if failed or (lower.diagonal().square() < 1e-6 * (matrix.diagonal() + ridge)).any():
        raise ValueError(f"expected a larger penalty, found {ridge:g}, with which the features are linearly dependent")
    return lower
