"""``recbole-decm audit``: does the adjustment do anything, and does the student follow its teacher?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("audit", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for audit.json and audit.html.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Length of the lists.")
@click.option("--videos", default=2000, show_default=True, type=click.IntRange(min=1), help="Test videos to look at.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def audit_command(checkpoint: Path, out: Path | None, k: int, videos: int, arguments: tuple[str, ...]) -> None:
    """Audit CHECKPOINT of the DecCM family: rank changes between priors, genre shares, teacher.

    ARGUMENTS are --dataset=NAME and --key=value, above the values the checkpoint was trained with. The test split is
    looked at; do not choose a setting by what you see there.
    """
    from tqdm import tqdm

    from recbole_decm.audit.report import format_audit, plot_audit
    from recbole_decm.audit.run import audit
    from recbole_decm.io.write import write_text

    with tqdm(total=4, file=sys.stderr, disable=None) as bar:
        found = audit(
            checkpoint, _with_equals(arguments), k, videos, lambda step: bar.set_description(step) or bar.update()
        )
    click.echo(format_audit(found))
    if out is not None:
        write_text(out / "audit.json", json.dumps(found, indent=2) + "\n")
        write_text(out / "audit.html", plot_audit(found))
        click.echo(f"\nWrote {out / 'audit.json'} and {out / 'audit.html'}")


def _with_equals(arguments: tuple[str, ...]) -> list[str]:
    """``--dataset NAME`` as ``--dataset=NAME``, as click's own options allow both."""
    joined: list[str] = []
    for argument in arguments:
        if joined and "=" not in joined[-1] and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
