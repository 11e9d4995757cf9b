"""Short ways to build a config and run a model in tests."""

from __future__ import annotations

from pathlib import Path

from recbole_decm.config.config import DecCMConfig
from recbole_decm.training.run import run

QUICK = {"show_progress": False, "state": "ERROR", "train_batch_size": 64, "epochs": 5}


def make_config(model: str, folder: Path, dataset: str = "planted", **values) -> DecCMConfig:
    return DecCMConfig(model, dataset, config_dict={**QUICK, "data_path": str(folder), **values})


def run_quick(model: str, folder: Path, dataset: str = "planted", **values) -> dict:
    return run(model, dataset, config_dict={**QUICK, "data_path": str(folder), **values})
