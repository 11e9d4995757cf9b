"""What the options of several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

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


seeds_option = click.option(
    "--seeds",
    default="2020",
    show_default=True,
    callback=numbers(int, "integers"),
    help="Seeds, comma-separated.",
)
