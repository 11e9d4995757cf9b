"""The benchmark scripts of the import and of the deviations, at a small size."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from helpers.benchmark_scripts import BENCHMARKS, load


def test_import_of_a_generated_data_set(tmp_path):
    arguments = ["--videos", "300", "--dim", "5", "--dir", str(tmp_path), "--keep"]
    result = CliRunner().invoke(load("import_released").main, arguments)
    assert result.exit_code == 0 and "import: " in result.output and "MB beyond mapped files" in result.output
    (folder,) = tmp_path.glob("import-released-*")
    assert len((folder / "out" / "big" / "big.train.inter").read_text().splitlines()) == 241
    assert (folder / "out" / "big-pgc").is_dir()


def test_deviations_know_every_step_and_average_over_seeds():
    module = load("deviations")
    assert module.STEPS[0] == "released" and len(module.STEPS) == 9
    runs = {
        "released": [{"recall@10": 0.1, "ndcg@10": 0.0, "ipwrecall@10": 0.0}] * 2,
        "ours": [{"recall@10": v, "ndcg@10": 0.5, "ipwrecall@10": 0.5} for v in (0.2, 0.4)],
    }
    lines = module.table("set", runs).splitlines()
    assert "0.100 ± 0.000" in lines[-2] and "0.300 ± 0.141" in lines[-1] and "+0.200 ± 0.141" in lines[-1]


def test_the_table_is_written_between_the_markers(tmp_path):
    module = load("deviations")
    out = tmp_path / "a.md"
    out.write_text(f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n")
    for text in ("new", "newer"):
        module.write_between_markers(out, text)
        assert out.read_text() == f"before\n{module.BEGIN}\n\n{text}\n\n{module.END}\nafter\n"
    out.write_text("no markers\n")
    with pytest.raises(click.ClickException, match="expected the lines"):
        module.write_between_markers(out, "new")
    assert out.read_text() == "no markers\n"


def test_the_ledger_is_filled_by_step():
    module = load("deviations")
    row = "| a | b | c | d | e | `k` | 1 | old |"
    effects = {"x": {"released-1-teacher-kl": 0.5}, "y": {"released-1-teacher-kl": -0.25}}
    assert module.fill_ledger(f"1\n{row}\n", effects) == f"1\n{row.replace('old', 'x +0.500, y -0.250')}\n"
    runs = {step: [{"recall@10": v}, {"recall@10": v + 0.2}] for step, v in (("released", 0.1), ("ours", 0.4))}
    assert module.changes(runs) == pytest.approx({"ours": 0.3})


def test_the_ledger_names_keys_that_exist(planted):
    from helpers.running import make_config

    config = make_config("DecCM", planted)
    ledger = (BENCHMARKS.parent / "docs" / "deviations.md").read_text()
    rows = [line.split("|") for line in ledger.splitlines() if line.startswith("|") and line.count("|") == 9]
    keys = {key.strip(" `") for row in rows[2:] for key in row[6].split(",")}
    assert len(keys) > 15 and all(key in config for key in keys)
