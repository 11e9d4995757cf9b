"""Packages that not everybody needs: imported when they are used, and named with the line that installs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from recbole_decm.errors import ConfigError


def require(module: str, extra: str) -> Any:
    """The module.

    Args:
        extra: of this package, that installs it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"media: expected the package {module.split('.')[0]}, found {str(error).lower()}. "
            f"Install it: pip install 'recbole-decm[{extra}]'"
        ) from error
