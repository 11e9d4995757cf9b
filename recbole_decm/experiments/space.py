"""Search spaces: what a search may choose for each key of a model's config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from recbole_decm.errors import ConfigError

KINDS = ("uniform", "loguniform", "int", "logint", "choice")


@dataclass(frozen=True)
class Parameter:
    """The values a search may choose for one key.

    Attributes:
        kind: uniform, loguniform, int, logint (between ``values[0]`` and ``values[1]``, both included), or choice.
        values: (low, high), or the choices: plain values, no lists.
    """

    kind: str
    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask an Optuna trial for a value."""
        if self.kind == "choice":
            return trial.suggest_categorical(name, self.values)
        ask = trial.suggest_int if self.kind.endswith("int") else trial.suggest_float
        return ask(name, *self.values, log=self.kind.startswith("log"))

    def holds(self, value: object) -> bool:
        """Whether a value is one that the search could choose."""
        if self.kind == "choice":
            return any(type(value) is type(choice) and value == choice for choice in self.values)
        return _is_number(value, self.kind.endswith("int")) and self.values[0] <= value <= self.values[1]  # type: ignore[operator]


def parse_space(values: object, where: str) -> dict[str, Parameter]:
    """A space from YAML: ``{learning_rate: {loguniform: [1.0e-4, 1.0e-2]}, dropout_prob: {choice: [0.0, 0.2]}}``.

    Raises:
        ConfigError: not of this form, an empty space, bounds that hold nothing; ``where`` names the place.
    """
    if not isinstance(values, dict) or not values:
        raise ConfigError(f"{where}: expected keys with their ranges, found {values!r}.")
    return {str(key): _parameter(entry, f"{where}, {key}") for key, entry in values.items()}


def _parameter(entry: object, where: str) -> Parameter:
    if not isinstance(entry, dict) or len(entry) != 1 or next(iter(entry)) not in KINDS:
        raise ConfigError(f"{where}: expected one of {', '.join(KINDS)} with its values, found {entry!r}.")
    ((kind, values),) = entry.items()
    if not isinstance(values, list):
        raise ConfigError(f"{where}: expected a list of values for {kind}, found {values!r}.")
    if kind == "choice":
        plain = all(isinstance(value, (bool, int, str, type(None))) or _is_number(value, False) for value in values)
        if not values or not plain:
            raise ConfigError(f"{where}: expected a list of plain values to choose from, found {values!r}.")
        return Parameter(kind, tuple(values))
    whole = kind.endswith("int")
    if len(values) != 2 or not all(_is_number(value, whole) for value in values) or not values[0] < values[1]:
        what = "whole numbers" if whole else "numbers"
        raise ConfigError(f"{where}: expected two {what}, the smaller first, for {kind}, found {values!r}.")
    if kind.startswith("log") and values[0] <= 0:
        raise ConfigError(f"{where}: expected numbers above 0 for {kind}, found {values!r}.")
    return Parameter(kind, tuple(values))


def _is_number(value: object, whole: bool) -> bool:
    return isinstance(value, int if whole else Real) and not isinstance(value, bool) and math.isfinite(value)
