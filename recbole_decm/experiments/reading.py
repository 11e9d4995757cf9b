"""Read the specification of a benchmark, and check it as far as it can be without looking at models or data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from recbole_decm.config.values import find_config_file, read_yaml
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.experiments.space import parse_space
from recbole_decm.experiments.spec import RESERVED, DataEntry, ModelEntry, Search, Specification, slug
from recbole_decm.simulation.causal import SimulationConfig


def read_specification(path: Path | str, folders: Mapping[str, str] | None = None) -> Specification:
    """Read a specification by its path, or by its path below ``properties`` as shipped (``benchmark/quick.yaml``).

    Args:
        folders: values of ``${NAME}`` in the data sets, above the environment's.

    Raises:
        ConfigError: unknown key, empty list, label given twice, seed that is no integer, ``${NAME}`` without a value,
            file that is not there.
    """
    path = find_config_file(path)
    values = read_yaml(path)
    known = [entry.name for entry in fields(Specification) if entry.name != "plain"]
    _refuse_unknown(values, known, str(path))
    names = {**os.environ, **(folders or {})}
    models = _entries(values, "models", path, lambda label, entry, where: _model(label, entry, where, path.parent))
    datasets = _entries(values, "datasets", path, lambda label, entry, where: _data(label, entry, where, names))
    given = {
        key: values[key] for key in ("main_metric", "main_test", "title", "baseline", "eval_mode") if values.get(key)
    }
    for key, value in given.items():
        _require(isinstance(value, str), f"{path}, {key}", "a text", value)
    keep = values.get("keep_checkpoints", False)
    _require(isinstance(keep, bool), f"{path}, keep_checkpoints", "true or false", keep)
    specification = Specification(
        tuple(models),
        tuple(datasets),
        _seeds(values.get("seeds", [2020]), f"{path}, seeds"),
        config=_config(values.get("config"), f"{path}, config"),
        metrics=_metrics(values.get("metrics"), f"{path}, metrics"),
        search=_search(values.get("search"), f"{path}, search"),
        keep_checkpoints=keep,
        plain=values,
        **{**given, "main_metric": given.get("main_metric", "ndcg@10").lower()},
    )
    labels = [entry.label for entry in models]
    if specification.baseline is not None and specification.baseline not in labels:
        hint = suggest(specification.baseline, labels)
        raise ConfigError(f"{path}, baseline: expected a label of models, found '{specification.baseline}'.{hint}")
    _check_spaces(specification, path)
    return specification


def _require(condition: bool, where: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, found {found!r}.")


def _refuse_unknown(values: Mapping, known: list[str], where: str) -> None:
    for key in values:
        if key not in known:
            hint = suggest(str(key), known)
            raise ConfigError(f"{where}: expected one of the keys {', '.join(known)}, found '{key}'.{hint}")


def _entries(values: dict, key: str, path: Path, build: Callable[[str, Any, str], Any]) -> list:
    """Entries of a list of names or ``label: {...}``, each label once."""
    listed = values.get(key)
    _require(isinstance(listed, list) and bool(listed), f"{path}, {key}", "a list with at least one entry", listed)
    found: dict[str, Any] = {}
    slugs: dict[str, str] = {}
    for entry in listed or []:
        named = isinstance(entry, dict) and len(entry) == 1
        _require(named or isinstance(entry, str), f"{path}, {key}", "names or 'label: {...}'", entry)
        label, content = next(iter(entry.items())) if isinstance(entry, dict) else (entry, None)
        label = str(label)
        if label in found:
            raise ConfigError(
                f"{path}, {key}: expected each label once, found '{label}' again. Give one another label."
            )
        if slug(label).lower() in slugs:
            other = slugs[slug(label).lower()]
            raise ConfigError(
                f"{path}, {key}: expected labels that differ as file names, found '{other}' and '{label}'."
            )
        slugs[slug(label).lower()] = label
        found[label] = build(label, content, f"{path}, {key}, {label}")
    return list(found.values())


def _model(label: str, content: Any, where: str, folder: Path) -> ModelEntry:
    if content is None:
        return ModelEntry(label, label)
    _require(isinstance(content, dict), where, "{model: NAME, ...}", content)
    _refuse_unknown(content, ["model", "config_files", "config"], where)
    name, files = content.get("model", label), content.get("config_files", [])
    _require(isinstance(name, str), f"{where}, model", "a name", name)
    _require(isinstance(files, list), f"{where}, config_files", "a list of files", files)
    paths = tuple(_find(file, folder, f"{where}, config_files") for file in files)
    return ModelEntry(label, name, paths, _config(content.get("config"), f"{where}, config"))


def _find(file: object, folder: Path, where: str) -> Path:
    """A file beside the specification, by its path, or below ``properties`` as shipped."""
    for path in (folder / str(file), find_config_file(str(file))):
        if path.is_file():
            return path.resolve()
    raise ConfigError(f"{where}: expected a file, found no '{file}' beside the specification or below properties.")


def _data(label: str, content: Any, where: str, names: Mapping[str, str]) -> DataEntry:
    if content is None:
        return DataEntry(label, dataset=label)
    _require(
        isinstance(content, dict), where, "{dataset: NAME, ...}, {simulate: ...} or {import_released: ...}", content
    )
    _refuse_unknown(content, [entry.name for entry in fields(DataEntry) if entry.name != "label"], where)
    sources = [key for key in ("dataset", "simulate", "import_released") if content.get(key) is not None]
    _require(len(sources) == 1, where, "one of dataset, simulate and import_released", sources or content)
    entry: dict[str, Any] = {"config": _config(content.get("config"), f"{where}, config")}
    per_seed = content.get("per_seed", False)
    _require(isinstance(per_seed, bool), f"{where}, per_seed", "true or false", per_seed)
    _require(not per_seed or "simulate" in sources, f"{where}, per_seed", "it beside simulate alone", per_seed)
    if "dataset" in sources:
        entry["dataset"] = str(content["dataset"])
    if content.get("data_path") is not None:
        _require("dataset" in sources, f"{where}, data_path", "it beside dataset alone", content["data_path"])
        entry["data_path"] = _folder(content["data_path"], f"{where}, data_path", names)
    if "simulate" in sources:
        entry |= {"simulate": _simulation(content["simulate"], f"{where}, simulate", per_seed), "per_seed": per_seed}
    if "import_released" in sources:
        parts = content["import_released"]
        _require(isinstance(parts, dict) and "ugc" in parts, f"{where}, import_released", "{ugc: DIR, pgc: DIR}", parts)
        _refuse_unknown(parts, ["ugc", "pgc"], f"{where}, import_released")
        entry["import_released"] = {
            key: _folder(value, f"{where}, import_released, {key}", names) for key, value in parts.items()
        }
    return DataEntry(label, **entry)


def _folder(value: object, where: str, names: Mapping[str, str]) -> Path:
    """A folder that exists, with ``${NAME}`` filled in."""

    def fill(match: re.Match) -> str:
        if not names.get(match[1]):
            raise ConfigError(
                f"{where}: expected a value for ${{{match[1]}}}, found none. "
                f"Give --data {match[1]}=DIR, or set the environment variable {match[1]}."
            )
        return names[match[1]]

    path = Path(re.sub(r"\$\{(\w+)\}", fill, str(value))).expanduser()
    _require(path.is_dir(), where, "a folder", str(path))
    return path.resolve()


def _simulation(values: Any, where: str, per_seed: bool) -> dict:
    _require(isinstance(values, dict), where, "options of recbole-decm simulate", values)
    _refuse_unknown(values, [entry.name for entry in fields(SimulationConfig)], where)
    _require(not (per_seed and "seed" in values), where, "no seed of its own with per_seed", values)
    whole = {entry.name for entry in fields(SimulationConfig) if isinstance(entry.default, int)}
    for key, value in values.items():
        fits = isinstance(value, int if key in whole else (int, float, list)) and not isinstance(value, bool)
        _require(fits, f"{where}, {key}", "a whole number" if key in whole else "numbers", value)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        SimulationConfig.of(**values)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return values


def _seeds(values: Any, where: str) -> tuple[int, ...]:
    _require(isinstance(values, list) and bool(values), where, "a list with at least one integer", values)
    for seed in values:
        whole = isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
        _require(whole, where, "integers of at least 0", seed)
    _require(len(set(values)) == len(values), where, "each seed once", values)
    return tuple(values)


def _config(values: Any, where: str) -> dict:
    _require(values is None or isinstance(values, dict), where, "keys and values", values)
    for key in values or {}:
        if key in RESERVED:
            raise ConfigError(
                f"{where}: expected keys of a model or of the evaluation; '{key}' is set by the benchmark."
            )
    return dict(values or {})


def _metrics(values: Any, where: str) -> tuple[str, ...] | None:
    if values is None:
        return None
    _require(isinstance(values, list) and bool(values), where, "a list with at least one metric", values)
    return tuple(map(str, values))


def _search(values: Any, where: str) -> Search | None:
    if values is None:
        return None
    _require(isinstance(values, dict), where, "{trials: N, space: {MODEL: {...}}}", values)
    _refuse_unknown(values, ["trials", "seed", "space"], where)
    trials, seed, space = values.get("trials", 10), values.get("seed", 2020), values.get("space")
    whole = isinstance(trials, int) and not isinstance(trials, bool)
    _require(whole and trials >= 1, f"{where}, trials", "an integer of at least 1", trials)
    _require(isinstance(seed, int) and not isinstance(seed, bool), f"{where}, seed", "an integer", seed)
    _require(isinstance(space, dict) and bool(space), f"{where}, space", "a space for at least one model", space)
    spaces = {
        str(name): parse_space(
            read_yaml(find_config_file(entry)) if isinstance(entry, str) else entry, f"{where}, {name}"
        )
        for name, entry in (space or {}).items()
    }
    return Search(trials, seed, spaces)


def _check_spaces(specification: Specification, path: Path) -> None:
    search = specification.search
    known = {name for entry in specification.models for name in (entry.label, entry.model)}
    for name, space in (search.space if search else {}).items():
        if name not in known:
            raise ConfigError(
                f"{path}, search: expected a label or class of models, found '{name}'.{suggest(name, known)}"
            )
        for key in space:
            if key in RESERVED:
                raise ConfigError(
                    f"{path}, search, {name}: expected keys of the model; '{key}' is set by the benchmark."
                )
