"""``recbole-decm tune``: search the hyper-parameters of one model on validation data."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("tune", context_settings=TAKES_KEYS)
@click.option("--model", default="DecCMPlus", show_default=True, help="A model, ours or RecBole's.")
@click.option("--dataset", default="sim", show_default=True, help="Data set name.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Trials in all.")
@click.option(
    "--space", type=click.Path(path_type=Path), help="YAML of the search space.  [default: search/MODEL.yaml]"
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: saved/tune/MODEL-DATASET]"
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trials at a time.")
@click.option("--seed", default=2020, show_default=True, help="Seed of the search and of every training.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tune_command(
    model: str,
    dataset: str,
    trials: int,
    space: Path | None,
    out: Path | None,
    jobs: int,
    seed: int,
    arguments: tuple[str, ...],
) -> None:
    """Search the hyper-parameters of one model on validation data; test data are not looked at.

    Writes best.yaml, for --config_files, and search.html. Stopped at any moment, the same command goes on; several
    processes may share --out, one trial each. A trial that fails is noted and counts. ARGUMENTS are --key=value, the
    same for every trial.
    """
    from tqdm import tqdm

    from recbole_decm.config.values import (
        find_config_file,
        merge,
        parse_arguments,
        read_config_files,
        take_config_files,
    )
    from recbole_decm.experiments.spec import read_space
    from recbole_decm.experiments.tune import tune

    given = parse_arguments(arguments)
    values = merge(read_config_files(take_config_files(given)), given)
    file = find_config_file(space or f"search/{model}.yaml")
    parameters = read_space(file)
    place = out or Path("saved") / "tune" / f"{model}-{dataset}"
    with tqdm(total=trials, unit="trial", file=sys.stderr, disable=None) as bar:

        def on_trial(finished: int, error: str | None) -> None:
            bar.update(min(finished, trials) - bar.n)
            if error is not None:
                tqdm.write(f"trial failed: {error}", file=sys.stderr)

        try:
            found = tune(model, dataset, values, parameters, trials, place, jobs, seed, on_trial)
        except KeyboardInterrupt as stop:
            stop.args = (f"the same command goes on from the finished trials in {place}",)
            raise
    failed = sum(trial["state"] == "fail" for trial in found.trials)
    click.echo(
        f"{model} on {dataset}: {len(found.trials)} trials ({failed} failed), best is trial {found.number} "
        f"with valid {found.metric} {found.score:.4f}"
    )
    for name, value in found.values.items():
        click.echo(f"  {name}: {value}")
    click.echo(
        f"{place / 'search.html'}; use it: recbole-decm run --model={model} --dataset={dataset} "
        f"--config_files={place / 'best.yaml'}"
    )
