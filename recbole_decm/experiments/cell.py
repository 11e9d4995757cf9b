"""One cell: train and test a model, and write what a comparison needs of it. Runs in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.config.config import DecCMConfig
from recbole_decm.estimation.lists import estimated
from recbole_decm.experiments import per_video
from recbole_decm.io.write import replacing, write_text
from recbole_decm.training.beside import estimates_beside
from recbole_decm.training.provenance import versions
from recbole_decm.training.run import Trained, end_run, evaluations, fit, start_run


def run_cell(
    model: str, dataset: str, values: dict, note: dict, folder: Path | str, tested: bool = True, beside: bool = False
) -> None:
    """Train and test; write ``cell.json``, ``videos.npz`` and ``curves.json`` into ``folder``.

    Args:
        model, dataset: registered names.
        values: config values.
        note: what ``cell.json`` says beside the results: labels, hashes, overlay, factors.
        tested: False to train alone, without a look at test data and without a checkpoint.
        beside: estimate metrics without habit beside the run; data that do not identify them fail no cell.
    """
    folder = Path(folder)
    config = DecCMConfig(model, dataset, config_dict=values)
    start_run(config)
    trained = fit(_without_estimates(config) if beside else config, saved=tested)
    collector = trained.trainer.eval_collector
    collector.keep(*per_video.RESOURCES)
    clusters = per_video.clusters_of(trained.splits.dataset) if tested else {}
    metrics: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    lists: dict[str, np.ndarray] = {}
    for name, loader, found in evaluations(trained) if tested else ():
        metrics[name] = found
        lists[name] = collector.kept.get("rec.items").numpy()
        arrays[f"{name}/video"] = loader.dataset.field2id_token[loader.uid_field][loader.users].astype(str)
        arrays |= {f"{name}/{kind}": numbers[loader.users] for kind, numbers in clusters.items()}
        arrays |= {f"{name}/{key}": row for key, row in per_video.metrics_by_video(config, collector.kept).items()}
    end_run(trained, metrics, saved=tested)
    cost = _cost(trained)
    estimates = dict(trained.estimates)
    test = trained.splits.test
    if beside and not estimates and test is not None and "test" in lists:
        estimates = estimates_beside(config, test, lists["test"])
        metrics["test"] |= estimates.pop("metrics", {})
    content = {
        **note,
        "status": "done",
        "error": None,
        "metrics": {"valid": trained.valid_result or {}, **metrics},
        **({"cold_warm": trained.cold_warm} if trained.cold_warm else {}),
        **estimates,
        **_lists_hold(trained, lists),
        **cost,
        "config": trained.values | {"metrics": list(config["metrics"])},
    }
    curves = {"losses": _columns(trained.trainer.epoch_terms), "valid": _columns(trained.trainer.validations)}
    with replacing(folder / "videos.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    write_text(folder / "curves.json", json.dumps(curves) + "\n")
    write_text(folder / "cell.json", json.dumps(content, indent=2) + "\n")


def _without_estimates(config: DecCMConfig) -> DecCMConfig:
    """The config with observed metrics alone, unless an estimated one chooses the epoch."""
    observed = [name for name in config["metrics"] if not estimated(name)]
    same = estimated(config["valid_metric"]) or len(observed) == len(config["metrics"])
    return config if same else config.again(metrics=observed)


def _lists_hold(trained: Trained, lists: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the lists hold: those of the test, and by genre those of choices without confounding, too."""
    found: dict[str, Any] = {"popularity": None, "genres": None}
    if "test" not in lists:
        return found
    dataset = trained.splits.dataset
    found["popularity"] = per_video.popularity_of(lists["test"], dataset.popularity)
    genres = per_video.read_genres(dataset)
    if genres is not None:
        names, membership = genres
        truth = trained.splits.extra["do"].positives.ids if "do" in trained.splits.extra else None
        shares = per_video.shares_by_genre(lists["test"], dataset.popularity, membership, truth, lists.get("test_do"))
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
