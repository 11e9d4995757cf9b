"""Run several models on one data set and set their test metrics side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from tabulate import tabulate

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import parse_arguments
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.cells import QUIET, one_cell
from recbole_decm.experiments.runner import run_here


def arguments_for(model: str, dataset: str, values: dict) -> dict:
    """The values whose keys a model knows; a key that is only another model's is left out for this one."""
    folder = {"data_path": values["data_path"]} if "data_path" in values else {}
    keys = DecCMConfig(model, dataset, config_dict=folder).known_keys
    return {key: value for key, value in values.items() if key in keys}


def compare(
    jobs: Sequence[tuple[str, int]],
    dataset: str,
    arguments: Sequence[str] = (),
    on_start: Callable[[str, int], None] = lambda model, seed: None,
) -> Iterator[dict]:
    """Train and test each (model, seed); yields ``{"model", "seed", "error", "seconds", <metrics>}`` as they finish.

    Metrics are the test's, ``valid:<metric>``, the score that chose the epoch (NaN with ``eval_step: 0``: none was
    chosen), and ``<name>:<metric>`` of extra tests. A run that fails has an error and none of them.

    Raises:
        ConfigError: before any training, for a key that no model of the comparison knows.
    """
    values = {**QUIET, **parse_arguments(list(arguments))}
    per_model = {model: arguments_for(model, dataset, values) for model, _ in jobs}
    for key in values:
        if all(key not in known for known in per_model.values()):
            raise ConfigError(f"command line: expected a key that one of the models reads, found '{key}'.")
    cells = [one_cell(model, dataset, {**per_model[model], "seed": seed}) for model, seed in jobs]
    for cell, content in run_here(cells, lambda cell: on_start(cell.model, cell.seed)):
        row = {"model": cell.model, "seed": cell.seed, "error": content["error"]}
        yield row | (_measured(cell.config, content) if content["error"] is None else {})


def _measured(config: DecCMConfig, content: dict) -> dict[str, float]:
    metrics, chosen = dict(content["metrics"]), config["valid_metric"].lower()
    valid = metrics.pop("valid")
    found = {"seconds": sum(content["seconds"].values()), f"valid:{chosen}": valid.get(chosen, float("nan"))}
    found |= metrics.pop("test", valid)
    extra = {f"{name.removeprefix('test_')}:{key}": value for name in metrics for key, value in metrics[name].items()}
    return found | extra


def format_table(rows: pd.DataFrame, models: Sequence[str], dataset: str) -> str:
    """A text table, one line per model in the given order: mean, and ± standard deviation over more than one seed.

    With more than ten columns the table is turned, one line per metric, so that it fits a screen. Runs that failed are
    counted beside the model, and their errors follow.
    """
    seeds = sorted(rows["seed"].unique().tolist())
    names = [name for name in rows.columns if name not in ("model", "seed", "error")]
    lines = []
    for model in models:
        group = rows[rows["model"] == model]
        failed = int(group["error"].notna().sum())
        group = group[group["error"].isna()]
        cells = [f"{model} ({failed} failed)" if failed else model]
        for name in names:
            if group[name].isna().all():  # of this model there is no such figure
                cells.append("")
                continue
            form = "{:.1f}" if name == "seconds" else "{:.4f}"
            text = form.format(group[name].mean())
            cells.append(text + (f" ± {group[name].std(ddof=1):.4f}" if len(group) > 1 and name != "seconds" else ""))
        lines.append(cells)
    head = f"{dataset}, test, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    headers = ["model", *names]
    if len(names) > 10:
        headers, *lines = map(list, zip(*[headers, *lines], strict=True))
    return f"{head}\n" + tabulate(lines, headers=headers, disable_numparse=True)
