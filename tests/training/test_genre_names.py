"""Columns of genre groups are found by name, in whatever data set a checkpoint is used on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm.cli.main import main
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import DataError
from recbole_decm.serving import open_recommender
from recbole_decm.training.checkpoint import read_checkpoint, write_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import fit

BY_GENRE = {"confounder_fusion": "genre", "inference_prior": "uploader", "teacher": "none", "epochs": 1}


def rename(folder, old, new):
    path = folder / "planted" / "planted.item"
    path.write_text(path.read_text().replace(f"\t{old}\t", f"\t{new}\t"))


@pytest.fixture
def checkpoint(own_planted) -> str:
    return fit(make_config("DecCM", own_planted, **BY_GENRE)).trainer.saved_model_file


def test_a_renamed_genre_is_refused(own_planted, checkpoint):
    assert read_checkpoint(checkpoint)["genres"] == ["g0", "g1", "g2"]
    rename(own_planted, "g0", "zz")  # the same number of groups, in another order
    message = r"planted.item: expected the genres that the checkpoint was trained with \(g0, g1, g2\), found 'zz'"
    with pytest.raises(DataError, match=message):
        evaluate(checkpoint, ["--state=ERROR"])
    with pytest.raises(DataError, match=message):
        open_recommender(checkpoint)
    with pytest.raises(DataError, match=r"expected the genres .* found 'zz'"):
        fit(make_config("DecCM", own_planted, **{**BY_GENRE, "epochs": 2}, checkpoint=checkpoint))


@pytest.mark.parametrize("how", ["read", "train"])
def test_fewer_genres_are_found_by_name(tmp_path, how):
    write_planted(tmp_path, videos=60, music=12, groups=2)
    config = make_config("DecCM", tmp_path, **BY_GENRE, uploader_prior=how)
    own = DecCMDataset(config)
    own.build()
    before = own.genre_membership
    rename(tmp_path, "g1", "g2")  # their columns are the first and the third of three
    config.genres = ("g0", "g1", "g2")
    known = DecCMDataset(config)
    known.build()
    assert (known.genre_membership[:, [0, 2]] == before).all() and not known.genre_membership[:, 1].any()
    if how == "read":
        assert (known.uploader_prior[:, [0, 2]] == own.uploader_prior).all() and not known.uploader_prior[:, 1].any()
    else:
        assert (known.uploader_prior[1:].sum(dim=1) - 1).abs().max() < 1e-5


def test_an_old_checkpoint_names_no_genres(own_planted, checkpoint):
    expected = evaluate(checkpoint, ["--state=ERROR"])
    content = {key: value for key, value in read_checkpoint(checkpoint).items() if key not in ("genres", "format")}
    write_checkpoint(checkpoint, content)
    assert evaluate(checkpoint, ["--state=ERROR"]) == expected
    with pytest.raises(DataError, match="the checkpoint does not name its genres"):
        open_recommender(checkpoint).recommend(np.zeros((1, 12)), uploaders=pd.DataFrame({"g0": [1.0]}))


def test_preferences_by_name(checkpoint, tmp_path, capsys):
    recommender, rng = open_recommender(checkpoint), np.random.default_rng(0)
    visual, matrix = rng.normal(size=(4, 12)), rng.dirichlet(np.ones(3), size=4)
    assert recommender.genres == ("g0", "g1", "g2")
    expected = recommender.recommend(visual, 5, matrix)
    named = pd.DataFrame(matrix, columns=["g0", "g1", "g2"])[["g2", "g0", "g1"]]
    assert recommender.recommend(visual, 5, named).equals(expected)
    with pytest.raises(DataError, match="uploaders: expected each of the genres g0, g1, g2 once, found 'g7'"):
        recommender.recommend(visual, 5, named.rename(columns={"g0": "g7"}))
    np.save(tmp_path / "v.npy", visual)
    np.save(tmp_path / "u.npy", matrix)
    named.to_csv(tmp_path / "u.csv", index=False)
    tables = []
    for file in ("u.npy", "u.csv"):
        command = ["recommend", str(checkpoint), f"--videos={tmp_path / 'v.npy'}", "--k=5", "--state=WARNING"]
        assert main([*command, f"--uploaders={tmp_path / file}"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] and tables[0].count("\n") == 21


def test_the_order_of_a_bare_matrix_is_said(checkpoint, tmp_path, caplog):
    np.save(tmp_path / "v.npy", np.zeros((1, 12)))
    np.save(tmp_path / "u.npy", np.array([[0.2, 0.3, 0.5]]))
    assert (
        main(["recommend", str(checkpoint), f"--videos={tmp_path / 'v.npy'}", f"--uploaders={tmp_path / 'u.npy'}"]) == 0
    )
    assert "u.npy: columns are taken as the genres g0, g1, g2" in caplog.text
