"""The table of catalogues by size: a row each, of servers that were started and asked."""

from __future__ import annotations

from helpers.benchmark_scripts import load
from helpers.planted_artefact import planted_artefact


def test_a_size_is_a_row_of_start_memory_and_latency(tmp_path, monkeypatch):
    made = tmp_path / "made"
    planted_artefact(tmp_path, made, 1)
    asked = []
    monkeypatch.setattr(load("serving").artefacts, "large", lambda *given: asked.append(given) or made)
    first, head, _, line = load("serving").large(tmp_path, [40], dim=12, seconds=1.0).splitlines()
    assert asked == [(tmp_path, 100, 12), (tmp_path, 40, 12)]
    assert first == "12 dimensions, 20 requests a second for 1 s:" and head.split()[1] == "tracks"
    tracks, start, more, of_vectors, p50, p99 = (float(cell) for cell in line.strip("|").split("|"))
    assert tracks == 40 and start > 0 and 0 < p50 <= p99
    assert abs(of_vectors * 4 * 12 * 40 / 1e6 - more) < 0.6  # MB are rounded
