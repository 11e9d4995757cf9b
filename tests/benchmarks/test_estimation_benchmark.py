"""benchmarks/estimation.py: worlds of three kinds, and tables of rows whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.benchmark_scripts import load

estimation = load("estimation")
BASE = {"world": "log", "videos": 100, "confounding": 1.5, "strength": 1.2, "covered": True, "observed_covered": False}
BASE |= {"share_true": 0.3, "share_observed": 0.5, "share_estimated": 0.31}


def row(model, seed, true, observed, estimated):
    return BASE | {"model": model, "seed": seed, "true": true, "observed": observed, "estimated": estimated}


def test_worlds_differ_in_the_observed_choices_alone():
    worlds = {kind: estimation.simulate(kind, 400, 1.5, 1) for kind in ("log", "linear", "taste")}
    for kind in ("linear", "taste"):
        np.testing.assert_array_equal(worlds[kind].intervened, worlds["log"].intervened)
        np.testing.assert_array_equal(worlds[kind].uploads.latent, worlds["log"].uploads.latent)
        assert (worlds[kind].observed != worlds["log"].observed).mean() > 0.2
    calm = estimation.simulate("linear", 4_000, 0.0, 1)
    genre = calm.catalogue.genre
    shares = [np.bincount(genre[part], minlength=6) / 4_000 for part in (calm.observed, calm.intervened)]
    np.testing.assert_allclose(*shares, atol=0.04)


def test_the_table_of_estimates_tells_errors_order_and_coverage():
    rows = [row("a", 1, 0.5, 0.4, 0.49), row("b", 1, 0.4, 0.5, 0.42), row("oracle", 1, 0.8, 0.7, 0.77)]
    rows += [row("a", 2, 0.5, 0.6, 0.5), row("b", 2, 0.4, 0.5, 0.4), row("oracle", 2, 0.8, 0.7, 0.79)]
    cells = [cell.strip() for cell in estimation.estimates_table(rows).splitlines()[-1].strip("|").split("|")]
    assert cells[3:] == ["2", "0.100", "0.00", "0.00", "0.007", "1.00", "1.00", "-0.020", "0.200", "0.010", "1.20"]


def test_the_table_of_diagnoses_counts_rejections():
    known = {"world": "log", "videos": 100, "confounding": 0.5, "preference": "read", "detectable": 0.2}
    rows = [known | {"p": p, "value": value} for p, value in ((0.01, 0.4), (0.2, 0.6))]
    last = estimation.diagnosis_table(rows).splitlines()[-1]
    assert "1 of 2" in last and "0.50 ± 0.10" in last and "given" in last


def test_order_and_error():
    rows = [row("a", 1, 0.5, 0.4, 0.49), row("b", 1, 0.4, 0.5, 0.42)]
    assert (estimation.order(rows, "observed"), estimation.order(rows, "estimated")) == (-1, 1)
    assert estimation.error(rows, "estimated") == pytest.approx(0.015)
