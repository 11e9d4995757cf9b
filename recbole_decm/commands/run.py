"""``recbole-decm run``: what ``run_recbole.py`` does, from any folder."""

from __future__ import annotations

import click

from recbole_decm.cli import USAGE, run_main
from recbole_decm.commands.options import TAKES_KEYS


@click.command(
    "run",
    context_settings=TAKES_KEYS | {"help_option_names": []},
    help=USAGE,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_command(arguments: tuple[str, ...]) -> int:
    """Train and test one model."""
    return run_main(arguments)
