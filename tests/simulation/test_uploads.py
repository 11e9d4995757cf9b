"""Simulations around real uploads: the table's rows stand as they are, and the latents are those of their choices."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from recbole_decm.cli.main import main
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.experiments.uploads import read_uploads
from recbole_decm.io.atomic import read_columns, read_header
from recbole_decm.simulation.causal import SimulationConfig, confounder, simulate
from recbole_decm.simulation.table import UploadTable
from recbole_decm.simulation.uploads import config_of, draw_given_choices, fit_exposure, simulate_uploads

GENRES = {"a": "pop", "b": "rock", "c": "g10 g2", "d": "pop rock jazz", "e": "jazz"}
SMALL = ["--visual-dim=8", "--acoustic-dim=6", "--seed=3"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """400 uploads: a long tail of uploaders, half of whom have one video, and of tracks, some with several genres."""
    rng = np.random.default_rng(0)
    uploader = np.minimum(rng.zipf(1.5, 400), 150)
    music = [f"{'abcde'[n % 5]}{n}" for n in np.minimum(rng.zipf(1.4, 400), 40)]
    names = [f"up {number}" for number in uploader]
    return pd.DataFrame({"uploader_id": names, "music_id": music, "genre": [GENRES[name[0]] for name in music]})


@pytest.fixture
def table(frame, tmp_path) -> Path:
    frame.to_csv(tmp_path / "uploads.csv", index=False)
    return tmp_path / "uploads.csv"


def written(folder: Path, name: str) -> pd.DataFrame:
    """Uploader, track and genre of the written interactions, as the table has them."""
    data = folder / name
    pairs = pd.concat(
        [read_columns(data / f"{name}.{part}.inter", ["video_id", "music_id"]) for part in ("train", "valid", "test")]
    )
    owner = read_columns(data / f"{name}.user", ["video_id", "uploader_id"]).set_index("video_id")["uploader_id"]
    genre = read_columns(data / f"{name}.item", ["music_id", "genre"]).set_index("music_id")["genre"]
    return pd.DataFrame(
        {
            "uploader_id": owner[pairs["video_id"]].to_numpy(),
            "music_id": pairs["music_id"].to_numpy(),
            "genre": genre[pairs["music_id"]].to_numpy(),
        }
    )


def rows_of(frame: pd.DataFrame) -> Counter:
    """The rows of a table as a multiset; the order of a track's genres is no matter."""
    genres = [" ".join(sorted(cell.split())) for cell in frame["genre"]]
    return Counter(zip(frame["uploader_id"], frame["music_id"], genres, strict=True))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_rows_of_the_table_are_the_observed_choices(frame, table, tmp_path, capsys, kind):
    if kind == "parquet":
        table = tmp_path / "uploads.parquet"
        frame.assign(genre=frame["genre"].str.split()).to_parquet(table)
    assert main(["simulate", f"--out={tmp_path}", "--name=real", f"--uploads={table}", *SMALL]) == 0
    assert rows_of(written(tmp_path, "real")) == rows_of(frame)
    shares = read_columns(tmp_path / "real" / "real.user", ["video_id", "uploader_genre"])
    assert len(shares) == len(frame) and len(shares["uploader_genre"][0].split()) == 5
    found = json.loads((tmp_path / "real" / "real.references.json").read_text())
    assert found["oracle"]["recall"]["do"] > found["ceiling"]["recall"]["do"] > 10 / 40
    text = (tmp_path / "real" / "real.yaml").read_text()
    assert f"--uploads {table.name}" in text and "#   confounding: 1.5" in text and "#   videos: 400" in text
    assert f"400 videos, {frame['music_id'].nunique()} music, 5 genres" in capsys.readouterr().out
    pgc = read_columns(tmp_path / "real-pgc" / "real-pgc.item", ["genre"])["genre"]
    assert set(pgc) <= {"pop", "rock", "jazz", "g2", "g10"}


def test_a_model_runs_on_it(table, tmp_path):
    assert main(["simulate", f"--out={tmp_path}", "--name=real", f"--uploads={table}", *SMALL]) == 0
    arguments = ["--model=Ridge", "--dataset=real", f"--data_path={tmp_path}", "--result_file=found.json"]
    assert main(["run", *arguments, "--metrics=['Recall','GenreKL','MajorityShare']", "--valid_metric=Recall@10"]) == 0
    assert set(json.loads(Path("found.json").read_text())["test_do"]) >= {"recall@10", "genrekl@10"}


def test_the_same_seed_draws_the_same_and_another_one_other_latents(table):
    uploads = read_uploads(table)
    one, again, other = (simulate_uploads(uploads, config_of(uploads, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.uploads.latent, again.uploads.latent) and np.array_equal(one.observed, again.observed)
    assert not np.array_equal(one.uploads.latent, other.uploads.latent)
    assert np.array_equal(np.sort(one.observed), np.sort(other.observed))


FORWARD = {"videos": 2_000, "music": 50, "uploaders": 400, "pgc_videos": 10, "pgc_music": 10, "seed": 1}


def test_given_the_choices_all_else_has_the_distribution_of_the_causal_model():
    """Forward, preferences and latents are drawn and then tracks; given these tracks, the same moments come back."""
    config = SimulationConfig(**FORWARD, confounding=2.0, style=0.5)
    forward = simulate(config)
    catalogue, uploader = forward.catalogue, forward.uploads.uploader
    rng = np.random.default_rng(0)
    found = draw_given_choices(config, forward.world, uploader, forward.observed, catalogue, rng)
    own, chosen_genre = catalogue.latent[forward.observed], catalogue.genre[forward.observed]
    match, taste = [], []
    for uploads in (forward.uploads, found):
        match.append((uploads.latent * own).sum(axis=1))
        taste.append(uploads.preferences[uploader, chosen_genre])
    assert match[1].mean() == pytest.approx(match[0].mean(), rel=0.04)
    assert match[1].std() == pytest.approx(match[0].std(), rel=0.06)
    assert taste[1].mean() == pytest.approx(taste[0].mean(), abs=0.02)
    assert taste[0].mean() > forward.uploads.preferences.mean(axis=0)[chosen_genre].mean() + 0.08
    together = np.corrcoef(forward.uploads.preferences.ravel(), found.preferences.ravel())[0, 1]
    assert 0.6 < together < 0.99  # five uploads tell much of a preference, not all
    assert (found.latent**2).sum(axis=1).mean() == pytest.approx(
        (forward.uploads.latent**2).sum(axis=1).mean(), rel=0.04
    )


def coefficient(simulation) -> float:
    """That of the log preference in the observed choice, with the true match and an offset for each track."""
    match = (simulation.uploads.latent @ simulation.catalogue.latent.T).astype(np.float64)
    taste = np.log(simulation.uploads.preferences + 0.01)[simulation.uploads.uploader]
    taste, chosen = taste[:, simulation.catalogue.genre], simulation.observed
    rows, plays = np.arange(len(chosen)), np.bincount(chosen, minlength=match.shape[1])

    def loss(values):
        logits = match + values[0] * taste + values[1:]
        chances = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        slope = (chances * taste).sum() - taste[rows, chosen].sum()
        return -np.log(chances[rows, chosen]).sum(), np.append(slope, chances.sum(axis=0) - plays)

    return float(minimize(loss, np.zeros(match.shape[1] + 1), jac=True, method="L-BFGS-B").x[0])


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_the_strength_that_is_asked_for_is_the_one_of_the_choices(strength):
    forward = simulate(SimulationConfig(**FORWARD, confounding=1.5))
    used, music = np.unique(forward.observed, return_inverse=True)
    names = [np.array([f"{i}" for i in range(count)], dtype=object) for count in (400, len(used), 6)]
    table = UploadTable(forward.uploads.uploader, music, np.eye(6)[forward.catalogue.genre[used]], *names)
    drawn = simulate_uploads(table, config_of(table, confounding=strength, seed=2))
    assert coefficient(forward) == pytest.approx(1.5, abs=0.15)
    assert coefficient(drawn) == pytest.approx(strength, abs=0.2)


def test_exposure_makes_the_model_expect_each_track_as_often_as_it_was_chosen():
    config = SimulationConfig(videos=4_000, music=20, uploaders=100, pgc_videos=10, pgc_music=10, confounding=1.0)
    forward = simulate(config)
    plays = np.maximum(1, (4_000 * np.random.default_rng(1).dirichlet(np.full(20, 0.7))).astype(int))
    flat = forward.catalogue
    exposure = fit_exposure(config, forward.world, plays, flat, np.random.default_rng(2))
    logits = forward.uploads.latent @ flat.latent.T + confounder(config, forward.uploads, flat)(slice(None)) + exposure
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (chance / chance.sum(axis=1, keepdims=True)).mean(axis=0)
    assert np.abs(expected - plays / plays.sum()).max() < 0.02 and plays.max() / plays.sum() > 0.15


def test_a_tracks_genres_are_those_of_all_its_rows(tmp_path):
    rows = [
        ("u1", "a", "pop"),
        ("u2", "a", "rock|hip  hop"),
        ("u1", "b", ""),
        ("u3", "b", "pop"),
        ("u4", "c", "hip hop"),
    ]
    frame = pd.DataFrame(rows * 3, columns=["uploader_id", "music_id", "genre"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_uploads(tmp_path / "t.csv", "|")
    assert table.genres.tolist() == ["hip_hop", "pop", "rock"] and table.tracks.tolist() == ["a", "b", "c"]
    assert table.membership == pytest.approx(np.array([[1 / 3] * 3, [0, 1, 0], [1, 0, 0]]))
    assert table.genre_counts()[0] == pytest.approx([1, 4, 1])  # u1: three times a, three times b


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.drop(columns="genre"),
            "expected the columns uploader_id, music_id and genre, found no genre",
        ),
        (lambda f: f.drop(columns=["uploader_id", "music_id"]), "found no uploader_id and no music_id"),
        (lambda f: f.assign(genre=""), "expected a genre in some row of every track, found none for"),
        (lambda f: f.assign(uploader_id=[""] + ["u"] * 399), "row 1: expected a name in 'uploader_id'"),
        (lambda f: f.head(9), "expected at least 10 uploads, found 9"),
        (lambda f: f.assign(music_id="a", genre="pop"), "expected at least 2 tracks, found 1"),
        (lambda f: f.assign(music_id=list("ab") * 200, genre="x y z"), "found 2 tracks of 3 genres"),
        (lambda f: f.head(0), "expected at least one row"),
    ],
)
def test_a_bad_table_is_refused(frame, tmp_path, change, message):
    change(frame).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_uploads(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--videos=100"], "--videos: expected none beside a table of uploads: its rows are the videos"),
        (["--genre-shares=0.5,0.5"], "--genre-shares: expected none beside a table of uploads"),
        (["--media"], "--media: expected either --media or --uploads, found both"),
        (["--confounding=-1"], "--confounding: expected"),
    ],
)
def test_options_that_the_table_has_the_say_for_are_refused(table, tmp_path, capsys, options, message):
    assert main(["simulate", f"--out={tmp_path}", "--name=real", f"--uploads={table}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "real").exists()


def test_names_cannot_write_lines_of_their_own(frame, tmp_path):
    path = tmp_path / "x\nseed: 1.csv"
    frame.to_csv(path, index=False)
    assert main(["simulate", f"--out={tmp_path}", "--name=real", f"--uploads={path}", *SMALL]) == 0
    assert not any(line.startswith("seed") for line in (tmp_path / "real" / "real.yaml").read_text().splitlines())
    assert read_header(tmp_path / "real" / "real.item")["genre"] == "token_seq"


def test_the_options_of_a_table_are_checked_without_it():
    table = UploadTable(np.zeros(20, int), np.arange(20) % 2, np.eye(2), *[np.array(["a", "b"], dtype=object)] * 3)
    with pytest.raises(ConfigError, match="--popularity: expected none beside a table of uploads"):
        config_of(table, popularity=1.0)
    assert (config_of(table).videos, config_of(table).music, config_of(table).pgc_videos) == (20, 2, 5)
