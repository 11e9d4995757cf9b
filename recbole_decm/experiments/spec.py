"""The specification of a benchmark: what it compares, read from YAML and checked as far as it can be without looking at
models or data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)

from recbole_decm.config.keys import Role, having
from recbole_decm.config.values import find_config_file, read_yaml
from recbole_decm.errors import ConfigError, suggest
from recbole_decm.io.typed import Strict, complaint
from recbole_decm.simulation.causal import SimulationConfig
from recbole_decm.simulation.table import refuse_beside_table

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RESERVED = having(Role.RESERVED)


def slug(text: str) -> str:
    """A text as part of a file name: readable, not necessarily unique."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("._") or "_"


# --- search spaces ----------------------------------------------------------------------------------------------------
def _rising(bounds: tuple) -> tuple:
    if not bounds[0] < bounds[1]:
        raise ValueError(f"expected two numbers, the smaller first, found {list(bounds)}.")
    return bounds


def _plain(choices: list) -> list:
    if not choices or not all(choice is None or isinstance(choice, (bool, int, float, str)) for choice in choices):
        raise ValueError(f"expected a list of plain values to choose from, found {choices!r}.")
    if any(choice != choice for choice in choices):
        raise ValueError(
            f"expected a list of plain values to choose from, found {choices!r}, of which one is no number."
        )
    return choices


Whole = Annotated[int, Field(strict=True)]
_Between = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_rising)]
_BetweenWhole = Annotated[tuple[Whole, Whole], Field(strict=False), AfterValidator(_rising)]
_Above0 = Annotated[float, Field(gt=0)]
_WholeAbove0 = Annotated[Whole, Field(gt=0)]


class Range(Strict):
    """The values a search may choose for one key: one of five kinds, bounds included.

    Raises:
        ValueError: none of the kinds, or more than one.
    """

    uniform: _Between | None = None
    loguniform: Annotated[tuple[_Above0, _Above0], Field(strict=False), AfterValidator(_rising)] | None = None
    int: _BetweenWhole | None = None
    logint: Annotated[tuple[_WholeAbove0, _WholeAbove0], Field(strict=False), AfterValidator(_rising)] | None = None
    choice: Annotated[list, AfterValidator(_plain)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Range:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise ValueError(f"expected one of {kinds} with its values, found {sorted(self.model_fields_set)}.")
        return self

    def distribution(self) -> BaseDistribution:
        """The same for Optuna, which takes a second to import."""
        from optuna import distributions

        (kind,) = self.model_fields_set
        values = getattr(self, kind)
        if kind == "choice":
            return distributions.CategoricalDistribution(values)
        make = distributions.IntDistribution if kind.endswith("int") else distributions.FloatDistribution
        return make(values[0], values[1], log=kind.startswith("log"))


def _space(values: object) -> object:
    """A space may be the name of a file below ``properties``."""
    return read_yaml(find_config_file(values)) if isinstance(values, str) else values


def distributions_of(space: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    """A space for Optuna."""
    return {name: choices.distribution() for name, choices in space.items()}


Space = Annotated[dict[str, Range], Field(min_length=1), BeforeValidator(_space)]


def read_space(path: Path) -> dict[str, Range]:
    """The search space of one model: ``learning_rate: {loguniform: [1.0e-4, 1.0e-2]}`` and so on.

    Raises:
        ConfigError: not of this form, empty, or bounds that hold nothing.
    """
    try:
        return TypeAdapter(Space).validate_python(read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}, {complaint(error)}") from error


# --- models and data sets ---------------------------------------------------------------------------------------------
def _unreserved(values: dict) -> dict:
    for key in values:
        if key in RESERVED:
            raise ValueError(f"expected keys of a model or of the evaluation; '{key}' is set by the benchmark.")
    return values


def _file(name: object, info: ValidationInfo[dict[str, Any]]) -> Path:
    """A file beside the specification, by its path, or below ``properties`` as shipped."""
    for path in (info.context["folder"] / str(name), find_config_file(str(name))):
        if path.is_file():
            return path.resolve()
    raise ValueError(f"expected a file, found no '{name}' beside the specification or below properties.")


def _filled(given: object, info: ValidationInfo[dict[str, Any]]) -> Path:
    """A path, with ``${NAME}`` filled in."""

    def fill(match: re.Match) -> str:
        name, known = match[1], info.context["names"]
        if not known.get(name):
            advice = f"Give --data {name}=DIR, or set the environment variable {name}."
            raise ValueError(f"expected a value for ${{{name}}}, found none. {advice}")
        return known[name]

    return Path(re.sub(r"\$\{(\w+)\}", fill, str(given))).expanduser()


def _folder(given: object, info: ValidationInfo[dict[str, Any]]) -> Path:
    path = _filled(given, info)
    if not path.is_dir():
        raise ValueError(f"expected a folder, found {str(path)!r}.")
    return path.resolve()


def _table(given: object, info: ValidationInfo[dict[str, Any]]) -> Path:
    path = _filled(given, info)
    if not path.is_file():
        raise ValueError(f"expected a file, found {str(path)!r}.")
    return path.resolve()


_hints = get_type_hints(SimulationConfig)
_Simulation = create_model(
    "_Simulation",
    __base__=Strict,
    **{entry.name: (_hints[entry.name] | None, None) for entry in fields(SimulationConfig)},  # type: ignore[call-overload]
)


def _simulation(values: dict) -> dict:
    """Options of ``recbole-decm simulate``, of the right types and in their ranges."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        SimulationConfig.of(**_Simulation.model_validate(values).model_dump(exclude_unset=True))
    except ValidationError as error:
        raise ValueError(complaint(error)) from error
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return values


Values = Annotated[dict[str, Any], AfterValidator(_unreserved)]
Folder = Annotated[Path, BeforeValidator(_folder)]
Table = Annotated[Path, BeforeValidator(_table)]


class ModelEntry(Strict):
    """A model under a label of its own, with the config values that make it what the label says."""

    label: str
    model: str
    config_files: Annotated[tuple[Annotated[Path, BeforeValidator(_file)], ...], Field(strict=False)] = ()
    config: Values = Field(default_factory=dict)


class Released(Strict):
    """Folders in the layout of the released code; a CSV of the videos, and its column that ``.inter`` gets."""

    ugc: Folder
    pgc: Folder | None = None
    groups: Table | None = None
    column: str = "artist"


class DataEntry(Strict):
    """A data set under a label: one that exists (``dataset``), one to simulate, around real uploads where ``uploads``
    names a table of them, or one to import. ``genre_separator`` stands between the genres of a cell of that table."""

    label: str
    dataset: str | None = None
    data_path: Folder | None = None
    simulate: Annotated[dict[str, Any], AfterValidator(_simulation)] | None = None
    uploads: Table | None = None
    genre_separator: Annotated[str, Field(min_length=1)] | None = None
    per_seed: bool = False
    import_released: Released | None = None
    config: Values = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> DataEntry:
        sources = [key for key in ("dataset", "simulate", "import_released") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(f"expected one of dataset, simulate and import_released, found {sources or 'none'}.")
        if self.per_seed and self.simulate is None:
            raise ValueError("per_seed: expected it beside simulate alone.")
        if self.uploads is not None:
            if self.simulate is None:
                raise ValueError("uploads: expected it beside simulate alone.")
            try:
                refuse_beside_table(self.simulate)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        elif self.genre_separator is not None:
            raise ValueError("genre_separator: expected it beside uploads alone.")
        if self.per_seed and "seed" in (self.simulate or {}):
            raise ValueError("simulate: expected no seed of its own with per_seed.")
        if self.data_path is not None and self.dataset is None:
            raise ValueError("data_path: expected it beside dataset alone.")
        return self

    def options(self, seed: int) -> dict[str, Any]:
        """Options of the simulation for a seed of the benchmark."""
        return {**(self.simulate or {}), **({"seed": seed} if self.per_seed else {})}

    def simulation(self, seed: int) -> SimulationConfig:
        """Parameters of the simulation for a seed of the benchmark, without what a table of uploads says."""
        return SimulationConfig.of(**self.options(seed))


class Search(Strict):
    """A search over hyper-parameters on validation data, the same number of trials for every model that has a space."""

    trials: Annotated[int, Field(ge=1)] = 10
    seed: int = 2020
    space: Annotated[dict[str, Space], Field(min_length=1)]

    def space_of(self, entry: ModelEntry) -> dict[str, Range] | None:
        """The space of a model: by its label, else by its class."""
        return self.space.get(entry.label, self.space.get(entry.model))


# --- the whole --------------------------------------------------------------------------------------------------------
def _labelled(name: str) -> Callable[[object], dict]:
    """Read names and ``label: {...}`` into a mapping by label; a label alone is the ``name`` of what it stands for."""

    def read(listed: object) -> dict:
        if not isinstance(listed, list) or not listed:
            raise ValueError(f"expected a list with at least one entry, found {listed!r}.")
        found: dict[str, Any] = {}
        files: dict[str, str] = {}
        for entry in listed:
            if not isinstance(entry, str) and not (isinstance(entry, dict) and len(entry) == 1):
                raise ValueError(f"expected names or 'label: {{...}}', found {entry!r}.")
            label, content = next(iter(entry.items())) if isinstance(entry, dict) else (entry, None)
            label = str(label)
            if label in found:
                raise ValueError(f"expected each label once, found '{label}' again. Give one another label.")
            other = files.setdefault(slug(label).lower(), label)
            if other != label:
                raise ValueError(f"expected labels that differ as file names, found '{other}' and '{label}'.")
            if isinstance(content, dict):
                content = {**({"model": label} if name == "model" else {}), **content, "label": label}
            found[label] = {"label": label, name: label} if content is None else content
        return found

    return read


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"expected each seed once, found {list(seeds)}.")
    return seeds


class Fold(NamedTuple):
    """A fold of a benchmark: which of how many, and the seed that draws them, or None for folds of equal size."""

    folds: int
    fold: int
    seed: int | None = None

    def split(self) -> dict[str, int]:
        """Its entries of ``eval_args.split``, beside ``LGO``."""
        return {"folds": self.folds, "fold": self.fold} | ({} if self.seed is None else {"fold_seed": self.seed})

    def __str__(self) -> str:
        return f"fold {self.fold} of {self.folds}" + ("" if self.seed is None else f" (fold_seed {self.seed})")


class Specification(Strict):
    """What a benchmark compares; models and data sets by their labels."""

    models: Annotated[dict[str, ModelEntry], BeforeValidator(_labelled("model"))]
    datasets: Annotated[dict[str, DataEntry], BeforeValidator(_labelled("dataset"))]
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1), AfterValidator(_each_once)
    ] = (2020,)
    folds: Annotated[int, Field(ge=3)] | None = None
    fold_seed: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        BeforeValidator(lambda given: [given] if isinstance(given, int) else given),
        Field(strict=False, min_length=1),
        AfterValidator(_each_once),
    ] = ()
    main_metric: Annotated[str, AfterValidator(str.lower)] = "ndcg@10"
    main_test: str = "test"
    title: str = "Benchmark"
    baseline: str | None = None
    eval_mode: str | None = None
    metrics: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    config: Values = Field(default_factory=dict)
    search: Search | None = None
    keep_checkpoints: bool = False
    _plain: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def plain(self) -> dict[str, Any]:
        """The specification as read, which tells two of them apart."""
        return self._plain

    @property
    def foldings(self) -> list[Fold | None]:
        """The folds that every model is run on, of one folding after the other; None alone without ``folds``."""
        if self.folds is None:
            return [None]
        return [Fold(self.folds, fold, seed) for seed in self.fold_seed or (None,) for fold in range(self.folds)]

    @model_validator(mode="after")
    def _names_are_of_models(self) -> Specification:
        if self.fold_seed and self.folds is None:
            raise ValueError("fold_seed: expected it beside folds alone.")
        if self.baseline is not None and self.baseline not in self.models:
            hint = suggest(self.baseline, self.models)
            raise ValueError(f"baseline: expected a label of models, found '{self.baseline}'.{hint}")
        known = {name for entry in self.models.values() for name in (entry.label, entry.model)}
        for name, space in (self.search.space if self.search else {}).items():
            if name not in known:
                hint = suggest(name, known)
                raise ValueError(f"search: expected a label or class of models, found '{name}'.{hint}")
            for key in space:
                if key in RESERVED:
                    raise ValueError(f"search, {name}: expected keys of the model; '{key}' is set by the benchmark.")
        return self


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
    context = {"folder": path.parent, "names": {**os.environ, **(folders or {})}}
    try:
        found = Specification.model_validate(values, context=context)
    except ValidationError as error:
        raise ConfigError(f"{path}, {complaint(error)}") from error
    found._plain = values
    return found
