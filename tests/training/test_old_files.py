"""Files that version 0.1.0 wrote: checkpoints, a teacher and a benchmark's folder are read as they were written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers.in_process import run_in_process

from recbole_decm.cli.main import main
from recbole_decm.config.keys import UNTOLD
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import evaluate
from recbole_decm.training.run import run

OLD = Path(__file__).resolve().parents[1] / "old_files"
SMALL = {"latent_dimension": 4, "train_batch_size": 16, "num_negatives": 4, "topk": [5], "valid_metric": "NDCG@5"}
QUIET = {"state": "ERROR", "show_progress": False}
# What version 0.1.0 itself printed for them.
METRICS = {
    "DecCM": {"valid": 0.128951, "test": 0.083333, "test_do": 0.355155},
    "CMVAE": {"valid": 0.064475, "test": 0.083333, "test_do": 0.321779},
}


@pytest.fixture
def old(tmp_path) -> Path:
    """A copy that a test may write to."""
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("model", METRICS)
def test_a_checkpoint_evaluates_to_the_same_metrics(old, model):
    found = evaluate(old / f"{model}.pth", [f"--data_path={old / 'data'}", "--state=ERROR"])
    assert {test: found[test]["ndcg@5"] for test in METRICS[model]} == pytest.approx(METRICS[model], abs=1e-6)


def test_a_checkpoint_resumes_with_an_old_teacher(old):
    teacher = str(old / "DecCMTeacher.pth")
    values = {
        **SMALL,
        **QUIET,
        "data_path": str(old / "data"),
        "teacher": teacher,
        "checkpoint": str(old / "DecCM.pth"),
    }
    result = run("DecCM", "tiny", config_dict={**values, "epochs": 4})
    assert result["test_result"]["ndcg@5"] == pytest.approx(METRICS["DecCM"]["test"], abs=1e-6)
    assert evaluate(old / "DecCM.pth", [f"--data_path={old / 'data'}", "--state=ERROR"])["dataset"] == "tiny"


def test_what_an_old_checkpoint_could_not_say_is_as_it_was_then(old, caplog):
    content = read_checkpoint(old / "DecCM.pth")
    assert {key: content["config"][key] for key in UNTOLD} == UNTOLD
    values = {
        **SMALL,
        **QUIET,
        "state": "WARNING",
        "data_path": str(old / "data"),
        "teacher": str(old / "DecCMTeacher.pth"),
    }
    with caplog.at_level("WARNING"):
        run("DecCM", "tiny", config_dict={**values, "checkpoint": str(old / "DecCM.pth"), "epochs": 4})
    assert "prior_leave_one_out (False -> True)" in caplog.text


def test_a_folder_reports_and_its_cells_run_again_and_are_kept(old, monkeypatch, capsys):
    folder = old / "benchmark"
    numbers = pd.read_csv(folder / "results.csv").set_index("model")["test_do:ndcg@5"].to_dict()
    assert main(["benchmark-report", str(folder)]) == 0
    table = (folder / "table.md").read_text()
    assert all(f"{value:.4f}" in table or f"{value:.3f}" in table for value in numbers.values())
    started = run_in_process(monkeypatch)
    command = ["benchmark", str(folder / "specification.yaml"), f"--out={folder}", "--data", f"HERE={old / 'data'}"]
    assert main(command) == 0
    said = capsys.readouterr().err
    for model in ("CMVAE", "Pop"):
        assert f"{model} on tiny, seed 1" in started and f"{model} on tiny, seed 1: was made by other code" in said
    kept = list(folder.glob("superseded/*/cell.json"))
    assert {json.loads(path.read_text())["model"] for path in kept} == {"CMVAE", "Pop"}
    again = pd.read_csv(folder / "results.csv").set_index("model")["test_do:ndcg@5"].to_dict()
    assert again == pytest.approx(numbers, abs=0.05)
    assert json.loads((folder / "run.json").read_text())["format_version"] == 1
