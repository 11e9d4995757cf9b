"""Values of a run before any is checked: read from YAML files and command lines, and laid over each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from recbole_decm.errors import ConfigError
from recbole_decm.io.shipped import shipped

MERGED_KEYS = ("eval_args", "feature_reduce", "teacher_config")
_WORDS = {"true": True, "false": False, "none": None, "null": None, "~": None}


class Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number, as RecBole does, and refuses a key that appears twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)):
                raise yaml.MarkedYAMLError(None, None, f"a key is a name, not {key!r}", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"key '{key}' appears twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict:
    """Read a YAML mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, is not a mapping, or holds a key twice.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except OSError as error:
        raise ConfigError(f"{path}: expected a YAML file, but {error.strerror or error}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: expected YAML, but it is nested too deep.") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that is none, or bytes that are no UTF-8
        raise ConfigError(f"{path}: expected YAML, but {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found a {type(values).__name__}.")
    return values


def merge(*layers: dict) -> dict:
    """Later layers win; keys in :data:`MERGED_KEYS` are merged where both sides are dicts.

    Examples:
        >>> merge({"epochs": 5, "eval_args": {"mode": "full", "order": "RO"}}, {"eval_args": {"mode": "uni100"}})
        {'epochs': 5, 'eval_args': {'mode': 'uni100', 'order': 'RO'}}
    """
    merged: dict = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if key in MERGED_KEYS and isinstance(below, dict) and isinstance(value, dict):
                value = {**below, **value}
            merged[key] = value
    return merged


def parse_value(text: str) -> object:
    """The value of a command-line argument: a Python literal where it is one, else true/false/null, else the text.

    Examples:
        >>> parse_value("1e-3"), parse_value("[5, 10]"), parse_value("none"), parse_value("DecCM")
        (0.001, [5, 10], None, 'DecCM')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        try:
            return (
                yaml.load(text, Loader=Loader)
                if text.lstrip().startswith(("[", "{"))
                else _WORDS.get(text.lower(), text)
            )
        except (yaml.YAMLError, ValueError, RecursionError):
            return text


def parse_arguments(arguments: Sequence[str]) -> dict:
    """Parse ``--key=value`` arguments.

    Raises:
        ConfigError: an argument of another form, or a key given twice with different values.

    Examples:
        >>> parse_arguments(["--epochs=5", "--topk=[10]"])
        {'epochs': 5, 'topk': [10]}
    """
    values: dict = {}
    for argument in arguments:
        key, equals, text = argument[2:].partition("=")
        if not argument.startswith("--") or not equals or not key:
            raise ConfigError(f"command line: expected arguments of the form --key=value, found '{argument}'.")
        value = parse_value(text)
        if key in values and values[key] != value:
            raise ConfigError(f"command line: --{key} is given twice, as {values[key]!r} and {value!r}. Keep one.")
        values[key] = value
    return values


def take_config_files(values: dict) -> list[str]:
    """Remove ``config_files`` from parsed values: the paths as a list, empty where none are given.

    Raises:
        ConfigError: neither a text of paths separated by spaces nor a list.
    """
    files = values.pop("config_files", None) or []
    if not isinstance(files, (str, list)):
        raise ConfigError(f"config_files: expected paths separated by spaces, found {files!r}.")
    return files.split() if isinstance(files, str) else list(files)


def read_config_files(files: Iterable[str | Path]) -> dict:
    """Values of config files by path or by their name below ``properties``; later ones win."""
    return merge(*(read_yaml(find_config_file(file)) for file in files))


def find_config_file(name: str | Path) -> Path:
    """A config file by its path, or by its path below ``properties`` as shipped (``ablation/released.yaml``)."""
    path = Path(name)
    parts = path.parts[1:] if path.parts and path.parts[0] == "properties" else path.parts
    inside = shipped("properties").joinpath(*parts)
    with suppress(OSError):  # a name that is too long for the system, which the reader says
        return inside if not path.is_file() and not path.is_absolute() and inside.is_file() else path
    return path
