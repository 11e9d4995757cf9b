"""From a benchmark's folder to ``significance.csv``, ``table.md``, ``table.tex`` and ``report.html``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recbole_decm.io.csv_text import csv_text
from recbole_decm.io.write import write_text
from recbole_decm.metrics.names import smaller_is_better
from recbole_decm.report.comparisons import compare_all
from recbole_decm.report.markup import to_latex, to_markdown
from recbole_decm.report.options import ReportOptions, require
from recbole_decm.report.page import render_page
from recbole_decm.report.results import Results, load_results
from recbole_decm.report.tables import build_table, shown_metrics
from recbole_decm.report.wording import verdict


def write_report(folder: Path, options: ReportOptions) -> None:
    """Analyse what is in ``folder`` and write the four files there, each whole or not at all.

    Missing and failed cells are reported, not required; a baseline without a finished cell leaves nothing to compare.

    Raises:
        DataError: the folder holds no cell, or is of a newer format.
        ConfigError: finished cells have neither the metric nor the test set; the message names what they have.
    """
    results, options = load_results(folder), replace(options, metric=options.metric.lower())
    tests = _tests(results, options)
    metrics = shown_metrics(results, options.metric)
    compared = compare_all(results, tests, metrics, options.baseline)
    compared["verdict"] = [verdict(row) for row in compared.to_dict("records")]
    table = build_table(results, tests, metrics, compared, options.baseline)
    page = render_page(results, options, tests, table, compared, references(results, tests, options))
    texts = {
        "significance.csv": csv_text(compared),
        "table.md": to_markdown(table, options.title),
        "table.tex": to_latex(table, options.title),
        "report.html": page,
    }
    for name, text in texts.items():
        write_text(folder / name, text)


def references(results: Results, tests: list[str], options: ReportOptions) -> dict[tuple[str, str], str]:
    """(data set, test set) -> the model that others are compared with there: the baseline, or the best mean."""
    found = {}
    for test in tests:
        column = f"{test}:{options.metric}"
        done = results.done.dropna(subset=[column]) if column in results.done else results.done.iloc[:0]
        for dataset, cells in done.groupby("dataset"):
            means = cells.groupby("model")[column].mean()
            best = means.idxmin() if smaller_is_better(options.metric) else means.idxmax()
            found[str(dataset), test] = options.baseline or str(best)
    return found


def _tests(results: Results, options: ReportOptions) -> list[str]:
    """The test sets to report, the main one first; an empty list where no cell has finished."""
    tests = results.tests
    if not tests:
        return []
    require("test", options.test, tests, f" in {results.folder}")
    require("metric", options.metric, results.metrics(options.test), f" in {results.folder}")
    return [options.test, *(name for name in tests if name != options.test)]
