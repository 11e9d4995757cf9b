"""``recbole-decm import-released``: convert data in the released DecCM layout."""

from __future__ import annotations

from pathlib import Path

import click

from recbole_decm.errors import ConfigError

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("import-released")
@click.option("--ugc", type=_FOLDER, required=True, help="Folder of the user-generated data (data_matching).")
@click.option("--pgc", type=_FOLDER, help="Folder of the professional data (data_pgc), for the teacher.")
@click.option("--name", required=True, help="Writes OUT/NAME and OUT/NAME-pgc.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of the data sets.")
@click.option("--overwrite", is_flag=True, help="Replace data sets that exist.")
def import_released_command(ugc: Path, pgc: Path | None, name: str, out: Path, overwrite: bool) -> None:
    """Convert data in the layout of the released DecCM code to atomic files, features and candidate lists."""
    from recbole_decm.released.importer import import_released

    if not name or Path(name).name != name or name.startswith("."):
        raise ConfigError(f"--name: expected a plain name for a folder, found '{name}'.")
    click.echo(import_released(ugc, pgc, name, out, overwrite=overwrite))
