"""``recbole-decm diagnose``: is there an uploader's habit in the data, how strong, can it be adjusted for?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("diagnose", context_settings=TAKES_KEYS)
@click.option("--dataset", required=True, help="Name of the data set.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The page to write, such as report.html.")
@click.option("--result_file", type=click.Path(path_type=Path, dir_okay=False), help="Write what was found as JSON.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def diagnose_command(dataset: str, out: Path | None, result_file: Path | None, arguments: tuple[str, ...]) -> None:
    """Ask the training rows of a data set, before anything is trained: does the uploader's habit decide which genre is
    chosen, beyond what the video shows?

    ARGUMENTS are --key=value, such as --data_path=DIR; --uploader_prior=train counts the preferences from the
    uploaders' other choices where the files have them. docs/diagnosis.md explains each number.
    """
    from tqdm import tqdm

    from recbole_decm.diagnosis.report import format_diagnosis, plot_diagnosis
    from recbole_decm.diagnosis.run import diagnose
    from recbole_decm.io.write import write_text

    given = [argument for argument in arguments if argument]
    with tqdm(total=5, file=sys.stderr, disable=None) as bar:
        found = diagnose(dataset, given, lambda step: bar.set_description(step) or bar.update())
    click.echo(format_diagnosis(found))
    if result_file is not None:
        write_text(result_file, json.dumps({"format_version": 1} | found, indent=2) + "\n")
    if out is not None:
        write_text(out, plot_diagnosis(found))
        click.echo(f"\nWrote {out}")
