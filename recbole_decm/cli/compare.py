"""``recbole-decm compare``: several models on one data set, in one table."""

from __future__ import annotations

import sys
import time

import click

from recbole_decm.cli.options import TAKES_KEYS, names, seeds_option, tell_failures


@click.command("compare", context_settings=TAKES_KEYS)
@click.option(
    "--models", default="DecCM,CMVAE,Pop", show_default=True, callback=names, help="Model names, comma-separated."
)
@click.option("--dataset", default="sim", show_default=True, help="Data set name.")
@seeds_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def compare_command(models: list[str], dataset: str, seeds: list[int], arguments: tuple[str, ...]) -> int:
    """Train several models on one data set and print their test metrics in one table.

    ARGUMENTS are --key=value, given to every model that knows the key. Metrics are means over the seeds, with the
    standard deviation where there is more than one. A model that fails is named with its error, and the others go on;
    the exit code is then 1.
    """
    import pandas as pd
    from tqdm import tqdm

    from recbole_decm.experiments.compare import compare, format_table

    jobs = [(model, seed) for model in models for seed in seeds]
    rows = []
    start = time.perf_counter()
    with tqdm(total=len(jobs), unit="run", file=sys.stderr, disable=None) as bar:
        for row in compare(
            jobs, dataset, list(arguments), on_start=lambda model, seed: bar.set_description(f"{model}, seed {seed}")
        ):
            rows.append(row)
            bar.update()
    click.echo(format_table(pd.DataFrame(rows), models, dataset))
    failed = {f"{row['model']}, seed {row['seed']}": row["error"] for row in rows if row["error"] is not None}
    code = tell_failures(failed)
    lost = f", {len(failed)} failed" if failed else ""
    click.echo(f"{len(jobs)} runs in {time.perf_counter() - start:.0f} s{lost}")
    return code
