"""One cell: train and test a model, and write what a comparison needs of it. Runs in a process of its own."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.config.config import DecCMConfig
from recbole_decm.experiments import per_video
from recbole_decm.io.version import __version__
from recbole_decm.io.write import write_text
from recbole_decm.training.run import Trained, fit, plain_metrics, start_logging, timed

_PACKAGES = ("recbole", "torch", "numpy", "pandas", "scipy")


def run_cell(model: str, dataset: str, values: dict, note: dict, folder: Path | str) -> None:
    """Train and test; write ``cell.json``, ``videos.npz`` and ``curves.json`` into ``folder``.

    Args:
        model, dataset: registered names.
        values: config values.
        note: what ``cell.json`` says beside the results: labels, hashes, overlay, factors.
    """
    folder = Path(folder)
    config = DecCMConfig(model, dataset, config_dict=values)
    start_logging(config)
    trained = fit(config)
    collector = trained.trainer.eval_collector
    metrics: dict[str, Any] = {"valid": trained.valid_result or {}}
    arrays: dict[str, np.ndarray] = {}
    loaders: dict[str, Any] = {
        "test": trained.splits.test,
        **{f"test_{name}": data for name, data in trained.splits.extra.items()},
    }
    collector.keep(*per_video.RESOURCES)
    lists, uploaders = None, per_video.read_uploaders(trained.splits.dataset)
    with timed(trained.seconds, "test"):
        for name, loader in loaders.items():
            metrics[name] = plain_metrics(trained.trainer.evaluate(loader))
            lists = collector.kept.get("rec.items").numpy() if lists is None else lists
            tokens = loader.dataset.field2id_token[loader.uid_field][loader.users]
            arrays[f"{name}/video"] = tokens.astype(str)
            arrays |= {} if uploaders is None else {f"{name}/uploader": uploaders[loader.users]}
            arrays |= {f"{name}/{key}": row for key, row in per_video.metrics_by_video(config, collector.kept).items()}
    assert lists is not None
    content = {
        **note,
        "status": "done",
        "error": None,
        "metrics": metrics,
        **_lists_hold(trained, lists),
        **_cost(trained),
    }
    curves = {"losses": _columns(trained.trainer.epoch_terms), "valid": _columns(trained.trainer.validations)}
    np.savez_compressed(folder / "videos.npz", **arrays)  # type: ignore[arg-type]
    write_text(folder / "curves.json", json.dumps(curves) + "\n")
    write_text(folder / "cell.json", json.dumps(content, indent=2) + "\n")


def _lists_hold(trained: Trained, lists: np.ndarray) -> dict[str, Any]:
    dataset = trained.splits.dataset
    found: dict[str, Any] = {"popularity": per_video.popularity_of(lists, dataset.popularity), "genres": None}
    genres = per_video.read_genres(dataset)
    if genres is not None:
        names, membership = genres
        truth = trained.splits.extra["do"].positives.ids if "do" in trained.splits.extra else None
        shares = per_video.shares_by_genre(lists, dataset.popularity, membership, truth)
        found["genres"] = {"names": names, **shares}
    return found


def _cost(trained: Trained) -> dict[str, Any]:
    stages = {"load": 0.0, "teacher": 0.0, "train": 0.0, "test": 0.0}
    return {
        "seconds": stages | trained.seconds,
        "peak_memory_mb": round(peak_memory(), 1),
        "epochs": len(trained.trainer.train_loss_dict),
        "train_pairs": len(trained.splits.dataset),
        "versions": versions(),
    }


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"recbole_decm": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an unpacked package without metadata
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found | {"python": platform.python_version()}


def peak_memory() -> float:
    """Peak resident memory of this process in MB.

    Linux counts into ``ru_maxrss`` what the parent held when it started the process; VmHWM is this process's own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
