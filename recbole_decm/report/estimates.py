"""Estimated metrics without the uploaders' habits beside the observed and the true ones, data set by data set."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recbole_decm.estimation.lists import METRICS
from recbole_decm.report.results import Results

TRUE = "test_do"
"""The test set of choices without habit, which simulations alone have."""


def estimates_of(results: Results, metric: str) -> list[dict[str, Any]]:
    """What the page says of each data set that has estimates, or a reason for none.

    Args:
        metric: the main metric; where it has no estimated counterpart, recall of its cut-off is shown.

    Returns:
        ``dataset``; ``metric``, the observed one; ``rows``: ``model``, ``observed``, ``estimated``, ``low``, ``high``
        and ``true``, means over the runs, NaN where there is none; ``effective_sample_size``, ``share_observed`` and
        ``share_estimated``; ``reasons``: (why there is no estimate, models that it is said of).
    """
    name, _, cut_off = metric.removeprefix("do").partition("@")
    observed = f"{name if f'do{name}' in METRICS else 'recall'}@{cut_off}"
    columns = {"observed": f"test:{observed}", "estimated": f"test:do{observed}", "true": f"{TRUE}:{observed}"}
    columns |= {"low": f"low:do{observed}", "high": f"high:do{observed}", "not": "not_estimated"}
    columns |= {"effective_sample_size": "effective_sample_size"}
    columns |= {f"share_{kind}": f"chosen_majority_share:{kind}" for kind in ("observed", "estimated")}
    found = []
    for dataset in results.datasets:
        cells = results.done[results.done["dataset"] == dataset]
        table = pd.DataFrame({key: cells.get(column) for key, column in columns.items()}, index=cells.index)
        table["model"] = cells["model"]
        known, refused = table[table["estimated"].notna()], table[table["not"].notna()]
        if known.empty and refused.empty:
            continue
        numbers = known.drop(columns=["not"]).astype({key: float for key in columns if key != "not"})
        means = numbers.groupby("model").mean().reindex([m for m in results.models if m in set(known["model"])])
        rows = [{"model": model, **row} for model, row in means.to_dict("index").items()]
        reasons = [(why, sorted(set(part["model"]))) for why, part in refused.groupby("not", sort=False)]
        alike = numbers.drop(columns="model").mean()
        whole = {key: alike[key] for key in ("effective_sample_size", "share_observed", "share_estimated")}
        found.append({"dataset": dataset, "metric": observed, "rows": rows, "reasons": reasons, **whole})
    return found
