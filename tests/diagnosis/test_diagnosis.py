"""A diagnosis of small worlds whose habit is known, its words, its page, and data that cannot tell."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_decm.cli.main import main
from recbole_decm.diagnosis import measures
from recbole_decm.diagnosis.report import format_diagnosis, plot_diagnosis
from recbole_decm.diagnosis.run import diagnose
from recbole_decm.diagnosis.words import conclusion, verdict
from recbole_decm.io.atomic import read_columns, write_atomic
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation

SMALL = {"videos": 1_000, "music": 40, "seed": 3, "visual_dim": 128, "acoustic_dim": 32}
GENRES = np.eye(2)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    for name, confounding in (("calm", 0.0), ("driven", 1.5)):
        write_simulation(simulate(SimulationConfig.of(confounding=confounding, **SMALL)), folder, name)
    return folder


@pytest.fixture(scope="module")
def driven(worlds):
    return diagnose("driven", [f"--data_path={worlds}"])


def test_a_habit_is_found_with_its_strength(driven):
    assert driven["verdict"] == "habit" and driven["p_value"] == 0.001 and driven["preference"] == "given"
    assert driven["strength"]["low"] < driven["strength"]["value"] < driven["strength"]["high"]
    assert 1.0 < driven["strength"]["value"] < 1.8  # 1.5, and noise in the features shrinks it
    assert driven["e_value"] > driven["e_value_of_interval"] > 1.3
    assert driven["concentration"]["same_genre"]["one_uploader"] > driven["concentration"]["same_genre"]["content"]
    assert json.loads(json.dumps(driven)) == driven


def test_no_habit_is_no_sign_and_says_what_would_have_been_found(worlds):
    found = diagnose("calm", [f"--data_path={worlds}"])
    assert found["verdict"] == "none" and found["p_value"] > 0.05
    assert "No sign of a habit" in found["words"][0] and f"{found['detectable']:.2f}" in found["words"][0]


def test_counted_preferences_are_permuted_and_not_identified(worlds, capsys):
    code = main(["diagnose", "--dataset=driven", f"--data_path={worlds}", "--uploader_prior=train", "--out=a/r.html"])
    shown = capsys.readouterr().out
    assert code == 0
    assert "permutation of uploaders" in shown and "not identified" in shown and "tastes of deviation" in shown
    assert "permutation of uploaders" in Path("a/r.html").read_text()


def test_the_page_escapes_what_data_say(driven):
    found = driven | {"dataset": "<b>x", "genres": ["<script>alert(1)</script>", *driven["genres"][1:]]}
    page = plot_diagnosis(found)
    assert "<script>alert" not in page and "&lt;b&gt;x" in page and "<b>x" not in page
    assert "E-value" in page and "plotly" in page.lower()
    assert "<script>alert(1)</script>" in format_diagnosis(found)


def test_without_uploaders_or_genres_nothing_can_be_said(own_planted):
    folder = own_planted / "planted"
    cells = read_columns(folder / "planted.user", ["video_id", "visual"])
    columns = {"video_id:token": cells["video_id"].tolist()}
    columns |= {"visual:float_seq": np.array([row.split() for row in cells["visual"]], dtype=float)}
    write_atomic(folder / "planted.user", columns, decimals=7)
    found = diagnose("planted", [f"--data_path={own_planted}"])
    assert found["verdict"] == "cannot tell" and "neither 'uploader_genre'" in found["words"][0]
    assert "Nothing can be said" in format_diagnosis(found) and "Nothing can be said" in plot_diagnosis(found)
    cells = read_columns(folder / "planted.item", ["music_id", "acoustic"])
    columns = {"music_id:token": cells["music_id"].tolist()}
    columns |= {"acoustic:float_seq": np.array([row.split() for row in cells["acoustic"]], dtype=float)}
    write_atomic(folder / "planted.item", columns, decimals=7)
    assert "the tracks have no 'genre'" in diagnose("planted", [f"--data_path={own_planted}"])["words"][0]


def test_preferences_counted_from_the_choices_themselves_say_nothing(worlds, tmp_path, capsys):
    shutil.copytree(worlds / "calm", tmp_path / "calm")
    table = tmp_path / "calm" / "calm.user"
    cells = pd.read_csv(table, sep="\t", dtype=str)
    pairs = read_columns(table.with_suffix(".train.inter"), ["video_id", "music_id"])
    genre = read_columns(table.with_suffix(".item"), ["music_id", "genre"]).set_index("music_id")["genre"]
    uploader = cells.set_index("video_id:token")["uploader_id:token"]
    counts = pd.crosstab(pairs["video_id"].map(uploader), pairs["music_id"].map(genre))
    shares = counts.div(counts.sum(axis=1), axis=0).reindex(uploader).fillna(1 / counts.shape[1]).to_numpy()
    cells["uploader_genre:float_seq"] = [" ".join(f"{share:.5f}" for share in row) for row in shares]
    cells.to_csv(table, sep="\t", index=False)
    words = diagnose("calm", [f"--data_path={tmp_path}"])["words"]
    assert "counted from these very choices" in words[0] and "--uploader_prior=train" in words[0]
    run = ["run", "--model=Ridge", "--dataset=calm", f"--data_path={tmp_path}", "--show_progress=False"]
    assert main([*run, "--metrics=[Recall,DoRecall]", "--valid_metric=Recall@10", "--checkpoint_dir=c"]) == 2
    assert "counted from them" in capsys.readouterr().err


def smoothed(folder: Path, name: str, rows: str) -> None:
    """Replace the preferences of a data set by the smoothed shares of the genres that its uploaders chose."""
    table = folder / name / f"{name}.user"
    cells = pd.read_csv(table, sep="\t", dtype=str)
    splits = ["train"] if rows == "train" else ["train", "valid", "test"]
    pairs = pd.concat(
        [read_columns(table.with_suffix(f".{part}.inter"), ["video_id", "music_id"]) for part in splits]
    ).set_index("video_id")["music_id"]
    genre = read_columns(table.with_suffix(".item"), ["music_id", "genre"]).set_index("music_id")["genre"]
    uploader = cells.set_index("video_id:token")["uploader_id:token"]
    counts = pd.crosstab(pairs.index.map(uploader), pairs.map(genre).to_numpy()) + 0.5
    shares = counts.div(counts.sum(axis=1), axis=0).reindex(uploader).fillna(1 / counts.shape[1]).to_numpy()
    cells["uploader_genre:float_seq"] = [" ".join(f"{share:.4f}" for share in row) for row in shares]
    cells.to_csv(table, sep="\t", index=False)


@pytest.mark.parametrize("rows", ["train", "all"])
def test_smoothed_counts_are_found_out_too(worlds, tmp_path, capsys, rows):
    shutil.copytree(worlds / "calm", tmp_path / "calm")
    smoothed(tmp_path, "calm", rows)
    found = diagnose("calm", [f"--data_path={tmp_path}"])
    assert found["verdict"] == "cannot tell" and "the genres of their own choices, smoothed" in found["words"][0]
    run = ["run", "--model=Ridge", "--dataset=calm", f"--data_path={tmp_path}", "--show_progress=False"]
    assert main([*run, "--metrics=[Recall,DoRecall]", "--valid_metric=Recall@10", "--checkpoint_dir=c"]) == 2
    assert "counted from them" in capsys.readouterr().err


def changed(folder: Path, suffix: str, column: str, values) -> None:
    """Set a column of the data set calm; ``values`` maps the old ones."""
    table = folder / "calm" / f"calm.{suffix}"
    cells = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    cells[column] = values(cells[column])
    cells.to_csv(table, sep="\t", index=False)


@pytest.mark.parametrize(
    ("suffix", "column", "values", "words"),
    [
        ("user", "uploader_id:token", lambda old: "one", "0 uploaders have two videos|1 uploaders have two videos"),
        ("user", "uploader_id:token", lambda old: [f"u{at % 3}" for at in range(len(old))], "3 uploaders have two"),
        ("item", "genre:token_seq", lambda old: "pop", "all chosen tracks have one genre"),
        ("item", "genre:token_seq", lambda old: [g if at % 2 else "" for at, g in enumerate(old)], "have no 'genre'"),
    ],
)
def test_too_few_uploaders_or_genres_tell_nothing(worlds, tmp_path, suffix, column, values, words):
    shutil.copytree(worlds / "calm", tmp_path / "calm")
    changed(tmp_path, suffix, column, values)
    found = diagnose("calm", [f"--data_path={tmp_path}", "--uploader_prior=train"])
    assert found["verdict"] == "cannot tell" and re.search(words, found["words"][0])


def test_a_wrong_key_is_one_line_and_exit_2(worlds, capsys):
    assert main(["diagnose", "--dataset=driven", f"--data_path={worlds}", "--no_such_key=1"]) == 2
    assert "no_such_key" in capsys.readouterr().err


def test_concentration_counts_pairs_of_different_rows():
    uploader, genres = np.array([0, 0, 0, 1, 2]), GENRES[[0, 0, 1, 1, 1]]
    found = measures.concentration(uploader, genres, np.full((5, 2), 0.5))
    assert found["uploaders"] == 3 and found["videos_each"] == {"median": 1.0, "most": 3}
    assert found["top_tenth"] == pytest.approx(3 / 5)
    same = found["same_genre"]
    assert (same["one_uploader"], same["content"], same["any_two"]) == pytest.approx((1 / 3, 0.5, 0.16 + 0.36))
    alone = measures.concentration(np.arange(5), genres, genres)
    assert alone["same_genre"]["one_uploader"] is None


def test_genres_that_uploaders_never_chose():
    uploader, genres = np.repeat([0, 1, 2], [5, 5, 1]), GENRES[[0] * 5 + [0, 0, 0, 0, 1] + [1]]
    found = measures.never_chosen(uploader, genres, np.full((11, 2), 0.5))
    assert [entry["observed"] for entry in found] == [0, 0.5]
    assert found[0]["content"] == pytest.approx(0.5**5)
    assert measures.never_chosen(np.arange(11), genres, genres)[0]["observed"] is None


def test_a_genre_beside_others_is_chosen_as_often_as_its_tracks(tmp_path):
    """Tracks of two genres count half for each, and yet have both: no habit may not look like one, nor the reverse."""
    rng = np.random.default_rng(0)
    n, each = 4_000, 8
    both = rng.random(n) < 0.5
    genres = np.where(both[:, None], 0.5, np.eye(2)[rng.integers(2, size=n)])
    found = measures.never_chosen(np.arange(n) // each, genres, np.full((n, 2), 0.75))
    for entry in found:
        assert entry["observed"] == pytest.approx(entry["content"], abs=0.01)


def test_overlap_is_whole_without_habit_and_small_with_much():
    q = np.full((200, 2), 0.5)
    kind = np.arange(200) % 2
    found = measures.overlap(q, q, kind)
    assert found["effective_share"] == found["overlap_weighted"] == 1 and found["rare"] == [0, 0]
    p = np.tile([0.995, 0.005], (200, 1))
    far = measures.overlap(q, p, np.where(np.arange(200) < 199, 0, 1))
    assert far["rare"] == [0, 1] and far["effective_share"] < 0.06


@pytest.mark.parametrize(
    ("p", "share", "said"), [(0.2, 0.9, "none"), (0.01, 0.9, "habit"), (0.01, 0.01, "little overlap")]
)
def test_what_is_said_follows_from_test_and_overlap(driven, p, share, said):
    found = driven | {"p_value": p, "overlap": driven["overlap"] | {"overlap_weighted": share}}
    assert conclusion(found) == said
    assert {"none": "No sign", "habit": "worth trying", "little overlap": "too little"}[said] in verdict(found)[0]


def test_a_habit_whose_interval_holds_0_is_not_said_to_be_worth_it(driven):
    weak = driven | {"p_value": 0.03, "strength": driven["strength"] | {"value": 0.02, "low": -0.06, "high": 0.09}}
    first = verdict(weak)[0]
    assert "There is a habit" in first and "holds 0" in first and "worth trying" not in first


def test_zeros_of_a_preference_are_named(driven):
    found = driven | {"looks_counted": "40% of the preferences are 0"}
    assert any("40% of the preferences are 0" in line and "any data show a habit" in line for line in verdict(found))
    assert not any("any data show" in line for line in verdict(driven))
