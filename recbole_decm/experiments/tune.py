"""Tune one model: a resumable search, its best values as a config file, and a page of plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.protocols import DEFAULT
from recbole_decm.errors import ConfigError, DecCMError, suggest
from recbole_decm.experiments import search
from recbole_decm.experiments.cells import LOGGED, one_cell, with_absolute_paths
from recbole_decm.experiments.jobs import Workers, run_tasks
from recbole_decm.experiments.spec import RESERVED, Range, distributions_of
from recbole_decm.io.digest import of_texts
from recbole_decm.io.write import scratch_folder, write_text
from recbole_decm.report.html import figures_page

_FEWEST_SCORES = 4


@dataclass(frozen=True)
class Tuned:
    """The result of a search: the best trial's number, score and values, and what was tried."""

    number: int
    score: float
    metric: str
    values: dict[str, Any]
    trials: list[dict]


def tune(
    model: str,
    dataset: str,
    values: Mapping[str, Any],
    space: Mapping[str, Range],
    trials: int,
    out: Path,
    jobs: int = 1,
    seed: int = 2020,
    on_trial: Callable[[int, str | None], None] = lambda finished, error: None,
) -> Tuned:
    """Search until the study in ``out`` has ``trials`` trials, counting those of earlier calls and other processes.

    Args:
        values: config values of every trial.
        on_trial: told the number of finished trials and the error of a trial that failed, as they end.

    Raises:
        ConfigError: unknown key, or a folder that holds the search of another model, data set, config or space.
        DecCMError: no trial has a score.
    """
    out = out.absolute()
    base = DecCMConfig(model, dataset, config_dict={**values, "seed": seed})
    if "protocol" in base.known_keys:  # the search chooses, and not each of its trials anew
        values = {"protocol": DEFAULT, **values}
    for name in space:
        if name not in base.known_keys or name in RESERVED:
            raise ConfigError(f"space: expected keys of {model}, found '{name}'.{suggest(name, base.known_keys)}")
    places = {"teacher_dir": str(out / "teachers"), "data_path": str(Path(base["data_path"]).parent.resolve())}
    cell = one_cell(model, dataset, {**with_absolute_paths(values), "seed": seed, **places, **LOGGED})
    distributions = distributions_of(space)
    study = search.Study(out / "study.journal", f"{model} on {dataset}", distributions, trials, seed)
    hashes = cell.hashes
    identity = of_texts(hashes["config_hash"], hashes["data_hash"], sorted(distributions.items()), seed, size=8)
    _claim(out, identity, {"model": model, "dataset": dataset, "seed": seed})

    def told(error: str | None) -> None:
        on_trial(search.used_trials(searching.opened)[0], error)

    with (
        scratch_folder(out) as scratch,
        Workers(jobs) as workers,
        closing(search.Searching("trial", study, cell, scratch, told, jobs)) as searching,
    ):
        opened = searching.opened
        run_tasks(searching.task, workers)
    best = search.best_of(opened)
    if best is None:
        raise DecCMError(f"{out}: expected at least one trial with a score, found none of {trials}.")
    tuned = Tuned(best.number, float(best.value or 0), base["valid_metric"], dict(best.params), search.summary(opened))
    write_text(out / "best.yaml", _best_yaml(tuned, model, dataset))
    write_text(out / "trials.json", json.dumps(tuned.trials, indent=2) + "\n")
    write_text(out / "search.html", search_page(opened, model, dataset, tuned))
    return tuned


def _claim(out: Path, identity: str, note: dict) -> None:
    path = out / "search.json"
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):  # of two searches that start at once, one finds the other's
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["identity"] != identity:
                raise ConfigError(
                    f"{out}: expected a folder of this search, found one of {found['model']} on {found['dataset']} "
                    "with another config, data, seed or space. Give another --out."
                )
        write_text(path, json.dumps({"identity": identity, **note}, indent=2) + "\n")


def _best_yaml(tuned: Tuned, model: str, dataset: str) -> str:
    kinds = {bool: "bool", int: "int", float: "float", str: "str", type(None): "str"}
    found = f"trial {tuned.number} of {len(tuned.trials)}, valid {tuned.metric} {tuned.score:.4f}"
    lines = []
    for name, value in tuned.values.items():
        text = yaml.safe_dump({name: value}, default_flow_style=False).strip()
        lines.append(f"{text:<31} # ({kinds[type(value)]}) Found by the search.\n")
    return f"# {model} on {dataset}: {found}.\n" + "".join(lines)


def search_page(opened: Any, model: str, dataset: str, tuned: Tuned) -> str:
    """One HTML page that needs no network: scores by trial, by value of each parameter, and what matters."""
    import optuna

    drawn = [optuna.visualization.plot_optimization_history(opened, target_name=f"valid {tuned.metric}")]
    drawn.append(optuna.visualization.plot_slice(opened, target_name=f"valid {tuned.metric}"))
    scores = {trial["score"] for trial in tuned.trials if trial["state"] == "complete"}
    if len(scores) >= _FEWEST_SCORES:  # fewer say nothing about importance
        drawn.append(optuna.visualization.plot_param_importances(opened, target_name=f"valid {tuned.metric}"))
    headings = ("Scores by trial", "Scores by value", "What matters")
    title = f"Search of {model} on {dataset}: {len(tuned.trials)} trials, best valid {tuned.metric} {tuned.score:.4f}"
    values = ", ".join(f"{name}: {value}" for name, value in tuned.values.items())
    return figures_page(title, f"Trial {tuned.number}: {values}", dict(zip(headings, drawn, strict=False)))
