"""The causal model against what is known about it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.io.atomic import parse_matrix, read_columns
from recbole_decm.simulation.causal import SimulationConfig, genre_sizes, simulate
from recbole_decm.simulation.files import split_bounds, write_simulation

SMALL = SimulationConfig(
    videos=4_000,
    music=60,
    uploaders=200,
    pgc_videos=300,
    pgc_music=50,
    visual_dim=20,
    acoustic_dim=20,
    visual_noise=0.1,
)


def chosen_taste(simulation, choice):
    """Mean preference of the uploader for the genre of the music that was chosen."""
    genre = simulation.catalogue.genre[choice]
    return simulation.uploads.preferences[simulation.uploads.uploader, genre].mean()


def with_(**values):
    return simulate(dataclasses.replace(SMALL, **values))


def test_confounding_makes_choices_follow_the_preference():
    taste = [chosen_taste(run, run.observed) for run in (with_(confounding=c) for c in (0.0, 1.0, 3.0))]
    assert taste[0] + 0.05 < taste[1] and taste[1] + 0.05 < taste[2]


def test_intervened_choices_do_not_follow_the_preference():
    free = with_(confounding=0.0)
    confounded = with_(confounding=3.0)
    assert np.array_equal(free.intervened, confounded.intervened)
    # Under intervention, an uploader's preference says nothing about the genre: shuffling uploaders changes nothing.
    shuffled = confounded.uploads.preferences[np.random.default_rng(0).permutation(confounded.uploads.uploader)]
    genre = confounded.catalogue.genre[confounded.intervened]
    expected = shuffled[np.arange(len(genre)), genre].mean()
    assert abs(chosen_taste(confounded, confounded.intervened) - expected) < 0.02


def test_choices_are_drawn_from_the_softmax_of_the_match():
    """Frequency of each music against the mean softmax probability, 4,000 draws."""
    run = with_(confounding=0.0)
    logits = (run.uploads.latent @ run.catalogue.latent.T).astype(np.float64)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (expected / expected.sum(axis=1, keepdims=True)).mean(axis=0)
    found = np.bincount(run.observed, minlength=60) / 4_000
    assert np.abs(found - expected).max() < 4 * np.sqrt(expected.max() / 4_000)


def test_popularity_skews_observed_choices_alone():
    skewed = with_(popularity=2.0, confounding=0.0)
    counts = np.bincount(skewed.observed, minlength=60)
    assert np.corrcoef(np.log(counts + 1), skewed.catalogue.exposure)[0, 1] > 0.7
    counts = np.bincount(skewed.intervened, minlength=60)
    assert abs(np.corrcoef(np.log(counts + 1), skewed.catalogue.exposure)[0, 1]) < 0.4


def test_style_leaks_the_preference_into_the_video():
    def explained(style):
        run = with_(style=style)
        preference = run.uploads.preferences[run.uploads.uploader]
        return LinearRegression().fit(run.uploads.latent, preference).score(run.uploads.latent, preference)

    assert explained(0.0) < 0.02 < 0.3 < explained(2.0)


def test_genre_sizes_are_exact():
    assert genre_sizes((0.40, 0.20, 0.15, 0.12, 0.08, 0.05), 1_000).tolist() == [400, 200, 150, 120, 80, 50]
    assert genre_sizes((0.98, 0.01, 0.01), 5).tolist() == [3, 1, 1]
    assert np.bincount(simulate(SMALL).catalogue.genre).tolist() == genre_sizes(SMALL.genre_shares, 60).tolist()


def test_files_hold_the_truth_in_their_order(tmp_path):
    run = simulate(SMALL)
    folder = write_simulation(run, tmp_path, "s")
    truth = np.load(folder / "s.truth.npz")
    assert np.array_equal(truth["video_latent"], run.uploads.latent) and np.array_equal(
        truth["genre"], run.catalogue.genre
    )
    test = split_bounds(4_000, (0.8, 0.1, 0.1))[2]
    for name, choice in (("test", run.observed), ("do", run.intervened)):
        frame = read_columns(folder / f"s.{name}.inter", ["video_id", "music_id"])
        assert frame["video_id"].tolist() == [f"v{i}" for i in range(test.start, test.stop)]
        assert frame["music_id"].tolist() == [f"m{i}" for i in choice[test]]
    frame = read_columns(folder / "s.user", ["visual", "uploader_genre"])
    visual = parse_matrix(folder / "s.user", "visual", frame["visual"])
    fit = LinearRegression().fit(visual, truth["video_latent"])
    assert fit.score(visual, truth["video_latent"]) > 0.5  # the features tell the latents
    priors = parse_matrix(folder / "s.user", "p", frame["uploader_genre"])
    assert np.allclose(priors, run.uploads.preferences[run.uploads.uploader], atol=1e-5)
    assert read_yaml(folder / "s.yaml")["benchmark_filename"] == ["train", "valid", "test"]


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = dataclasses.replace(SMALL, videos=200, uploaders=20, seed=seed)
        write_simulation(simulate(config), tmp_path / name, "s")
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file() and path.suffix != ".npz")
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1] != contents[2]


def test_large_sets_go_to_npy_and_load(tmp_path, monkeypatch):
    from helpers.running import run_quick

    monkeypatch.setattr("recbole_decm.simulation.files.TEXT_LIMIT", 10)
    folder = write_simulation(simulate(dataclasses.replace(SMALL, videos=500)), tmp_path, "s")
    assert np.load(folder / "s.visual.npy").shape == (500, 20)
    assert run_quick("CMVAE", tmp_path, "s", epochs=1)["test_result"]["ndcg@10"] > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"videos": 3}, r"--videos: expected a number of at least 10, found 3\."),
        ({"confounding": -1.0}, r"--confounding: expected a number of at least 0, found -1\.0"),
        ({"visual_noise": float("nan")}, "--visual-noise: expected a finite number, found nan"),
        ({"latent_dim": 2.0}, r"--latent-dim: expected a whole number, found 2\.0"),
        ({"genre_shares": ()}, "--genre-shares: expected positive shares"),
        ({"genre_shares": (0.5, 0.5)}, "--preference: expected 2 numbers"),
        (
            {"genre_shares": (0.5, 0.4), "preference": (1.0, 1.0)},
            "--genre-shares: expected positive shares that sum to 1",
        ),
        ({"preference": (0.0,) * 6}, "--preference: expected positive Dirichlet"),
        ({"music": 3, "pgc_music": 9}, "--music: expected at least one track a genre"),
    ],
)
def test_bad_options(values, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **values)


def test_existing_data_are_kept_unless_overwritten(tmp_path):
    config = dataclasses.replace(SMALL, videos=50, uploaders=5)
    write_simulation(simulate(config), tmp_path, "s")
    with pytest.raises(ConfigError, match="expected a new folder"):
        write_simulation(simulate(config), tmp_path, "s")
    write_simulation(simulate(dataclasses.replace(config, videos=60)), tmp_path, "s", overwrite=True)
    assert len(read_columns(tmp_path / "s" / "s.user", ["video_id"])) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "s-pgc"]
