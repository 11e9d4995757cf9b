"""What people import: the package's face, and the two modules kept for old imports."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.running import QUICK

import recbole_decm
from recbole_decm import evaluate, open_recommender, run
from recbole_decm.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def checkpoint(planted, tmp_path_factory):
    """A trained matcher of the planted data."""
    folder = tmp_path_factory.mktemp("face")
    values = {**QUICK, "data_path": str(planted), "checkpoint_dir": str(folder), "latent_dimension": 16}
    result = run("CMVAE", "planted", config_dict=values)
    (path,) = folder.glob("*.pth")
    assert evaluate(path)["test"] == result["test_result"]
    return path


def test_tracks_for_features_in_memory(planted, checkpoint):
    recommender = open_recommender(checkpoint)
    assert isinstance(recommender, recbole_decm.serving.Recommender)
    videos = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    table = recommender.recommend(videos, k=5)
    assert list(table.columns) == ["row", "rank", "music_id", "score"] and len(table) == 15
    assert table["rank"].tolist() == [1, 2, 3, 4, 5] * 3 and (table.groupby("row")["score"].diff().dropna() <= 0).all()
    alone = recommender.recommend(videos[1:2].tolist(), k=5)
    assert alone["music_id"].tolist() == table.loc[table["row"] == 1, "music_id"].tolist()


@pytest.mark.parametrize(
    ("videos", "k", "error", "message"),
    [
        (np.zeros((2, 11)), 5, DataError, r"visual features: expected at least one row of 12 numbers.*\(2, 11\)"),
        (np.zeros((0, 12)), 5, DataError, r"at least one row"),
        (np.full((2, 12), np.nan), 5, DataError, r"visual features, row 0: expected finite numbers"),
        ([["a"] * 12], 5, DataError, r"visual features: expected a matrix of numbers"),
        ([["1"] * 12], 5, DataError, r"visual features: expected a matrix of numbers, but found <U1"),
        (np.ones((2, 12), dtype=complex), 5, DataError, r"expected a matrix of numbers, but found complex128"),
        ([[None] * 12], 5, DataError, r"row 0: expected finite numbers"),
        ([[1.0] * 12, [1.0]], 5, DataError, r"expected a matrix of numbers"),
        (torch.ones(2, 12, requires_grad=True), 5, DataError, r"expected a matrix of numbers, but Can't call numpy"),
        (np.full((2, 12), 1e39), 5, DataError, r"row 0: expected finite numbers"),
        (np.ones(12), 5, DataError, r"at least one row of 12 numbers, found the shape \(12,\)"),
        (np.ones((2, 12, 1)), 5, DataError, r"found the shape \(2, 12, 1\)"),
        (None, 5, DataError, r"found the shape \(\)"),
        (np.zeros((2, 12)), 2.5, ConfigError, r"k: expected a whole number from 1 to 40, the tracks, found 2.5"),
        (np.zeros((2, 12)), "3", ConfigError, r"k: expected a whole number from 1 to 40, the tracks, found '3'"),
        (np.zeros((2, 12)), 0, ConfigError, r"k: expected a whole number from 1 to 40"),
        (np.zeros((2, 12)), 41, ConfigError, r"k: expected a whole number from 1 to 40.*found 41"),
    ],
)
def test_what_cannot_be_ranked_is_refused(checkpoint, videos, k, error, message):
    with pytest.raises(error, match=message):
        open_recommender(checkpoint).recommend(videos, k)


def test_old_imports_still_lead_somewhere(checkpoint, tmp_path):
    from recbole_decm.quick_start import evaluate as old_evaluate
    from recbole_decm.quick_start import run as old_run
    from recbole_decm.recommend import VideoChoice, open_recommender, write_tables

    assert (old_run, old_evaluate) == (run, evaluate)
    np.save("today.npy", np.zeros((2, 12), dtype=np.float32))
    recommender, videos = open_recommender(checkpoint, VideoChoice(tmp_path / "today.npy"))
    assert write_tables(recommender.frames(videos, 3), tmp_path / "today.csv") == 6


def test_the_package_alone_imports_neither_torch_nor_recbole():
    code = "import sys, recbole_decm, recbole_decm.metrics; sys.exit({'torch', 'recbole'} & set(sys.modules) != set())"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
