"""evaluate: the metrics that the run itself found."""

from __future__ import annotations

import json
from pathlib import Path

from recbole_decm.cli.main import main
from recbole_decm.cli.run import run_main


def test_metrics_of_a_checkpoint_are_those_of_its_run(planted):
    quick = [f"--data_path={planted}", "--state=ERROR", "--show_progress=False", "--epochs=1", "--teacher=none"]
    argv = ["--model=DecCM", "--dataset=planted", *quick, "--result_file=run.json"]
    assert run_main(argv) == 0
    run = json.loads(Path("run.json").read_text())
    assert main(["evaluate", run["checkpoint"], "--dataset", "planted", "--result_file=again.json"]) == 0
    again = json.loads(Path("again.json").read_text())
    assert (again["valid"], again["test"]) == (run["valid"], run["test"])
