"""``recbole-decm import-released``: convert data in the released DecCM layout."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.cli.options import plain_name

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("import-released")
@click.option("--ugc", type=_FOLDER, required=True, help="Folder of the user-generated data (data_matching).")
@click.option("--pgc", type=_FOLDER, help="Folder of the professional data (data_pgc), for the teacher.")
@click.option("--name", required=True, callback=plain_name, help="Writes OUT/NAME and OUT/NAME-pgc.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the data sets.")
@click.option("--groups", type=click.Path(path_type=Path), help="CSV of the videos, for splits by groups.")
@click.option("--column", default="artist", show_default=True, help="Its column that .inter gets, beside 'video'.")
@click.option("--overwrite", is_flag=True, help="Replace data sets that exist.")
def import_released_command(
    ugc: Path, pgc: Path | None, name: str, out: Path, groups: Path | None, column: str, overwrite: bool
) -> None:
    """Convert data in the layout of the released DecCM code to atomic files, features and candidate lists."""
    from recbole_decm.released.importer import import_released

    told = None if groups is None else (groups, column)
    click.echo(import_released(ugc, pgc, name, out, groups=told, overwrite=overwrite))
