"""benchmarks/diagnosis.py: a row of a small simulation, in a process of its own."""

from __future__ import annotations

from helpers.benchmark_scripts import load


def test_a_diagnosis_is_measured_in_its_own_process(tmp_path):
    script = load("diagnosis")
    data = script.written(tmp_path, 300, 20, 16)
    assert script.written(tmp_path, 300, 20, 16) == data
    found = script.measure(data, "train", 1)
    assert found["verdict"] in ("none", "habit", "little overlap")
    assert found["seconds"] > 0 and found["busy"] > 0 and found["peak"] > 50e6
