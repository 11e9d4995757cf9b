"""Where the files that ship with the project are: in a checkout beside the package, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

from recbole_decm.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(folder: str) -> Path:
    """The folder ``properties`` or ``dataset_atomic``, from a checkout, an editable install or a wheel."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def make_folder(path: Path | str, name: str) -> None:
    """Make a folder, and those above it, that RecBole would make in two moments: two processes that start together may
    both find it missing, and the slower one fails.

    Args:
        name: what to call it in the error, such as the key of the config it comes from.

    Raises:
        ConfigError: something else is there, or the folder cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{name}: expected a folder to write to, but {path}: {error.strerror}.") from error
