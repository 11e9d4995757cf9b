"""A benchmark's main figure as SVG, for pages that cannot hold report.html: against the factor of the simulation that
varies, where one does, and as bars otherwise.

    python benchmarks/results_plot.py DIR --out FILE.svg [--metrics recall@10,majorityshare@10]
"""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd
from matplotlib.figure import Figure

from recbole_decm.metrics.names import metric_title
from recbole_decm.report.figures import factor_slices
from recbole_decm.report.look import styles
from recbole_decm.report.options import specified_options
from recbole_decm.report.results import Results, load_results


def lines(results: Results, tests: list[str], metrics: list[str]) -> Figure:
    """Rows: metrics; columns: test sets; a line a model, with its standard deviation over the seeds as a band."""
    factor, _, cells = factor_slices(results.done)[0]
    figure = Figure(figsize=(4.6 * len(tests), 3.1 * len(metrics)), layout="constrained")
    axes = figure.subplots(len(metrics), len(tests), sharey="row", squeeze=False)
    for row, metric in enumerate(metrics):
        for column, test in enumerate(tests):
            axis = axes[row, column]
            for model, style in styles(results.models).items():
                groups = cells[cells["model"] == model].groupby(f"factor:{factor}")[f"{test}:{metric}"]
                mean, spread = groups.mean(), groups.std().fillna(0)
                axis.plot(mean.index, mean, "o-", color=style["colour"], label=model)
                axis.fill_between(mean.index, mean - spread, mean + spread, color=style["colour"], alpha=0.15)
            axis.set_xlabel(factor)
            axis.set_ylabel("" if column else metric_title(metric))
            axis.set_title(title(test) if row == 0 else "", fontsize="medium")
            axis.grid(alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small")
    return figure


def bars(results: Results, tests: list[str], metric: str) -> Figure:
    """Columns: data sets by test sets; a bar a model, best first, with its standard deviation over the seeds."""
    panels = [(dataset, test) for dataset in results.datasets for test in tests]
    figure = Figure(figsize=(4.2 * len(panels) + 1, 0.26 * len(results.models) + 1), layout="constrained")
    style = styles(results.models)
    for axis, (dataset, test) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        scores = results.done[results.done["dataset"] == dataset].groupby("model")[f"{test}:{metric}"]
        shown = pd.DataFrame({"mean": scores.mean(), "spread": scores.std().fillna(0)}).sort_values("mean")
        colours = [style[model]["colour"] for model in shown.index]
        axis.barh(list(shown.index), shown["mean"], xerr=shown["spread"], color=colours, error_kw={"linewidth": 1})
        axis.set_title(f"{dataset}, {title(test)}" if len(tests) > 1 else dataset, fontsize="medium")
        axis.set_xlabel(metric_title(metric))
        axis.grid(axis="x", alpha=0.3)
    return figure


def title(test: str) -> str:
    return "observed choices" if test == "test" else f"{test.removeprefix('test_')} choices"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write, such as sim.svg.")
@click.option("--metrics", help="Metrics of the lines, comma-separated; the specification's main metric by default.")
def main(folder: Path, out: Path, metrics: str | None) -> None:
    """Draw the main figure of the benchmark in FOLDER."""
    results = load_results(folder)
    options = specified_options(results)
    tests = [options.test, *(test for test in results.tests if test != options.test)]
    wanted = metrics.split(",") if metrics else [options.metric]
    figure = lines(results, tests, wanted) if factor_slices(results.done) else bars(results, tests, wanted[0])
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
