"""An artefact recommends as the checkpoint that it was made of, from Python and by the command."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm import open_recommender
from recbole_decm.cli.main import main
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.serving.recommender import Recommender
from recbole_decm.training.run import fit


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """(checkpoint, artefact) of one model that knows genres, over tracks with a duration."""
    place = tmp_path_factory.mktemp("made")
    write_planted(place, videos=90, music=30)
    item = place / "planted" / "planted.item"
    table = pd.read_csv(item, sep="\t", dtype=str)
    table["duration:float"] = [str(10 * (row % 6)) if row % 5 else "" for row in range(30)]
    table.to_csv(item, sep="\t", index=False)
    values = {"teacher": "none", "epochs": 3, "latent_dimension": 8, "checkpoint_dir": str(place / "saved")}
    checkpoint = fit(make_config("DecCMPlus", place, **values)).trainer.saved_model_file
    assert main(["export", str(checkpoint), "--out", str(place / "artefact")]) == 0
    return checkpoint, place / "artefact"


def videos(count=9):
    return np.random.default_rng(0).standard_normal((count, 12)).astype(np.float32)


def both(places, **asked):
    tables = [open_recommender(place).recommend(videos(), **asked) for place in places]
    return [table.sort_values(["row", "rank"]) for table in tables]


HABIT = np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (9, 1))


@pytest.mark.parametrize(
    "asked",
    [
        {"k": 30},
        {"k": 5, "prior": "mean"},
        {"k": 5, "prior": "neutral"},
        {"k": 5, "prior": {"g1": 0.9, "g0": 0.1}},
        {"k": 5, "prior": "uploader", "uploaders": HABIT},
        {"k": 5, "prior": "uploader", "uploaders": pd.DataFrame(HABIT[:, ::-1], columns=["g2", "g1", "g0"])},
        {"k": 5, "filter": "genre = 'g1' and not duration > 20", "exclude": ["m1", "m4"]},
        {"k": 5, "filter": "duration > 1000"},
    ],
    ids=str,
)
def test_both_recommend_alike(places, asked):
    of_checkpoint, of_artefact = both(places, **asked)
    assert len(of_checkpoint) == len(of_artefact)
    assert np.allclose(of_checkpoint["score"], of_artefact["score"], atol=2e-6)
    same = of_checkpoint["music_id"].to_numpy() == of_artefact["music_id"].to_numpy()
    assert same.sum() >= 0.98 * len(same)
    if "filter" not in asked:
        assert len(of_artefact) == 9 * asked["k"]


def test_a_prior_is_forgotten_after_the_call(places):
    for place in places:
        recommender = open_recommender(place)
        assert isinstance(recommender, Recommender)
        before = recommender.recommend(videos())
        other = recommender.recommend(videos(), prior={"g0": 1.0})
        assert not other.equals(before)
        assert recommender.recommend(videos()).equals(before)


def test_scores_under_another_prior_are_those_of_the_prior(tmp_path):
    """Where the tracks hold the prior, as of the paper's fusion, other vectors of them are made for a while."""
    write_planted(tmp_path, videos=60, music=12)
    values = {"teacher": "none", "epochs": 1, "latent_dimension": 8, "checkpoint_dir": str(tmp_path / "saved")}
    checkpoint = fit(make_config("DecCM", tmp_path, **values)).trainer.saved_model_file
    assert main(["export", str(checkpoint), "--out", str(tmp_path / "artefact")]) == 0
    recommender = open_recommender(checkpoint)
    own, neutral = recommender.recommend(videos(), 12), recommender.recommend(videos(), 12, prior="neutral")
    served = open_recommender(tmp_path / "artefact").recommend(videos(), 12, prior="neutral")
    assert np.allclose(neutral["score"], served["score"], atol=2e-6)
    assert not np.allclose(neutral["score"], own["score"], atol=1e-6) and neutral["music_id"].equals(own["music_id"])


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"prior": "habit"}, ConfigError, "prior: expected neutral, mean"),
        ({"prior": {"polka": 1.0}}, ConfigError, "prior: expected .*g0, g1, g2"),
        ({"uploaders": HABIT}, ConfigError, "uploader, under which DecCMPlus ranks by them"),
        ({"prior": "uploader"}, ConfigError, "where the uploaders' preferences are not given"),
        ({"filter": "colour = 'red'"}, ConfigError, "colour"),
        ({"k": 31}, ConfigError, "k: expected a whole number from 1 to 30"),
    ],
)
def test_both_refuse_alike(places, asked, error, words):
    for place in places:
        with pytest.raises(error, match=words):
            open_recommender(place).recommend(videos(), **asked)


def test_features_are_checked(places):
    with pytest.raises(DataError, match=r"expected at least one row of 12 numbers, found the shape \(2, 11\)"):
        open_recommender(places[1]).recommend(np.zeros((2, 11)))
    with pytest.raises(ConfigError, match="an artefact is as it was exported, found --dataset=x"):
        open_recommender(places[1], ["--dataset=x"])


def test_the_command_takes_an_artefact(places, capsys):
    np.save("today.npy", videos())
    for name, place in zip("ab", places, strict=True):
        asked = ["--videos=today.npy", "--k=4", "--prior=g0=0.5,g2=0.5", f"--out={name}.csv"]
        assert main(["recommend", str(place), *asked]) == 0
    one, other = pd.read_csv("a.csv"), pd.read_csv("b.csv")
    assert (one["music_id"] == other["music_id"]).mean() > 0.98 and np.allclose(one["score"], other["score"], atol=2e-6)
    assert main(["recommend", str(places[1]), "--videos=today.npy", "--index=flat", "--out=c.csv"]) == 0
    assert main(["embed", str(places[1]), "--out", "vectors"]) == 0
    assert np.load("vectors/tracks.npy").shape == (30, 11)
    assert main(["recommend", str(places[1])]) == 2
    assert "an artefact has no data set" in capsys.readouterr().err
    assert main(["recommend", str(places[1]), "--videos=today.npy", "--prior=much"]) == 2
    assert "prior: expected neutral, mean" in capsys.readouterr().err


def test_the_command_needs_neither_torch_nor_recbole(places):
    np.save("today.npy", videos())
    code = (
        "import sys; from recbole_decm.cli.main import main;"
        "assert main(['recommend', sys.argv[1], '--videos=today.npy', '--out=found.csv']) == 0;"
        "print([name for name in ('torch', 'recbole') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(places[1])], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
