"""evaluate: the metrics that the run itself found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recbole_decm.cli import main, run_main


@pytest.mark.parametrize("model", ["DecCM", "CMVAE", "BPR"])
def test_metrics_of_a_checkpoint_are_those_of_its_run(planted, model):
    quick = ["--epochs=1", "--teacher=none"][: 2 if model == "DecCM" else 1]
    where = [f"--data_path={planted}", "--state=ERROR", "--show_progress=False"]
    argv = [f"--model={model}", "--dataset=planted", *where, *quick, "--result_file=run.json"]
    assert run_main(argv) == 0
    run = json.loads(Path("run.json").read_text())
    assert main(["evaluate", run["checkpoint"], "--dataset", "planted", "--result_file=again.json"]) == 0
    again = json.loads(Path("again.json").read_text())
    assert (again["valid"], again["test"]) == (run["valid"], run["test"])
