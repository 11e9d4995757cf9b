"""The benchmark of the demonstration: what its figures say, and that notes are used again."""

from __future__ import annotations

import json
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from helpers.benchmark_scripts import load

from recbole_decm.cli.demo import Demo


def _row(ours: float, other: float, share: float) -> dict:
    return {
        "DecCMPlus": {"recall": ours, "of_ceiling": 2 * ours, "share": share},
        "CMVAE": {"recall": other, "of_ceiling": 2 * other, "share": 0.5},
        "true share": 0.3,
    }


def test_the_report_pairs_the_models_by_seed():
    module = load("demo")
    gains = np.array([0.02, 0.04, 0.06])
    rows = {seed: _row(0.4 + gain, 0.4, 0.25) for seed, gain in enumerate(gains)}
    said = module.report(rows)
    half = 4.302653 * gains.std(ddof=1) / np.sqrt(3)  # Student's t with two degrees of freedom
    assert "DecCMPlus reaches 88.0% of the ceiling's" in said
    assert f"DecCMPlus less CMVAE: +0.040, 95 % interval {0.04 - half:+.3f} to {0.04 + half:+.3f}" in said
    assert "distance to the truth: 0.050 (DecCMPlus), 0.200 (CMVAE)" in said
    assert "interval" not in module.report({1: rows[1]})


def test_what_is_noted_is_not_done_again(tmp_path, monkeypatch):
    module = load("demo")
    demo = Demo(tmp_path, 30, 10, 1)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "demo-30-10-1.json").write_text(json.dumps(_row(0.4, 0.3, 0.2)))
    monkeypatch.setattr(Demo, "prepare", lambda *_: pytest.fail("files were written"))
    assert module.measure(demo, [])["DecCMPlus"]["recall"] == 0.4


def test_no_script_hides_a_package():
    """Python looks for modules in a script's own folder first: one named like a package would be imported for it."""
    scripts = {path.stem for path in Path(__file__).resolve().parents[2].glob("benchmarks/*.py")}
    packages = {name.replace("-", "_").lower() for name in packages_distributions()} | sys.stdlib_module_names
    assert not scripts & packages
