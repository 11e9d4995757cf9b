"""Output folders of a benchmark with planted effects, written without training anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

GENRES = ["pop & rock", "hip_hop", "<i>jazz</i>", "folk"]
VERSIONS = {"recbole_decm": "0.1.0", "recbole": "1.2.1", "torch": "2.6.0", "numpy": "2.0.0", "python": "3.11.2"}


def write_cell(
    folder: Path, model: str, dataset: str, seed: int, videos: dict[str, dict[str, np.ndarray]], **changes
) -> Path:
    """One cell. ``videos``: test set -> metric -> (T,) values; ``changes`` go into cell.json as they are."""
    label = "".join(c if c.isalnum() else "-" for c in f"{model}-{dataset}")
    key = f"{label}-{seed}-{changes.get('config_hash', '0a1b2c3d')}"
    path = folder / "cells" / key
    path.mkdir(parents=True, exist_ok=True)
    means = {test: {name: float(v.mean()) for name, v in values.items()} for test, values in videos.items()}
    metrics = {**means, "valid": {"ndcg@10": means["test"]["ndcg@10"] + 0.01}} if "test" in means else means
    for test, extra in changes.pop("more_metrics", {}).items():
        metrics.setdefault(test, {}).update(extra)
    cell = {"model": model, "class": model, "dataset": dataset, "seed": seed, "status": "done", "error": None}
    cell |= {"metrics": metrics, "seconds": {"load": 0.5, "teacher": 2.0, "train": 10.0 + seed, "test": 0.3}}
    cell |= {
        "peak_memory_mb": 812.5,
        "epochs": 12,
        "train_pairs": 2400,
        "config_hash": "0a1b2c3d",
        "data_hash": dataset,
    }
    cell |= {
        "code_hash": "c0de",
        "versions": VERSIONS,
        "overlay": {},
        "genres": None,
        "popularity": None,
        "factors": {},
    }
    (path / "cell.json").write_text(json.dumps(cell | changes))
    arrays = {f"{test}/{name}": v.astype(np.float32) for test, values in videos.items() for name, v in values.items()}
    for test, values in videos.items():
        count = len(next(iter(values.values())))
        arrays[f"{test}/video"] = np.array([f"v{i}" for i in range(count)])
    if arrays:
        np.savez(path / "videos.npz", **arrays)
        steps = np.arange(12)
        losses = {"matching": (2 * 0.8**steps).tolist(), "kl": (0.1 + 0.02 * steps).tolist()}
        curves = {"losses": losses, "valid": {"ndcg@10": (0.3 - 0.2 * 0.7**steps).tolist()}}
        (path / "curves.json").write_text(json.dumps(curves))
    return path


def write_benchmark(
    folder: Path,
    effects: dict[str, float],
    *,
    datasets: dict[str, dict] | None = None,
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5),
    videos: int = 300,
    tests: tuple[str, ...] = ("test",),
    per_seed: bool = False,
    noise: float = 0.1,
) -> Path:
    """Models whose NDCG@10 lies ``effects[model]`` above a common difficulty of each video, plus noise by seed.

    Args:
        datasets: label -> factors; ``{"sim": {}}`` by default. Factor ``confounding`` c lowers each model by
            0.02 c, and raises MajorityShare@10 by 0.05 c.
        per_seed: every seed has videos and a ``data_hash`` of its own, as where each simulates its data.
    """
    datasets = datasets or {"sim": {}}
    specification = {"models": list(effects), "datasets": list(datasets), "seeds": list(seeds), "metrics": ["NDCG"]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "specification.yaml").write_text(yaml.safe_dump(specification, sort_keys=False))
    for d, (dataset, factors) in enumerate(datasets.items()):
        for seed in seeds:
            world = np.random.default_rng([d, seed if per_seed else 0])
            difficulty = {test: world.uniform(0.1, 0.6, videos) for test in tests}
            for m, (model, effect) in enumerate(effects.items()):
                rng = np.random.default_rng([d, seed, m])
                strength = factors.get("confounding", 0.0)
                values = {}
                for test in tests:
                    ndcg = difficulty[test] + effect - 0.02 * strength + rng.normal(0, noise, videos)
                    values[test] = {"ndcg@10": ndcg, "recall@10": (ndcg > 0.4).astype(float)}
                tilt = 0.05 * strength + 0.2 * effect
                lists = np.array([0.4 + tilt, 0.3 - tilt, 0.2, 0.1])
                more = {"majorityshare@10": float(lists[0]), "averagepopularity@10": 30 + 40 * effect + seed * 0.1}
                write_cell(
                    folder,
                    model,
                    dataset,
                    seed,
                    values,
                    data_hash=f"{dataset}.{seed}" if per_seed else dataset,
                    more_metrics=dict.fromkeys(tests, more),
                    genres={
                        "names": GENRES,
                        "lists": lists.tolist(),
                        "catalogue": [0.4, 0.3, 0.2, 0.1],
                        "train": [0.5, 0.3, 0.15, 0.05],
                        "truth": [0.38, 0.32, 0.2, 0.1] if "test_do" in tests else None,
                    },
                    popularity={"lists": more["averagepopularity@10"], "train": 40.0, "catalogue": 20.0},
                    factors={**factors, "seed": seed} if factors else {},
                )
    return folder
