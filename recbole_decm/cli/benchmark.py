"""``recbole-decm benchmark``: models x data sets x seeds, from a specification to tables and a report."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.cli.options import tell_failures


def _folders(_ctx: object, _param: object, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if any(not name or not folder for name, _, folder in pairs):
        raise click.BadParameter(f"expected NAME=DIR, found {', '.join(values)}")
    return {name: folder for name, _, folder in pairs}


@click.command("benchmark")
@click.argument("specification", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the results.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes at a time.")
@click.option("--scheduler", help="tcp://HOST:PORT of a Dask cluster whose workers run the cells, instead of --jobs.")
@click.option(
    "--data", "folders", multiple=True, callback=_folders, help="NAME=DIR: the folder that ${NAME} stands for."
)
@click.option("--update", is_flag=True, help="Go on in a folder of another specification; what did not change is kept.")
def benchmark_command(
    specification: Path, out: Path, jobs: int, scheduler: str | None, folders: dict[str, str], update: bool
) -> int:
    """Run every model of SPECIFICATION on every data set with every seed, and write tables and a report.

    SPECIFICATION is a YAML file, or the name of a shipped one: benchmark/quick.yaml. Cells run in processes of
    their own. Stopped at any moment, the same command goes on: finished cells are not run again unless their config,
    data or code changed, failed ones are. The exit code is 1 where a cell failed.
    """
    from recbole_decm.experiments.cluster import ClusterWorkers
    from recbole_decm.experiments.progress import Progress
    from recbole_decm.experiments.runner import run_benchmark
    from recbole_decm.experiments.spec import read_specification
    from recbole_decm.report.options import ReportOptions
    from recbole_decm.report.report import write_report

    wanted = read_specification(specification, folders)
    options = ReportOptions(
        metric=wanted.main_metric, test=wanted.main_test, baseline=wanted.baseline, title=wanted.title
    )
    try:
        engine = ClusterWorkers(scheduler) if scheduler else None
        outcome = run_benchmark(wanted, out, jobs, update, Progress(show=True), engine)
    except KeyboardInterrupt as stop:
        if (out / "results.csv").is_file():
            write_report(out, options)
        stop.args = (f"the same command goes on from what is in {out}",)
        raise
    write_report(out, options)
    code = tell_failures(outcome.failed)
    click.echo(
        f"{outcome.done} of {outcome.total} cells done ({outcome.before} before), {len(outcome.failed)} failed: "
        f"{out / 'results.csv'}, {out / 'report.html'}"
    )
    return code
