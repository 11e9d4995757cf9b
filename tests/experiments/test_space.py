"""Search spaces from YAML, and what a search draws from them."""

from __future__ import annotations

import optuna
import pytest
import yaml

from recbole_decm.config.config import DecCMConfig
from recbole_decm.errors import ConfigError
from recbole_decm.experiments.search import draw, holds
from recbole_decm.experiments.spec import distributions_of, read_space
from recbole_decm.io.shipped import shipped

SHIPPED = sorted((shipped("properties") / "search").glob("*.yaml"))


def space_of(tmp_path, values):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(values))
    return distributions_of(read_space(tmp_path / "s.yaml"))


@pytest.mark.parametrize(
    ("entry", "low", "high"),
    [
        ({"uniform": [0.5, 1.5]}, 0.5, 1.5),
        ({"loguniform": [1e-4, 1e-2]}, 1e-4, 1e-2),
        ({"int": [1, 3]}, 1, 3),
        ({"logint": [2, 64]}, 2, 64),
    ],
)
def test_values_lie_in_their_range(tmp_path, entry, low, high):
    choices = space_of(tmp_path, {"x": entry})["x"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [draw(study.ask(), "x", choices) for _ in range(50)]
    assert all(low <= value <= high and holds(choices, value) for value in values)
    assert isinstance(values[0], int) == ("int" in next(iter(entry)))
    assert holds(choices, low) and holds(choices, high) and not holds(choices, high + 1)


def test_a_logarithmic_range_draws_as_often_from_each_decade(tmp_path):
    choices = space_of(tmp_path, {"x": {"loguniform": [1e-4, 1e-2]}})["x"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [draw(study.ask(), "x", choices) for _ in range(400)]
    assert 0.4 < sum(value < 1e-3 for value in values) / 400 < 0.6  # a uniform draw: 0.09


def test_choices_hold_their_own_kind(tmp_path):
    choices = space_of(tmp_path, {"x": {"choice": [0.0, None, "hinge"]}})["x"]
    assert holds(choices, 0.0) and holds(choices, None) and not holds(choices, False) and not holds(choices, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected at least 1 entry"),
        ({"x": [1, 2]}, "x: expected the keys uniform, loguniform, int, logint, choice"),
        ({"x": {"normal": [0, 1]}}, "expected one of the keys uniform"),
        ({"x": {"uniform": [2, 1]}}, "the smaller first"),
        ({"x": {"uniform": [0, float("inf")]}}, "entry 2: expected a finite number"),
        ({"x": {"int": [0.5, 2]}}, "entry 1: expected a whole number, found 0.5"),
        ({"x": {"loguniform": [0, 1]}}, "a number above 0"),
        ({"x": {"choice": []}}, "expected a list of plain values"),
        ({"x": {"choice": [[1], [2]]}}, "expected a list of plain values"),
        ({"x": {"choice": [float("nan")]}}, "expected a list of plain values"),
        ({"x": {"choice": 3}}, "choice: expected a list, found 3"),
    ],
)
def test_a_space_that_cannot_be(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        space_of(tmp_path, values)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_spaces_name_known_keys_and_hold_the_defaults(path):
    """The first trial of a search is the defaults: then a search is never worse than none, on validation data."""
    config = DecCMConfig(path.stem, "sim")
    for name, choices in distributions_of(read_space(path)).items():
        assert name in config.known_keys and holds(choices, config[name]), name
