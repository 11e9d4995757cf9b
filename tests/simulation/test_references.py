"""Rankings that know the truth, on data where their scores are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recbole_decm.errors import DataError
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.simulation.references import (
    Truth,
    format_references,
    read_truth,
    references,
    regress_latents,
    score_lists,
    top_by_match,
)


def test_top_by_match_is_a_sort_in_any_block_size(monkeypatch):
    rng = np.random.default_rng(0)
    video, music = rng.normal(size=(17, 3)), rng.normal(size=(9, 3))
    expected = np.argsort(-(video @ music.T), axis=1)[:, :4]
    assert (top_by_match(video, music, 4) == expected).all()
    monkeypatch.setattr("recbole_decm.simulation.references._BLOCK_CELLS", 20)
    assert (top_by_match(video, music, 4) == expected).all()
    assert top_by_match(video, music, 20).shape == (17, 9)


def test_scores_of_lists():
    genre = np.array([1, 1, 1, 0, 0])
    scores = score_lists(np.array([[0, 3], [4, 3]]), {"do": np.array([3, 0]), "test": np.array([0, 3])}, genre)
    assert scores.recall == {"do": 0.5, "test": 1.0} and scores.majority_share == 0.25


def test_latents_are_found_where_the_features_tell_them():
    rng = np.random.default_rng(0)
    latents, projection = rng.normal(size=(500, 3)), rng.normal(size=(3, 10))
    found = regress_latents(latents[:400] @ projection, latents[:400], latents[400:] @ projection)
    assert np.allclose(found, latents[400:], atol=0.02)


@pytest.mark.parametrize(("noise", "gap"), [(0.0, 0.1), (50.0, 0.5)])
def test_the_ceiling_reaches_the_oracle_as_far_as_the_features_tell(noise, gap, tmp_path):
    config = SimulationConfig(
        videos=3_000, music=60, pgc_videos=20, pgc_music=20, visual_dim=64, acoustic_dim=64, latent_dim=6
    )
    config = type(config)(**{**vars(config), "visual_noise": noise, "acoustic_noise": 0.0})
    folder = write_simulation(simulate(config), tmp_path, "s")
    found = json.loads((folder / "s.references.json").read_text())
    assert found.pop("k") == 10
    oracle, ceiling = (found[name]["recall"]["do"] for name in ("oracle", "ceiling"))
    assert oracle > 0.6 > 10 / 60
    assert oracle - ceiling < gap if noise == 0 else oracle - ceiling > 0.3
    assert found["oracle"]["recall"]["test"] < oracle  # observed choices follow more than the match
    assert len(format_references(found)) == 2 and "Feature ceiling: recall@10" in format_references(found)[1]


def test_the_observed_test_of_an_unconfounded_world_is_an_intervention():
    config = SimulationConfig(videos=4_000, music=60, pgc_videos=20, pgc_music=20, confounding=0.0)
    run = simulate(config)
    truth = Truth(run.uploads.latent, run.catalogue.latent, run.catalogue.genre)
    rows, choices = slice(2_000, 4_000), {"test": run.observed[2_000:], "do": run.intervened[2_000:]}
    found = references(truth, run.uploads.latent, run.catalogue.latent, slice(0, 2_000), rows, choices)
    assert found["oracle"]["recall"]["test"] == pytest.approx(found["oracle"]["recall"]["do"], abs=0.04)
    assert found["ceiling"]["recall"]["do"] == pytest.approx(found["oracle"]["recall"]["do"], abs=0.01)


def test_the_truth_comes_back_from_its_file(tmp_path):
    run = simulate(SimulationConfig(videos=30, music=20, pgc_videos=20, pgc_music=20))
    truth = read_truth(write_simulation(run, tmp_path, "s") / "s.truth.npz")
    assert (truth.video_latent == run.uploads.latent).all() and (truth.genre == run.catalogue.genre).all()


@pytest.mark.parametrize("content", [b"nothing", b"", None])
def test_a_file_without_the_truth(tmp_path, content):
    path = tmp_path / "s.truth.npz"
    path.write_bytes(content) if content is not None else np.savez(path, genre=np.zeros(3))
    with pytest.raises(DataError, match=r"s\.truth\.npz: expected an archive with video_latent, music_latent, genre"):
        read_truth(path)
