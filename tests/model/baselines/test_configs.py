"""The YAMLs of the baselines: known, explained, and the same matcher under each way of debiasing."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers.running import make_config

from recbole_decm.config import registry
from recbole_decm.config.values import read_yaml
from recbole_decm.io.shipped import shipped
from recbole_decm.model.settings import MatcherSettings

PROJECT = Path(__file__).resolve().parents[3]
TRAINING = {"train_neg_sample_args", "eval_batch_size", "epochs", "stopping_step", "learning_rate", "weight_decay"}
TRAINING |= {"learning_rate_decay"}


@pytest.mark.parametrize("name", registry.BASELINES)
def test_every_key_is_read_and_explained(name):
    path = shipped("properties") / "model" / f"{name}.yaml"
    model_keys = {field.name for field in fields(registry.model_class(name).settings_class)}
    assert set(read_yaml(path)) - TRAINING == model_keys
    for line in path.read_text().splitlines():
        assert (
            not line
            or line.startswith("#")
            or re.search(r"\S+:.*# \((str|int|float|bool|dict|str or list)\) \w.*\.$", line)
        )
    assert f"`{name}`" in (PROJECT / "docs" / "baselines.md").read_text()


@pytest.mark.parametrize("name", ["IPW", "PDA", "DecRS"])
def test_debiasing_alone_tells_the_matchers_apart(name, planted):
    """What the matcher and its training are is DecCMPlus's, so that a comparison is one of debiasing."""
    ours, plus = make_config(name, planted, epochs=60), make_config("DecCMPlus", planted, epochs=60)
    shared = {field.name for field in fields(MatcherSettings)} | TRAINING
    assert {key: ours[key] for key in shared} == {key: plus[key] for key in shared}


def test_the_benchmark_prints_how_far_apart_the_fits_are():
    spec = importlib.util.spec_from_file_location("fitted_baselines", PROJECT / "benchmarks" / "fitted_baselines.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    table = benchmark.compare(400, 20, 10, 2)
    assert all(row[-1] < 0.01 for row in table[1:])
    arguments = ["--rows", "200", "--visual", "12", "--acoustic", "6", "--directions", "1"]
    printed = CliRunner().invoke(benchmark.main, arguments).output
    assert "CCA: all 6 directions; scikit-learn's 1" in printed
