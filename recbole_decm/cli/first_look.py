"""``recbole-decm first-look``: what the adjustment does, in a table of four lines and a picture."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("first-look", context_settings=TAKES_KEYS)
@click.option("--dataset", default="sim", show_default=True, help="Data whose truth is known.")
@click.option("--out", default="first-look.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def first_look_command(dataset: str, out: Path, arguments: tuple[str, ...]) -> None:
    """Train DecCMPlus, CMVAE (no adjustment) and Pop, and set their lists beside the true choices.

    ARGUMENTS are --key=value, for every model.
    """
    from recbole_decm.config.values import parse_arguments
    from recbole_decm.experiments.first_look import first_look
    from recbole_decm.io.write import write_text

    values = parse_arguments([part for part in arguments if part])
    found = first_look(dataset, values=values, on_model=lambda model: click.echo(f"Training {model} ...", err=True))
    write_text(out, found.page())
    click.echo(f"\n{found.table()}\n\n{found.sentence()}\n\nPicture: {out.resolve()}")
