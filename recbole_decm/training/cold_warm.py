"""Metrics of an evaluation split by whether a chosen track has training pairs (warm) or none (cold)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.register import metrics_dict

RESOURCES = ("rec.items", "rec.topk")
"""What the collector has to keep."""


def cold_and_warm(config: Any, kept: Any, loader: Any) -> dict[str, dict[str, float]] | None:
    """The metrics of the pairs with cold tracks and of those with warm ones; rankings are the whole evaluation's.

    A video counts on a side where it has a chosen track of that side, and only these are hits and positives there.
    Metrics that are not about chosen tracks, such as GenreKL and ItemCoverage, are left out. RecBole's and our own
    metric classes compute the values.

    Args:
        kept: the collector's :attr:`~recbole_decm.training.collector.MatchingCollector.kept`; loader: what was ranked.

    Returns:
        ``{"cold": {"pairs": n, "recall@10": ...}, "warm": {...}}``; None where all pairs are of one kind.
    """
    popularity = loader.dataset.popularity
    rows, tracks = loader.positives.pairs()
    cold = popularity[tracks] == 0
    if cold.all() or not cold.any():
        return None
    topk, cold_items = kept.get("rec.topk").numpy(), popularity[kept.get("rec.items").numpy()] == 0
    found = {}
    for name, pairs, items in (("cold", cold, cold_items), ("warm", ~cold, ~cold_items)):
        counts = np.bincount(rows[pairs], minlength=len(topk))
        struct = DataStruct()
        struct.set("rec.topk", torch.from_numpy(np.column_stack([topk[:, :-1] * items, counts])[counts > 0]))
        values: dict[str, float] = {"pairs": int(pairs.sum())}
        for metric in (metrics_dict[metric.lower()] for metric in config["metrics"]):
            if set(metric.metric_need) == {"rec.positives"}:
                struct.set("rec.positives", kept.get("rec.positives")[torch.from_numpy(pairs)])
            elif set(metric.metric_need) != {"rec.topk"}:
                continue
            values |= {key: float(value) for key, value in metric(config).calculate_metric(struct).items()}
        found[name] = values
    return found
