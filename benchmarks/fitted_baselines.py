"""Why ridge and CCA are fitted from streamed covariances: time and agreement beside scikit-learn's estimators.

    python benchmarks/fitted_baselines.py --rows 10000 --directions 2

Features are random with a shared latent part, 2,048 and 256 of them by default. scikit-learn's CCA finds one direction
after the other, so that its time grows with their number; the streamed one finds all at once.
"""

from __future__ import annotations

import time

import click
import numpy as np
import torch
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from tabulate import tabulate

from recbole_decm.model.baselines.linear import fit_cca, fit_ridge
from recbole_decm.model.baselines.moments import paired_moments

BLOCK_ROWS = 8_192
ALPHA = 1000.0


def timed(function):
    """(result, seconds) of a call."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def make_features(rng: np.random.Generator, rows: int, visual: int, acoustic: int):
    """Float32 features of ``rows`` pairs: maps of 16 shared latent dimensions, with noise."""
    latent = rng.normal(size=(rows, 16)).astype(np.float32)
    sides = (latent @ rng.normal(size=(16, dim)).astype(np.float32) for dim in (visual, acoustic))
    return [side + 4 * rng.normal(size=side.shape).astype(np.float32) for side in sides]


def compare(rows: int, visual: int, acoustic: int, directions: int) -> list[list]:
    """Rows of the table: step, seconds of ours and of scikit-learn's, largest difference."""
    x, y = make_features(np.random.default_rng(0), rows, visual, acoustic)
    blocks = (torch.from_numpy(part).split(BLOCK_ROWS) for part in (x, y))
    moments, streaming = timed(lambda: paired_moments(zip(*blocks, strict=True)))
    ridge, ridge_seconds = timed(lambda: fit_ridge(moments, ALPHA))
    cca, cca_seconds = timed(lambda: fit_cca(moments, min(visual, acoustic), 1e-6, 0.0))

    def by_sklearn():
        by_x, by_y = StandardScaler().fit(x), StandardScaler().fit(y)
        return Ridge(ALPHA).fit(by_x.transform(x), by_y.transform(y)).predict(by_x.transform(x))

    predicted, sklearn_ridge = timed(by_sklearn)
    ours = x @ ridge.video.weight.numpy() + ridge.video.bias.numpy()
    scores, sklearn_cca = timed(lambda: CCA(directions, max_iter=500).fit_transform(x, y))
    correlations = [np.corrcoef(scores[0][:, i], scores[1][:, i])[0, 1] for i in range(directions)]
    return [
        ["covariances, for both", streaming, None, None],
        ["ridge", ridge_seconds, sklearn_ridge, float(np.abs(ours - predicted).max())],
        [
            f"CCA: all {min(visual, acoustic)} directions; scikit-learn's {directions}",
            cca_seconds,
            sklearn_cca,
            float(np.abs(cca.correlations[:directions].numpy() - correlations).max()),
        ],
    ]


@click.command()
@click.option("--rows", default=10_000, show_default=True)
@click.option("--visual", default=2_048, show_default=True)
@click.option("--acoustic", default=256, show_default=True)
@click.option("--directions", default=2, show_default=True, help="Directions that scikit-learn's CCA finds.")
def main(rows, visual, acoustic, directions):
    torch.set_num_threads(1)
    table = compare(rows, visual, acoustic, directions)
    headers = ["step", "ours, s", "scikit-learn, s", "largest difference"]
    click.echo(tabulate(table, headers=headers, floatfmt=".2g", tablefmt="github"))


if __name__ == "__main__":
    main()
