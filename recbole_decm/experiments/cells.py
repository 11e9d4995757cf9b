"""The cells of a benchmark, and the config values of each: what the specification means to RecBole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import merge, read_config_files
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.experiments import data as data_sets
from recbole_decm.experiments.hashes import all_hashes
from recbole_decm.experiments.spec import DataEntry, Fold, ModelEntry, Specification, slug
from recbole_decm.io.digest import of_texts
from recbole_decm.simulation.files import read_simulation_record

QUIET = {"state": "WARNING", "show_progress": False}
"""Config values of cells that run in the process of a command, which shows progress and results itself."""
LOGGED = {"state": "INFO", "show_progress": False}
"""Of cells that run in processes of their own, which have a log file each."""


@dataclass(frozen=True)
class Cell:
    """One model on one data set with one seed, and on one fold of it where the benchmark has folds.

    Attributes:
        key: name of its folder, the same for the same labels, seed and fold.
        dataset, data_path: name and parent folder; None for the default folders.
    """

    key: str
    model: ModelEntry
    data: DataEntry
    seed: int
    dataset: str
    data_path: Path | None
    fold: Fold | None = None

    @property
    def title(self) -> str:
        """The cell in words."""
        where = "" if self.fold is None else f", {self.fold}"
        return f"{self.model.label} on {self.data.label}, seed {self.seed}{where}"


@dataclass(frozen=True)
class ResolvedCell:
    """A cell with all that a run of it depends on, worked out once.

    Attributes:
        values: config values, with seed and folders; config: what they make.
        found: the values that a search found.
    """

    cell: Cell
    values: dict[str, Any]
    config: DecCMConfig
    found: dict[str, Any]

    @classmethod
    def of(cls, cell: Cell, values: dict[str, Any], found: dict[str, Any] | None = None) -> ResolvedCell:
        """Resolve a cell.

        Args:
            values: without those that a search found.
        """
        whole = {**values, **(found or {})}
        config = DecCMConfig(cell.model.model, cell.dataset, config_dict=whole)
        return cls(cell, whole, config, found or {})

    @property
    def model(self) -> str:
        """Name of the model's class."""
        return self.cell.model.model

    @property
    def seed(self) -> int:
        """Of data, training and evaluation."""
        return self.cell.seed

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of config, data and code."""
        return all_hashes(self.config)

    def with_values(self, found: dict[str, Any]) -> ResolvedCell:
        """The same cell with other values for some keys."""
        return ResolvedCell.of(self.cell, self.values, found)

    def note(self) -> dict[str, Any]:
        """What ``cell.json`` says beside the results."""
        yaml = Path(self.config["data_path"]) / f"{self.cell.dataset}.yaml"
        cell = self.cell
        labels: dict[str, Any] = {
            "model": cell.model.label,
            "class": cell.model.model,
            "dataset": cell.data.label,
            "seed": cell.seed,
        }
        if cell.fold is not None:
            labels |= {"folds": cell.fold.folds, "fold": cell.fold.fold, "fold_seed": cell.fold.seed}
        overlay = {**overlay_of(cell.model), **self.found}
        return {**labels, **self.hashes, "overlay": overlay, "factors": read_simulation_record(yaml)}

    def job(
        self, folder: Path, note: dict[str, Any], tested: bool = True, beside: bool = False, **values: Any
    ) -> dict[str, Any]:
        """The run of the cell as a job of :mod:`.jobs`.

        Args:
            folder: where results go; note: what ``cell.json`` says beside them.
            tested: False to train alone; beside: estimate metrics without habit beside the run.
            values: above those of the cell.
        """
        kwargs: dict[str, Any] = {
            "model": self.model,
            "dataset": self.cell.dataset,
            "values": {**self.values, **values},
        }
        kwargs |= {"note": note, "folder": str(folder), "tested": tested, "beside": beside}
        return {"call": "recbole_decm.experiments.cell:run_cell", "kwargs": kwargs}


def one_cell(model: str, dataset: str, values: dict[str, Any]) -> ResolvedCell:
    """A cell of no specification: a model on a data set that exists, with config values."""
    config = DecCMConfig(model, dataset, config_dict=values)
    entry, data = ModelEntry(label=model, model=model), DataEntry(label=dataset, dataset=dataset)
    return ResolvedCell(Cell(slug(model), entry, data, config["seed"], dataset, None), values, config, {})


def cells_of(specification: Specification, out: Path) -> list[Cell]:
    """All cells, model by model within a data set."""
    found = []
    for data in specification.datasets.values():
        for model in specification.models.values():
            for fold, seed in product(specification.foldings, specification.seeds):
                name, folder = data_sets.place(data, seed, out)
                at = () if fold is None else (f"fold{fold.fold}", f"of{fold.folds}", *filter(None, [_drawn_by(fold)]))
                mark = of_texts(model.label, data.label, seed, *at)
                key = "-".join([slug(model.label), slug(data.label), str(seed), *at, mark])
                found.append(Cell(key, model, data, seed, name, folder, fold))
    return found


def _drawn_by(fold: Fold) -> str:
    return "" if fold.seed is None else f"by{fold.seed}"


def overlay_of(model: ModelEntry) -> dict:
    """The values that make a model what its label says."""
    return merge(read_config_files(model.config_files), model.config)


def values_of(
    specification: Specification, model: ModelEntry, data: DataEntry, known: Iterable[str], fold: Fold | None = None
) -> dict:
    """Config values of a model on a data set, without seed and folders.

    Later ones win: the specification's config, the data set's, the model's; metrics and mode of the evaluation are
    the same for all. Of the common values a model is given those whose keys it knows.
    """
    keys = set(known)
    common = {key: value for key, value in merge(specification.config, data.config).items() if key in keys}
    protocol: dict[str, Any] = {}
    if specification.eval_mode is not None:
        protocol["eval_args"] = {"mode": specification.eval_mode}
    if specification.metrics is not None:
        protocol["metrics"] = list(specification.metrics)
    values = merge(common, overlay_of(model), protocol)
    return values if fold is None else merge(values, {"eval_args": {"split": _folded(values, data, fold)}})


def _folded(values: Mapping[str, Any], data: DataEntry, fold: Fold) -> dict[str, Any]:
    """The split of a fold.

    Raises:
        ConfigError: the values name no column to fold by, or a fold of their own.
    """
    split = (values.get("eval_args") or {}).get("split")
    if not isinstance(split, dict) or set(split) != {"LGO"}:
        raise ConfigError(
            "folds: expected eval_args: {split: {LGO: FIELD}} in the config of the specification or of the data set "
            f"'{data.label}', where FIELD is the column to fold by, found {split or 'no split'}."
        )
    return {**split, **fold.split()}


def folder_of(path: Path | None) -> dict[str, str]:
    """The value of ``data_path`` where it is not the default."""
    return {} if path is None else {"data_path": str(path)}


def with_absolute_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Config values for a process that runs in another folder: a teacher's checkpoint by its absolute path."""
    path = Path(str(values.get("teacher")))
    return {**values, **({"teacher": str(path.resolve())} if path.is_file() else {})}


def check(specification: Specification) -> None:
    """Refuse what RecBole or a model would refuse, before anything is simulated or trained.

    Raises:
        ConfigError: unknown model, metric, key or data set; no test split; a main metric that is not computed.
    """
    unknown = {"config": set(specification.config)}
    everything: set[str] = set()
    unknown |= {f"datasets, {data.label}, config": set(data.config) for data in specification.datasets.values()}
    for data in specification.datasets.values():
        for model in specification.models.values():
            known = _check_pair(specification, model, data)
            everything |= known
            for keys in (unknown["config"], unknown[f"datasets, {data.label}, config"]):
                keys -= known
    for where, keys in unknown.items():
        for key in sorted(keys):
            hint = suggest(key, everything)
            raise ConfigError(f"specification, {where}: expected a key that a model reads, found '{key}'.{hint}")


def _check_pair(specification: Specification, model: ModelEntry, data: DataEntry) -> set[str]:
    where = f"specification, {model.label} on {data.label}"
    name, folder = (data_sets.STAND_IN, None) if data.dataset is None else (data.dataset, data.data_path)
    try:
        known = DecCMConfig(model.model, name, config_dict=folder_of(folder)).known_keys
        values = values_of(specification, model, data, known, specification.foldings[0])
        config = DecCMConfig(model.model, name, config_dict={**values, **folder_of(folder)})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    for key in _space(specification, model):
        if key not in known:
            raise ConfigError(f"{where}, search: expected a key of {model.model}, found '{key}'.{suggest(key, known)}")
    splits = config["benchmark_filename"]
    if config.ready_made and len(splits) < 3:
        raise ConfigError(f"{where}: expected a data set with train, valid and test, found the splits {splits}.")
    computed = {f"{metric.lower()}@{k}" for metric in config["metrics"] for k in config["topk"]}
    if specification.main_metric not in computed:
        hint = suggest(specification.main_metric, computed)
        raise ConfigError(
            f"{where}: expected main_metric among those of metrics and topk, found '{specification.main_metric}'.{hint}"
        )
    tests = ["test", *(f"test_{name}" for name in config["extra_tests"] or [])]
    if specification.main_test not in tests:
        raise ConfigError(f"{where}: expected main_test {' or '.join(tests)}, found '{specification.main_test}'.")
    return known


def _space(specification: Specification, model: ModelEntry) -> Iterable[str]:
    return (specification.search and specification.search.space_of(model)) or ()


def check_candidates(config: DecCMConfig) -> None:
    """Refuse ``eval_mode: fixed`` where the data set has no candidate files."""
    for phase, mode in config["eval_args"]["mode"].items():
        path = Path(config["data_path"]) / f"{config['dataset']}.{phase}.candidates"
        if mode == "fixed" and not path.is_file():
            raise ConfigError(f"eval_mode: fixed needs {path}, found no such file. Use full or uni100.")
