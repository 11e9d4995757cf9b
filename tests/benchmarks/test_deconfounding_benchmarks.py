"""The benchmark scripts of pooling and new music, and the figure of a folder, at a small size."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.benchmark_folder import write_benchmark
from helpers.benchmark_scripts import load
from helpers.released_layout import write_released

from recbole_decm.io.atomic import read_columns
from recbole_decm.released.importer import import_released


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


def test_pooling_of_a_model_without_teacher_has_two_ways(tmp_path):
    import_released(*write_released(tmp_path / "released", negatives=27), "rel", tmp_path, show_progress=False)
    options = ["--dataset=rel", f"--data-path={tmp_path}", "--seeds=1,2", "--model=Ridge"]
    result = CliRunner().invoke(load("pooling").main, options)
    assert result.exit_code == 0, result.output
    lines = [line.split("|")[1].strip() for line in result.output.splitlines() if line.startswith("| ")]
    assert lines == ["training data", "user-generated pairs alone", "professional pairs pooled"]


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
