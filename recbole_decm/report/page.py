"""``report.html``: one page that needs no network, from a template, figures and words."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd
import yaml

from recbole_decm.estimation.lists import estimated
from recbole_decm.metrics.names import metric_title, smaller_is_better
from recbole_decm.report import figures, list_figures
from recbole_decm.report.estimates import estimates_of
from recbole_decm.report.html import figures_json, render, script_safe
from recbole_decm.report.look import Figure, shown
from recbole_decm.report.options import ReportOptions
from recbole_decm.report.results import Results, disagreeing_cells, missing_cells, run_of, run_title
from recbole_decm.report.tables import Column, Table, folds_of, parts_of, place_title, seeds_of, unit_of
from recbole_decm.report.wording import VERDICTS, findings, p_text

PAGE_COLUMNS = 6


def render_page(
    results: Results,
    options: ReportOptions,
    tests: Sequence[str],
    table: Table,
    compared: pd.DataFrame,
    references: Mapping[tuple[str, str], str],
) -> str:
    """The whole page as text.

    Args:
        tests: test sets, the main one first.
        compared: all comparisons, with their verdicts; ``references``: (data set, test set) -> whom to compare with.
    """
    sections = _figure_sections(results, options, tests)
    of_reference = compared[compared["scheme"] == ("baseline" if options.baseline else "pairs")]
    pairs = compared[(compared["scheme"] == "pairs") & (compared["metric"] == options.metric)]
    curves = _curves(results)
    drawn = {f"{name}-{i}": figure.figure for name, part in sections.items() for i, figure in enumerate(part)}
    return render(
        "report.html.j2",
        title=options.title,
        metric=metric_title(options.metric),
        baseline=options.baseline,
        run=_what_was_run(results),
        disagreeing=disagreeing_cells(results, tests, list(dict.fromkeys(column.metric for column in table.columns))),
        table=table,
        pieces=[(columns, _places(columns)) for columns in parts_of(table, width=PAGE_COLUMNS)],
        sections=sections,
        estimates=estimates_of(results, options.metric),
        estimated=estimated,
        findings=_findings(findings(of_reference, options.metric, references), tests),
        verdicts=VERDICTS,
        pairs=pairs.to_dict("records"),
        failed=[
            {"key": key, **row, "seed": run_title(run_of(row))} for key, row in results.failed.to_dict("index").items()
        ],
        missing=[(model, dataset, run_title(run)) for model, dataset, run in missing_cells(results)],
        unfinished=results.unfinished,
        curves=bool(curves),
        figures_data=figures_json(drawn),
        curves_data=script_safe(json.dumps(curves)),
        number=_number,
        p_text=p_text,
        unit=unit_of(compared),
        metric_title=metric_title,
        smaller_is_better=smaller_is_better,
        place_title=place_title,
    )


def _places(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """The test sets that a table's head names, and over how many columns each stands."""
    return [(place, len(list(group))) for place, group in groupby(columns, key=lambda column: column.place)]


def _figure_sections(results: Results, options: ReportOptions, tests: Sequence[str]) -> dict[str, list[Figure]]:
    cut_off = options.metric.partition("@")[2]
    share = f"majorityshare@{cut_off}"
    return {
        "bars": [figure for test in tests for figure in figures.bars(results, test, options.metric)],
        "strengths": figures.strengths(results, tests, list(dict.fromkeys([options.metric, share]))),
        "genres": list_figures.genre_figures(results),
        "popularity": [
            figure
            for test in tests
            for figure in list_figures.accuracy_against_popularity(results, test, options.metric)
        ],
        "costs": figures.costs(results),
    }


def _findings(told: Mapping[tuple[str, str], list[tuple[str, str]]], tests: Sequence[str]) -> dict[str, Any]:
    """The sentences by test set, those of the main one unfolded, after a count of the verdicts."""
    counts = Counter(name for sentences in told.values() for name, _ in sentences)
    places = {
        place_title(*place): {"open": place[1] == tests[0], "sentences": sentences} for place, sentences in told.items()
    }
    ordered = {name: counts[name] for name in VERDICTS if counts[name]}
    return {"total": counts.total(), "counts": ordered, "places": places}


def _what_was_run(results: Results) -> dict[str, Any]:
    """Specification, versions, hashes and overlays, with every value that occurs among the cells."""
    cells, done = results.cells, results.done
    versions: dict[str, list[str]] = {}
    for found in cells.get("versions", []):
        for name, version in (found if isinstance(found, dict) else {}).items():
            versions[name] = sorted({*versions.get(name, []), str(version)})
    overlays = []
    for (model, dataset), group in done.groupby(["model", "dataset"]) if "overlay" in done else []:
        texts = sorted({_yaml(value) for value in group["overlay"] if isinstance(value, dict) and value})
        overlays += [(model, dataset, text) for text in texts]
    datasets = []
    for dataset in results.datasets:
        group = cells[cells["dataset"] == dataset]
        factors = {
            name.removeprefix("factor:"): _values(group[name]) for name in group if str(name).startswith("factor:")
        }
        hashes = _values(group["data_hash"]) if "data_hash" in group else []
        datasets.append((dataset, hashes, {name: values for name, values in factors.items() if values}))
    classes = cells.dropna(subset=["class"]).groupby("model")["class"].first()
    return {
        "specification": results.specification,
        "counts": {"finished": len(done), "failed": len(results.failed), "superseded": len(results.superseded)},
        "models": [(model, classes.get(model, "unknown")) for model in results.models],
        "datasets": datasets,
        "seeds": seeds_of(results),
        "folds": folds_of(results),
        "versions": versions,
        "code": _values(cells["code_hash"]) if "code_hash" in cells else [],
        "hours": float(done["seconds"].sum()) / 3600,
        "overlays": overlays,
    }


def _values(column: pd.Series) -> list[str]:
    """Distinct values in order, as text, whole numbers without a fraction."""
    plain = column.dropna().map(lambda value: value if isinstance(value, (str, int, float)) else str(value))
    values = sorted(plain.unique().tolist(), key=lambda value: (isinstance(value, str), value))
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(json.loads(json.dumps(value, default=str)), sort_keys=True, allow_unicode=True)


def _curves(results: Results) -> list[dict[str, Any]]:
    """What the page's own script draws: losses by epoch and validation by its epoch, of each finished cell."""
    found = []
    for key, row in results.done.iterrows():
        curves = results.curves(str(key))
        if not curves["losses"] and not curves["valid"]:
            continue
        epochs = max([len(values) for values in curves["losses"].values()] or [0])
        validations = max([len(values) for values in curves["valid"].values()] or [0])
        found.append(
            {
                "model": row["model"],
                "dataset": row["dataset"],
                "seed": run_title(run_of(row)) if results.folded else int(row["seed"]),
                "step": max(1, epochs // validations) if validations else 1,  # validations come every so many epochs
                "losses": {shown(name): _rounded(values) for name, values in curves["losses"].items()},
                "valid": {shown(metric_title(name)): _rounded(values) for name, values in curves["valid"].items()},
            }
        )
    models, datasets = results.models, results.datasets
    return sorted(found, key=lambda cell: (models.index(cell["model"]), datasets.index(cell["dataset"]), cell["seed"]))


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """Five digits, and null for what JSON has no number for: a loss that diverged leaves a gap."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.5g}") for value in values]


def _number(value: float | None, decimals: int = 4) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{decimals}f}"
