"""The speed measurements: what they count is right, and their figures hold together."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from helpers.benchmark_scripts import BENCHMARKS, load


class Layer(torch.nn.Module):
    """A step whose products are known: (B, F) by (F, O), and the gradient of the weights."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(30, 20))

    def calculate_loss(self, batch):
        return ((batch @ self.weight).sum(),)


def test_operations_of_a_step_are_those_of_its_products():
    assert load("floor").operations(Layer(), torch.randn(50, 30)) == 2 * (2 * 50 * 30 * 20)


def test_growth_of_small_data():
    """Figures of real rows: memory beyond the start, time above zero, bytes of the files."""
    (row,) = load("growth").rows([400], [1_024], threads=1, residencies=["disk"])
    assert (row["videos"], row["batch"], row["residency"]) == (400, 1_024, "disk")
    assert row["pairs"] == 320
    assert row["feature_bytes"] == 4 * (400 * 2_048 + 3_003 * 256) + 2 * 128  # two headers of 128 bytes
    assert row["peak_bytes"] > row["start_bytes"] > 0 and row["epoch_seconds"] > 0
    assert "us a pair" in load("growth").table([row])


def test_speed_report_and_plot(tmp_path):
    """Ratios in the text are those of the rates; the picture is drawn."""
    command = [sys.executable, str(BENCHMARKS / "speed.py"), "--videos", "200", "--music", "120"]
    command += ["--repeats", "2", "--threads", "1", "--turn", "0.01", "--out", "speed.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "speed.json").read_text())
    speed, suite = load("speed"), load("suite")
    ours, theirs = (found["rates"][name]["pairs_per_second"] for name in (speed.OURS, speed.RAW_DSSM))
    low, high = sorted((ours[0] / theirs[0], ours[1] / theirs[1]))
    assert f"{(low + high) / 2:.1f} ({low:.1f} to {high:.1f})" in done.stdout
    assert f"{100 * found['floor']['share_of_floor']:.0f} % of the floor" in done.stdout
    growth = [
        {"videos": count, "batch": 1_024, "residency": kind, "epoch_seconds": 1.0, "peak_bytes": 1, "feature_bytes": 1}
        for count in (1, 2)
        for kind in ("auto", "host", "disk")
    ]
    searches = [{"music": count, "search": "exact", "seconds": 0.1} for count in (10, 100)]
    suite.plot({"speed": found, "growth": growth, "retrieval": searches}, tmp_path / "bench.svg")
    assert "<svg" in (tmp_path / "bench.svg").read_text()


def test_a_step_by_operation(tmp_path):
    """A product of every step is in the table with its time; what is counted by kind sums to the whole."""
    command = [sys.executable, str(BENCHMARKS / "step_profile.py"), "--videos", "200", "--music", "120", "--steps", "3"]
    done = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    by_kind, by_operation = done.stdout.split("ms a step")[1:]
    found = {row.rsplit(maxsplit=2)[0].strip(): float(row.split()[-1]) for row in by_kind.splitlines()[2:7]}
    assert {"matrix products", "random numbers", "other operations", "all"} < set(found)
    assert found["all"] == pytest.approx(sum(found.values()) - found["all"], abs=0.05)
    assert 0 < found["matrix products"] < found["all"] and "addmm" in by_operation


def test_a_stopwatch_counts_what_ran():
    module = load("step_profile")
    with module.Stopwatch() as watch:
        torch.ones(300, 500) @ torch.ones(500, 2)
    assert watch.times["mm", "131,072 or more"] == 1 and watch.spent["mm", "131,072 or more"] > 0
    assert module.kind("mm") == "matrix products" and module.kind("mul") == "other operations"
