"""What the options of several commands share."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from recbole_decm.data.splits import check_shares
from recbole_decm.errors import ConfigError

# Of a command that takes --key=value arguments and hands them on as they are.
TAKES_KEYS: dict[str, Any] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": ["-h", "--help"],
}


def names(_ctx: object, _param: object, value: str) -> list[str]:
    """Callback of an option that takes names, separated by commas or spaces."""
    return value.replace(",", " ").split()


def numbers(kind: Callable[[str], Any], what: str) -> Callable[[object, object, str], list]:
    """Callback of an option that takes numbers, separated by commas or spaces; ``what`` they are is said in errors."""

    def parse(ctx: object, param: object, value: str) -> list:
        try:
            return [kind(part) for part in names(ctx, param, value)]
        except ValueError as error:
            raise click.BadParameter(f"expected {what} separated by commas, found '{value}'") from error

    return parse


def tell_failures(failed: Mapping[str, str]) -> int:
    """Name the runs that failed, each with its error; the exit code, 1 where there are any."""
    for name, error in failed.items():
        click.echo(f"failed: {name}: {error}", err=True)
    return 1 if failed else 0


seeds_option = click.option(
    "--seeds",
    default="2020",
    show_default=True,
    callback=numbers(int, "integers"),
    help="Seeds, comma-separated.",
)


def plain_name(_ctx: object, _param: object, value: str) -> str:
    """Callback of ``--name``: a name for a folder, without a path in it."""
    if not value or Path(value).name != value or value.startswith(".") or not value.isprintable():
        raise ConfigError(f"--name: expected a plain name for a folder, found {value!r}.")
    return value


def fields_option(option: str, help_text: str, pattern: str = "[a-z0-9_]+") -> Callable[[Any], Any]:
    """An option that is given once for each ``NAME=VALUE``, as a dictionary."""

    def parse(_ctx: object, _param: object, values: tuple[str, ...]) -> dict[str, str]:
        found: dict[str, str] = {}
        for value in values:
            name, equals, rest = value.partition("=")
            if not equals or not rest or not re.fullmatch(pattern, name):
                raise ConfigError(f"{option}: expected NAME=VALUE with a name of {pattern}, found '{value}'.")
            if name in found:
                raise ConfigError(f"{option}: expected '{name}' once, found it twice.")
            found[name] = rest
        return found

    return click.option(option, multiple=True, callback=parse, metavar="NAME=VALUE", help=help_text)


def prior(_ctx: object, _param: object, value: str | None) -> str | dict[str, float] | None:
    """A name, or ``genre=probability`` parts."""
    if value is None or "=" not in value:
        return value
    try:
        pairs = [part.rpartition("=") for part in value.split(",")]
        return {genre.strip(): float(number) for genre, _, number in pairs}
    except ValueError as error:
        raise ConfigError(f"--prior: expected parts as in g0=0.5,g1=0.5, found '{value}'.") from error


def _shares(_ctx: object, _param: object, value: str | None) -> tuple[float, ...] | None:
    return None if value is None else check_shares(numbers(float, "numbers")(_ctx, _param, value))


DEFAULT_SHARES = (0.8, 0.1, 0.1)
PGC_SHARES = (0.9, 0.1)
shares_option = click.option(
    "--split", callback=_shares, help="Shares of train, valid and test.  [default: 0.8,0.1,0.1, where no column tells]"
)

preferences_option = click.option(
    "--preferences",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV or Parquet: uploader_id, genre, share, measured outside the pairs.  [default: counted from the pairs]",
)

videos_option = click.option(
    "--videos",
    type=click.Path(path_type=Path),
    help="New videos: features as .npy, one row per video, .parquet, or a folder of extract; or clips: a folder, CSV "
    "or file.",
)


def features_of_videos(videos: Path | None, checkpoint: Path, out: Path | None = None) -> Path | None:
    """What ``--videos`` names, as features: clips become those that a checkpoint was trained with, and a Parquet table
    one matrix for each field, in a folder that lasts as long as the command.

    Args:
        out: what the command writes; the folder of a table is made beside it, where other machines see it.
    """
    if videos is not None and videos.suffix == ".parquet":
        from recbole_decm.serving.parquet_videos import parquet_as_folder

        beside = None if out is None else out.absolute().parent
        scratch = tempfile.TemporaryDirectory(prefix=".recbole-decm-", dir=beside)
        folder = Path(click.get_current_context().with_resource(scratch), "videos")
        parquet_as_folder(videos, folder)
        return folder
    if videos is None or videos.suffix == ".npy" or not videos.exists():
        return videos
    if videos.is_dir() and any(videos.glob("*.npy")):
        return videos
    from recbole_decm.cli.new_videos import clips_as_features

    return click.get_current_context().with_resource(clips_as_features(videos, checkpoint))
