"""Which files of the package a module rests on, and a digest of them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from recbole_decm.io import shipped
from recbole_decm.io.digest import new_digest


def of_sources(paths: Iterable[Path], start: str) -> str:
    """A digest of source files by content, whatever they are called.

    Args:
        start: what else it depends on.
    """
    digest = new_digest(start.encode())
    sources = {path.read_bytes() for path in paths}
    for part in sorted(new_digest(source).hexdigest() for source in sources):
        digest.update(part.encode())
    return str(digest.hexdigest())


def modules_of(module: str) -> set[Path]:
    """The files of the package that a module imports, at any depth: by statements, and by names in tables.

    Args:
        module: its name in the package, such as ``experiments.cell``.
    """
    found: set[Path] = set()
    left = [_file(module)]
    while left:
        path = left.pop()
        if path is None or path in found:
            continue
        found.add(path)
        left += [_file(name) for name in _named(path) if name]
    return found


def _file(name: str) -> Path | None:
    place = shipped.PACKAGE.joinpath(*filter(None, name.split(".")))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _named(path: Path) -> Iterator[str]:
    """Names below the package that a file imports, or has as text, as the tables of models and metrics do."""
    package = "recbole_decm"
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            module = (node.module or "")[len(package) + 1 :]
            yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{package}."):
            yield node.value[len(package) + 1 :]
