"""A model that other people wrote runs through the same command, with checkpoints and evaluation."""

from __future__ import annotations

import json

import pytest

from recbole_decm.cli.run import run_main
from recbole_decm.config import registry
from recbole_decm.training.evaluate import evaluate


@pytest.mark.parametrize("name", ["TwoLinear", "Blended"])
def test_it_learns_and_is_evaluated_from_its_checkpoint(planted, name, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.MODELS, name, "helpers.third_party")
    path = tmp_path / "result.json"
    arguments = ["--dataset=planted", f"--data_path={planted}", "--epochs=20", "--learning_rate=0.01", "--state=ERROR"]
    assert run_main([f"--model={name}", *arguments, "--show_progress=False", f"--result_file={path}"]) == 0
    result = json.loads(path.read_text())
    assert result["test"]["recall@10"] > 0.5  # by chance 10 of 40 tracks
    assert evaluate(result["checkpoint"])["test"] == result["test"]
