"""``recbole-decm benchmark-report``: the tables and the page of a benchmark again, from its folder."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("benchmark-report", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--metric", default="ndcg@10", show_default=True, help="Main metric with its cut-off.")
@click.option("--test", default="test", show_default=True, help="Main test set, such as test_do.")
@click.option("--baseline", help="Model that the others are compared with; the best mean by default.")
@click.option("--title", default="Benchmark", show_default=True, help="Heading of the tables and the page.")
def benchmark_report_command(folder: Path, metric: str, test: str, baseline: str | None, title: str) -> None:
    """Write significance.csv, table.md, table.tex and report.html of a benchmark's output folder DIR anew.

    Nothing is trained. Cells that are missing or failed are reported as such.
    """
    from recbole_decm.benchmark.report import ReportOptions, check_baseline, write_report
    from recbole_decm.benchmark.results import load_results

    check_baseline(load_results(folder), baseline)
    write_report(folder, ReportOptions(metric, test, baseline, title))
    for name in ("significance.csv", "table.md", "table.tex", "report.html"):
        click.echo(f"Wrote {folder / name}")
