"""``recbole-decm benchmark-report``: the tables and the page of a benchmark again, from its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click


@click.command("benchmark-report", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--metric", help="Main metric with its cut-off; the specification's by default.")
@click.option("--test", help="Main test set, such as test_do; the specification's by default.")
@click.option(
    "--baseline", help="Model that the others are compared with; the specification's by default, or the best mean."
)
@click.option("--title", help="Heading of the tables and the page; the specification's by default.")
def benchmark_report_command(
    folder: Path, metric: str | None, test: str | None, baseline: str | None, title: str | None
) -> None:
    """Write significance.csv, table.md, table.tex and report.html of a benchmark's output folder DIR anew.

    Nothing is trained. Cells that are missing or failed are reported as such.
    """
    from recbole_decm.report.options import require, specified_options
    from recbole_decm.report.report import write_report
    from recbole_decm.report.results import load_results

    results = load_results(folder)
    if baseline is not None:
        require("baseline", baseline, results.models)
    given = {"metric": metric, "test": test, "baseline": baseline, "title": title}
    options = replace(specified_options(results), **{key: value for key, value in given.items() if value is not None})
    write_report(folder, options)
    for name in ("significance.csv", "table.md", "table.tex", "report.html"):
        click.echo(f"Wrote {folder / name}")
