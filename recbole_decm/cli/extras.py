"""What some commands need beside the package itself, said before it is missed."""

from __future__ import annotations

from importlib.util import find_spec

from recbole_decm.errors import ConfigError


def require_serve() -> None:
    """Raise ConfigError unless what `serve` needs is installed."""
    missing = [
        name
        for name in ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client")
        if not find_spec(name)
    ]
    if missing:
        raise ConfigError(
            f"serve: expected the package {missing[0]}, found none. Install it: pip install 'recbole-decm[serve]'"
        )
