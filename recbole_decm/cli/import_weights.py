"""``recbole-decm import-weights``: a checkpoint of the released code as one of ours."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import-weights", context_settings=TAKES_KEYS)
@click.argument("weights", type=_FILE)
@click.option("--dataset", required=True, help="Data set that the weights belong to.")
@click.option("--out", type=_FILE, required=True, help="The checkpoint to write.")
@click.option("--teacher", is_flag=True, help="Write the teacher inside a student's weights.")
@click.option("--overwrite", is_flag=True, help="Replace a checkpoint that exists.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def import_weights_command(
    weights: Path, dataset: str, out: Path, teacher: bool, overwrite: bool, arguments: tuple[str, ...]
) -> None:
    """Turn WEIGHTS, a state dict of the released DecCM code (student, or teacher alone), into a checkpoint of ours.

    Every name and shape is checked against the data set. ARGUMENTS are --key=value, such as --data_path=DIR.
    """
    from recbole_decm.released.weights import import_weights

    click.echo(import_weights(weights, dataset, out, teacher=teacher, overwrite=overwrite, arguments=arguments))
