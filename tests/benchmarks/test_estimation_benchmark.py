"""benchmarks/estimation.py: worlds of three kinds, and tables of rows whose errors are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
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
    assert cells[3:] == [
        "2",
        "0.100",
        "0.00",
        "0.00, 0.00",
        "0.007",
        "1.00",
        "1.00, 1.00",
        "-0.020",
        "0.200",
        "0.010",
        "1.20",
    ]


def test_the_table_of_diagnoses_counts_rejections():
    known = {"world": "log", "videos": 100, "confounding": 0.5, "style": 0.0, "preference": "read", "detectable": 0.2}
    rows = [known | {"p": p, "value": value} for p, value in ((0.01, 0.3), (0.2, 0.4))]
    cells = [cell.strip() for cell in estimation.diagnosis_table(rows).splitlines()[-1].strip("|").split("|")]
    assert cells[4:] == ["given", "1 of 2", "0.35 ± 0.05", "1 of 2", "0.20"]


def test_a_world_is_read_and_a_model_trained_once(tmp_path, monkeypatch):
    fitted = []
    train = estimation.fit
    monkeypatch.setattr(estimation, "fit", lambda config, **how: fitted.append(config["model"]) or train(config, **how))
    cell = estimation.Cell(
        "estimates", "log", 1_000, 0.75, 0.0, 1, ("Ridge", "DecCMPlus", "DecCMPlus+uploader"), tmp_path
    )
    monkeypatch.setattr(estimation, "LEARNED", estimation.LEARNED | {"epochs": 1})
    rows = estimation.run_cell(cell)
    assert [row["model"] for row in rows] == ["oracle", *cell.models] and fitted == ["Ridge", "DecCMPlus"]
    assert all(row["low"] <= row["estimated"] <= row["high"] for row in rows)
    assert rows[0]["true"] > max(row["true"] for row in rows[1:])
    assert rows[2]["true"] != rows[3]["true"]
    (tmp_path / "estimates" / f"{cell.name}.json").unlink()
    assert estimation.run_cell(cell) == rows and fitted == ["Ridge", "DecCMPlus"]


def test_a_table_of_what_is_finished_measures_nothing(tmp_path):
    for seed in (1, 3):
        cell = estimation.Cell("estimates", "log", 100, 1.5, 0.0, seed, ("a", "b"), tmp_path)
        cell.note.parent.mkdir(exist_ok=True)
        cell.note.write_text(
            json.dumps([row(m, seed, true, 0.4, 0.5) for m, true in (("a", 0.5), ("b", 0.6), ("oracle", 0.8))])
        )
    arguments = ["--worlds=log", "--videos=100", "--confounding=1.5", "--finished", f"--work={tmp_path}"]
    shown = CliRunner().invoke(estimation.main, [*arguments, f"--out={tmp_path / 'a.md'}"])
    assert shown.exit_code == 0 and "| 2 " in shown.output
    assert (tmp_path / "a.md").read_text().startswith("<!-- estimates: begin -->")


def test_order_and_error():
    rows = [row("a", 1, 0.5, 0.4, 0.49), row("b", 1, 0.4, 0.5, 0.42)]
    assert (estimation.order(rows, "observed"), estimation.order(rows, "estimated")) == (-1, 1)
    assert estimation.order([*rows, row("c", 1, 0.51, 0.3, 0.48)], "estimated") == pytest.approx(1 / 3)
    assert estimation.order([*rows, row("c", 1, 0.51, 0.3, 0.48)], "estimated", 0.02) == 1
    assert estimation.error(rows, "estimated") == pytest.approx(0.015)
