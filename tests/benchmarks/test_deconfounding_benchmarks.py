"""The benchmark scripts of confounding, pooling and new music, and the figure of a folder, at a small size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.benchmark_folder import write_benchmark
from helpers.benchmark_scripts import load
from helpers.released_layout import write_released

from recbole_decm.io.atomic import read_columns
from recbole_decm.released.importer import import_released
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation


@pytest.fixture
def small(tmp_path):
    config = SimulationConfig(
        videos=200, music=30, uploaders=40, pgc_videos=60, pgc_music=30, visual_dim=8, acoustic_dim=6
    )
    return write_simulation(simulate(config), tmp_path, "small")


def test_observed_popularity_counts_the_training_pairs_of_what_was_chosen(small):
    module = load("confounding")
    counts: dict[str, int] = {}
    for music in read_columns(small / "small.train.inter", ["music_id"])["music_id"]:
        counts[music] = counts.get(music, 0) + 1
    chosen = read_columns(small / "small.test.inter", ["music_id"])["music_id"]
    assert module.observed_popularity(small) == pytest.approx(np.mean([counts.get(music, 0) for music in chosen]))


def test_runs_are_set_beside_oracle_and_ceiling_and_are_kept(small, tmp_path, monkeypatch):
    module = load("confounding")
    fast = {"epochs": 1, "teacher_config": {"epochs": 1}}
    monkeypatch.setattr(module, "VARIANTS", {"DecCMPlus": fast, "without backdoor": {**fast, "backdoor": "none"}})
    first = {name: module.measure(small, name, 1, tmp_path / "work") for name in module.VARIANTS}
    monkeypatch.setattr(module, "run_config", None)  # a second call must not train
    assert {name: module.measure(small, name, 1, tmp_path / "work") for name in module.VARIANTS} == first
    rows = module.with_references(small, first)
    known = json.loads((small / "small.references.json").read_text())
    assert rows["oracle"]["do"] == known["oracle"]["recall"]["do"] and rows["ceiling"]["of_ceiling"] == 1
    assert rows["DecCMPlus"]["over_oracle"] == pytest.approx(
        rows["DecCMPlus"]["share"] - known["oracle"]["majority_share"]
    )
    table = module.table([rows, rows])
    assert f"{rows['DecCMPlus']['do']:.3f} ± 0.000" in table and "observed choices" in table
    module.plot(tmp_path / "a.svg", {"confounding": {0.0: [rows, rows], 1.0: [rows, rows]}})
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1


def test_pooling_adds_the_professional_pairs_to_training_alone(tmp_path):
    module = load("pooling")
    import_released(*write_released(tmp_path / "released", negatives=27), "rel", tmp_path, show_progress=False)
    name = module.pool(tmp_path, "rel", tmp_path / "out")
    folder = tmp_path / "out" / name

    def rows(path):
        return len(path.read_text().splitlines()) - 1

    train, more = tmp_path / "rel" / "rel.train.inter", tmp_path / "rel-pgc" / "rel-pgc.train.inter"
    assert rows(folder / f"{name}.train.inter") == rows(train) + rows(more)
    for split in ("valid", "test"):
        assert rows(folder / f"{name}.{split}.inter") == rows(tmp_path / "rel" / f"rel.{split}.inter")
    result = CliRunner().invoke(
        module.main,
        ["--dataset=rel", f"--data-path={tmp_path}", "--seeds=1,2", "--", "--epochs=1", "--train_batch_size=16"],
    )
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in lines][1:] == [
        "user-generated pairs alone",
        "with the teacher",
        "professional pairs pooled",
        "share of the pooling gain",
    ]


def test_metrics_of_new_music_by_hand():
    """Two rows of four candidates, the own music first; of the first row's others, two are training music."""
    module = load("new_music")
    module.K = 1
    scores = np.array([0.5, 0.9, 0.4, 0.5, 0.3, 0.1, 0.2, 0.9])
    rows = np.repeat([0, 1], 4)
    known = np.array([0, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    found = module.measure(scores, rows, known)
    assert found["recall@1"] == 0  # 0.9 is above both
    assert found["recall@1, training music last"] == 0.5
    assert found["AUC"] == pytest.approx((1.5 / 3 + 2 / 3) / 2)  # an equal score counts half
    assert found["AUC, new music"] == pytest.approx((1 + 2 / 3) / 2)
    chance = module.by_chance(rows, known)
    assert chance["recall@1"] == 0.25 and chance["recall@1, training music last"] == pytest.approx((1 / 2 + 1 / 4) / 2)


@pytest.mark.parametrize("known_first", [True, False])
def test_the_expected_recall_by_chance_is_that_of_many_random_orders(known_first):
    module = load("new_music")
    module.K = 3
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(4000), 8)
    known = np.tile([known_first, True, True, False, False, False, True, True], 4000)
    found, expected = module.measure(rng.random(len(rows)), rows, known), module.by_chance(rows, known)
    names = ["recall@3", "recall@3, training music last"] + ([] if known_first else ["AUC", "AUC, new music"])
    assert {name: found[name] for name in names} == pytest.approx({name: expected[name] for name in names}, abs=0.03)


def test_what_candidates_reward_is_printed(tmp_path):
    released = write_released(tmp_path / "released", videos=80, music=120, negatives=27)
    import_released(*released, "rel", tmp_path, show_progress=False)
    arguments = ["--dataset=rel", f"--data-path={tmp_path}", "--seeds=1,2", "--", "--epochs=1", "--train_batch_size=16"]
    result = CliRunner().invoke(load("new_music").main, [*arguments, "--teacher=none"])
    assert result.exit_code == 0, result.output
    train, test = (
        set(read_columns(tmp_path / f"rel/rel.{s}.inter", ["music_id"])["music_id"]) for s in ("train", "test")
    )
    assert "% of the targets" in result.output and len(train & test) < len(test)
    rows = [[cell.strip() for cell in line.split("|")] for line in result.output.splitlines() if line.startswith("| ")]
    assert rows[0][2:4] == ["by chance", "DecCMPlus"] and [row[1] for row in rows[3:]] == ["AUC", "AUC, new music"]


def test_the_figure_of_a_folder(tmp_path):
    write_benchmark(tmp_path / "folder", {"Plus": 0.1, "Base": 0.0})
    result = CliRunner().invoke(load("results_plot").main, [str(tmp_path / "folder"), f"--out={tmp_path / 'a.svg'}"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1
