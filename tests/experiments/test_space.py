"""Search spaces from YAML."""

from __future__ import annotations

import optuna
import pytest

from recbole_decm.config.config import DecCMConfig
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.space import Parameter, parse_space
from recbole_decm.io.shipped import shipped

SHIPPED = sorted((shipped("properties") / "search").glob("*.yaml"))


@pytest.mark.parametrize(
    ("entry", "low", "high"),
    [
        ({"uniform": [0.5, 1.5]}, 0.5, 1.5),
        ({"loguniform": [1e-4, 1e-2]}, 1e-4, 1e-2),
        ({"int": [1, 3]}, 1, 3),
        ({"logint": [2, 64]}, 2, 64),
    ],
)
def test_values_lie_in_their_range(entry, low, high):
    (parameter,) = parse_space({"x": entry}, "s").values()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [parameter.suggest(study.ask(), "x") for _ in range(50)]
    assert all(low <= value <= high and parameter.holds(value) for value in values)
    assert isinstance(values[0], int) == ("int" in next(iter(entry)))
    assert parameter.holds(low) and parameter.holds(high) and not parameter.holds(high + 1)


def test_a_logarithmic_range_draws_as_often_from_each_decade():
    parameter = Parameter("loguniform", (1e-4, 1e-2))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [parameter.suggest(study.ask(), "x") for _ in range(400)]
    assert 0.4 < sum(value < 1e-3 for value in values) / 400 < 0.6  # a uniform draw: 0.09


def test_choices_hold_their_own_kind():
    parameter = parse_space({"x": {"choice": [0.0, None, "hinge"]}}, "s")["x"]
    assert parameter.holds(0.0) and parameter.holds(None) and not parameter.holds(False) and not parameter.holds(0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected keys with their ranges"),
        ({"x": [1, 2]}, "s, x: expected one of uniform, loguniform, int, logint, choice"),
        ({"x": {"normal": [0, 1]}}, "expected one of uniform"),
        ({"x": {"uniform": [2, 1]}}, "the smaller first"),
        ({"x": {"uniform": [0, float("inf")]}}, "expected two numbers"),
        ({"x": {"int": [0.5, 2]}}, "expected two whole numbers"),
        ({"x": {"loguniform": [0, 1]}}, "numbers above 0"),
        ({"x": {"choice": []}}, "expected a list of plain values"),
        ({"x": {"choice": [[1], [2]]}}, "expected a list of plain values"),
        ({"x": {"choice": [float("nan")]}}, "expected a list of plain values"),
        ({"x": {"choice": 3}}, "expected a list of values for choice, found 3"),
    ],
)
def test_a_space_that_cannot_be(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_space(values, "s")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_name_known_keys_and_hold_the_defaults(path):
    """The first trial of a search is the defaults: then a search is never worse than none, on validation data."""
    config = DecCMConfig(path.stem, "sim")
    for name, parameter in parse_space(read_yaml(path), path.stem).items():
        assert name in config.known_keys and parameter.holds(config[name]), name
