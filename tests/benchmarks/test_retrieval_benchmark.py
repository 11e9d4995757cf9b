"""The benchmark of retrieval, at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from helpers.benchmark_scripts import load

from recbole_decm.serving.search import top_k


def test_rows_hold_what_was_measured(monkeypatch):
    pytest.importorskip("faiss")
    module = load("retrieval")
    monkeypatch.setattr(module, "trained_model", lambda made=module.trained_model: made(videos=100, epochs=1))
    argv = ["--sizes=500,2000", "--videos=50", "--index=hnsw", "--threads=1", "--recall=0.9", "--json=r.json"]
    result = CliRunner().invoke(module.main, argv, catch_exceptions=False)
    rows = json.loads(Path("r.json").read_text())["rows"]
    assert [(row["music"], row["search"]) for row in rows] == [
        (500, "exact"),
        (500, "hnsw"),
        (2000, "exact"),
        (2000, "hnsw"),
    ]
    assert all(row["dim"] == 128 and row["seconds"] > 0 and row["vectors"] == "model" for row in rows)
    assert all(row["recall"] >= 0.8 for row in rows) and "recall@10" in result.output


def test_what_exact_search_is_compared_with_finds_the_same():
    module = load("retrieval")
    queries, music = module.gaussian_vectors(40_000, 6)
    assert torch.allclose(music.norm(dim=1), torch.ones(40_000))
    assert torch.equal(module.plain_top_k(queries, music, 10), top_k(queries, music, 10)[1])


def test_peak_memory_sees_what_is_freed_again():
    with load("retrieval").PeakMemory() as memory:
        torch.ones(30_000_000).sum()
    assert 100e6 < memory.bytes < 300e6
