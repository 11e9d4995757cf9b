"""``recbole-decm simulate``: write a simulated data set with ground truth."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

import click

from recbole_decm.errors import ConfigError
from recbole_decm.simulation.causal import SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.simulation.references import format_references

_HELP = {
    "videos": "Videos.",
    "music": "Music in the catalogue.",
    "uploaders": "Uploaders; each video belongs to one of them.  [default: videos / 5]",
    "pgc_videos": "Professional videos.  [default: videos / 4]",
    "pgc_music": "Music of the professional videos.  [default: as --music]",
    "genre_shares": "Share of each genre in the catalogue, comma-separated.",
    "preference": "Dirichlet parameters of the uploaders' preferences, comma-separated.",
    "latent_dim": "Dimensions of the true match.",
    "genre_spread": "Standard deviation of the genre centres.",
    "music_spread": "Standard deviation of music around its genre's centre.",
    "visual_dim": "Dimensions of the visual features.",
    "acoustic_dim": "Dimensions of the acoustic features.",
    "visual_noise": "Standard deviation of the visual noise.",
    "acoustic_noise": "Standard deviation of the acoustic noise.",
    "pgc_noise": "Noise of the professional features, relative to the others.",
    "confounding": "Strength with which preference drives the observed choice.",
    "style": "Strength with which preference shows in the video.",
    "popularity": "Standard deviation of the log-exposure of music.",
    "seed": "Random seed.",
}


def _numbers(_ctx, param, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected numbers separated by commas, found '{value}'") from error


def _parameters(command):
    for field in reversed(fields(SimulationConfig)):
        option, dependent = "--" + field.name.replace("_", "-"), field.name in ("uploaders", "pgc_videos", "pgc_music")
        default = None if dependent else field.default
        if isinstance(field.default, tuple):
            shown = ",".join(f"{number:g}" for number in field.default)
            settings = {"callback": _numbers, "default": shown, "show_default": True}
        else:
            settings = {"type": type(field.default), "default": default, "show_default": not dependent}
        command = click.option(option, help=_HELP[field.name], **settings)(command)
    return command


@click.command("simulate")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the data sets.")
@click.option("--name", required=True, help="Writes OUT/NAME and OUT/NAME-pgc.")
@click.option("--overwrite", is_flag=True, help="Replace data sets that exist.")
@_parameters
def simulate_command(out: Path, name: str, overwrite: bool, **values) -> None:
    """Write a simulated data set with ground truth.

    Uploaders' genre preferences confound the observed choices of music; NAME.do.inter holds the test videos' choices
    without them, NAME.truth.npz the true match, and NAME-pgc professional pairs for the teacher.
    """
    from tqdm import tqdm

    if not name or Path(name).name != name or name.startswith("."):
        raise ConfigError(f"--name: expected a plain name for a folder, found '{name}'.")
    config = SimulationConfig.of(**values)
    total = 2 * config.videos + config.pgc_videos
    with tqdm(total=total, desc="choices", unit="video", file=sys.stderr, disable=None) as bar:
        simulation = simulate(config, bar.update)
    folder = write_simulation(simulation, out, name, _command(config, name), overwrite)
    found = json.loads((folder / f"{name}.references.json").read_text(encoding="utf-8"))
    lines = "\n".join(format_references(found, found.pop("k")))
    click.echo(
        f"{folder}: {config.videos} videos, {config.music} music, {config.num_genres} genres; "
        f"{folder}-pgc: {config.pgc_videos} videos, {config.pgc_music} music\n{lines}\n"
        f"Next: recbole-decm run --model=DecCM --dataset={name} --data_path={out}"
    )


def _command(config: SimulationConfig, name: str) -> str:
    """The command that writes the same files: options that are not at their default."""
    parts = [f"recbole-decm simulate --out DIR --name {name}"]
    for field in fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            text = ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value}"
            parts.append(f"--{field.name.replace('_', '-')} {text}")
    return " ".join(parts)
