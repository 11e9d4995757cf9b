"""Shared fixtures: a folder of its own for every test, planted data, and a short way to run a model."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the data are small, and every core has a process of the tests

import pytest
import torch
from helpers.planted import write_planted

torch.set_num_threads(1)
PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Runs write saved/, log/ and log_tensorboard/ into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Path:
    """A folder with the planted data set ``planted`` and its ``planted-pgc``; read only."""
    folder = tmp_path_factory.mktemp("data")
    write_planted(folder)
    return folder


@pytest.fixture
def own_planted(tmp_path) -> Path:
    """A small planted data set that a test may break."""
    write_planted(tmp_path / "data", videos=120, music=12)
    return tmp_path / "data"


@pytest.fixture
def shared_data() -> Path:
    """Real clips beside the project, where they exist."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the real clips and golden values lie in ../shared, which is not here")
    return folder
