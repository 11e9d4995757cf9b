"""``recbole-decm simulate``: write a simulated data set with ground truth."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from recbole_decm.cli.options import plain_name
from recbole_decm.errors import ConfigError
from recbole_decm.simulation.causal import Simulation, SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.simulation.references import format_references
from recbole_decm.simulation.table import FROM_TABLE
from recbole_decm.simulation.uploads import config_of, simulate_uploads

_MEDIA_DEFAULTS = {"videos": 2_000, "music": 150, "latent_dim": 8}
# Options whose default follows another one.
_DEPENDENT = {"uploaders": "videos / 5", "pgc_videos": "videos / 4", "pgc_music": "as --music"}


def _numbers(_ctx: object, param: object, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected numbers separated by commas, found '{value}'") from error


def _parameters(command: Any) -> Any:
    described = SimulationConfig.__pydantic_fields__  # type: ignore[attr-defined]
    for field in reversed(fields(SimulationConfig)):
        help_text, dependent = described[field.name].description, _DEPENDENT.get(field.name)
        if isinstance(field.default, tuple):
            shown = ",".join(f"{number:g}" for number in field.default)
            settings: dict[str, Any] = {"callback": _numbers, "default": shown, "show_default": True}
        elif dependent:
            settings = {"type": type(field.default)}
            help_text = f"{help_text}  [default: {dependent}]"
        else:
            settings = {"type": type(field.default), "default": field.default, "show_default": True}
        command = click.option(SimulationConfig.option(field.name), help=help_text, **settings)(command)
    return command


@click.command("simulate")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the data sets.")
@click.option("--name", required=True, callback=plain_name, help="Writes OUT/NAME and OUT/NAME-pgc.")
@click.option("--overwrite", is_flag=True, help="Replace data sets that exist.")
@click.option("--media", is_flag=True, help="Write playable videos and tracks instead of features, for extract.")
@click.option("--uploads", type=click.Path(path_type=Path), help="Real uploads: uploader_id, music_id, genre.")
@click.option("--genre-separator", help="Between the genres of a CSV cell.  [default: white space]")
@_parameters
@click.pass_context
def simulate_command(
    ctx: click.Context,
    /,
    out: Path,
    name: str,
    overwrite: bool,
    media: bool,
    uploads: Path | None,
    genre_separator: str | None,
    **values: Any,
) -> None:
    """Write a simulated data set with ground truth.

    Uploaders' genre preferences confound the observed choices of music; NAME.do.inter holds the test videos' choices
    without them, NAME.truth.npz the true match, and NAME-pgc professional pairs for the teacher.

    With --media the latents become files that can be played, for `extract --pairs OUT/NAME/pairs.csv`; fewer and
    smaller ones unless said otherwise (--videos 2000 --music 150 --latent-dim 8).

    With --uploads, a CSV or Parquet table, uploaders, tracks, genres and observed choices are its rows; features,
    latents and the intervention are simulated.
    """
    from tqdm import tqdm

    given = {key for key in values if ctx.get_parameter_source(key) is not ParameterSource.DEFAULT}
    table = None
    if uploads is not None:
        if media:
            raise ConfigError("--media: expected either --media or --uploads, found both.")
        from recbole_decm.experiments.uploads import read_uploads

        values = {key: value if key in given or key not in FROM_TABLE else None for key, value in values.items()}
        table = read_uploads(uploads, genre_separator)
        config = config_of(table, **values)
    else:
        if genre_separator is not None:
            raise ConfigError("--genre-separator: expected it beside --uploads alone.")
        values |= {key: value for key, value in _MEDIA_DEFAULTS.items() if media and key not in given}
        config = SimulationConfig.of(**values)
    total = 2 * config.videos + config.pgc_videos
    with tqdm(total=total, desc="choices", unit="video", file=sys.stderr, disable=None) as bar:
        simulation = simulate(config, bar.update) if table is None else simulate_uploads(table, config, bar.update)
    if media:
        return _write_media(simulation, out, name, overwrite)
    command = _command(config, name) if uploads is None else _command(config, name, uploads, genre_separator)
    folder = write_simulation(simulation, out, name, command, overwrite)
    found = json.loads((folder / f"{name}.references.json").read_text(encoding="utf-8"))
    lines = "\n".join(format_references(found, found.pop("k")))
    click.echo(
        f"{folder}: {config.videos} videos, {config.music} music, {config.num_genres} genres; "
        f"{folder}-pgc: {config.pgc_videos} videos, {config.pgc_music} music\n{lines}\n"
        f"Next: recbole-decm run --model=DecCM --dataset={name} --data_path={out}"
    )


def _write_media(simulation: Simulation, out: Path, name: str, overwrite: bool) -> None:
    from tqdm import tqdm

    from recbole_decm.simulation.media import write_media

    config = simulation.config
    total = config.videos + config.pgc_videos
    with tqdm(total=total, desc="files", unit="file", file=sys.stderr, disable=None) as bar:
        folder = write_media(simulation, out, name, overwrite, bar.update)
    found = json.loads((folder / "references.json").read_text(encoding="utf-8"))
    lines = "\n".join(format_references(found, found.pop("k")))
    click.echo(
        f"{folder}: {config.videos} videos with the sound of their tracks; pgc: {config.pgc_videos} videos\n{lines}\n"
        f"Next: recbole-decm extract --pairs {folder}/pairs.csv --pgc-pairs {folder}/pgc/pairs.csv "
        f"--out data --name {name}"
    )


def _command(
    config: SimulationConfig, name: str, uploads: Path | None = None, genre_separator: str | None = None
) -> str:
    """The command that writes the same files: options that are not at their default."""
    parts = [f"recbole-decm simulate --out DIR --name {name}"]
    parts += [] if uploads is None else [f"--uploads {_quoted(uploads.name)}"]
    parts += [] if genre_separator is None else [f"--genre-separator {_quoted(genre_separator)}"]
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default and (uploads is None or field.name not in FROM_TABLE):
            text = ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value}"
            parts.append(f"{config.option(field.name)} {text}")
    return " ".join(parts)


def _quoted(text: str) -> str:
    """A text for a shell, on one line whatever it holds."""
    return shlex.quote(text.encode("unicode_escape").decode())
