"""``recbole-decm export``: a checkpoint and its catalogue as an artefact that ranks without them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("export", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@click.option("--dataset", help="Take this data set's tracks; by default those of the training data.")
@click.option("--overwrite", is_flag=True, help="Replace a folder that exists.")
@click.option("--neighbours", is_flag=True, help="Add the training videos, to show in explanations: personal data.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def export_command(
    checkpoint: Path, out: Path, dataset: str | None, overwrite: bool, neighbours: bool, arguments: tuple[str, ...]
) -> None:
    """Write CHECKPOINT and its catalogue as an artefact: a folder that ranks without data set, RecBole and torch.

    It holds both sides of the model as ONNX, its weights, and the tracks with features, vectors and metadata;
    manifest.json says what it is, with digests that find damage, not forgery. ARGUMENTS are --key=value, above the
    values the checkpoint was trained with.
    """
    from tqdm import tqdm

    from recbole_decm.serving.export import export

    given = [part for part in arguments if part] + ([f"--dataset={dataset}"] if dataset else [])
    with tqdm(unit="track", desc="Export", file=sys.stderr, disable=None) as bar:
        name = export(checkpoint, out, given, overwrite, bar.update, neighbours)
    click.echo(f"Wrote the artefact {name} to {out}; serve it with: recbole-decm serve {out}", err=True)
