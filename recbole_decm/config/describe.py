"""What each key means, in words: the comments of our YAML files and the page ``docs/keys.md``.

``python -m recbole_decm.config.describe`` writes both into a checkout. The descriptions stand where the types are: in
the settings of the models and in :mod:`recbole_decm.config.overall_keys`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from recbole_decm.config import registry
from recbole_decm.config.effects import EFFECTS
from recbole_decm.config.model_effects import MODEL_EFFECTS
from recbole_decm.config.overall_keys import EvalArgsEntries, OverallKeys
from recbole_decm.config.typed_keys import RECBOLE_PROPERTIES, SHARED, Key, key_types, recbole_keys
from recbole_decm.config.values import read_yaml
from recbole_decm.io.shipped import shipped
from recbole_decm.io.typed import Entries, Expected

_BASES = (RECBOLE_PROPERTIES / "dataset" / "sample.yaml", RECBOLE_PROPERTIES / "overall.yaml")


def kind(annotation: Any) -> str:
    """The word of RecBole's comments for a type: ``int``, ``list or int``, ``str``; None is left out."""
    return " or ".join(dict.fromkeys(_kinds(annotation)))


def _kinds(annotation: Any) -> Iterable[str]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Literal or annotation in (str, Path):
        yield "str"
    elif is_typeddict(annotation) or dict in (origin, annotation):
        yield "dict"
    elif {origin, annotation} & {list, tuple}:
        yield "list"
    elif annotation is not type(None):
        yield "any" if annotation is Any else annotation.__name__


def limits(annotation: Any) -> str:
    """What a value has to be beside its type, as ``at least 1`` or ``mean or sample``; empty where any will do."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        said = [part.words for part in parts[1:] if isinstance(part, Expected)]
        return said[-1] if said else ", ".join(filter(None, [limits(parts[0]), *map(_limit, parts[1:])]))
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        found = [limits(part) for part in parts if part is not type(None)]
        return " or ".join(filter(None, found)) + (" or ~" if type(None) in parts and any(found) else "")
    return ""


def _limit(part: Any) -> str:
    if isinstance(part, FieldInfo):
        return ", ".join(filter(None, map(_limit, part.metadata)))
    if isinstance(part, Entries):
        return f"{'one' if part.one else 'entries'} of {', '.join(part.names)}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{said} {getattr(part, name)}" for name, said in words.items() if hasattr(part, name))


def description(annotation: Any) -> str:
    """The description in an annotation; empty without one."""
    parts = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((part.description for part in parts if isinstance(part, FieldInfo) and part.description), "")


def commented(text: str, annotations: Mapping[str, Any]) -> str:
    """A YAML text with the comment of each key, ``# (type) description``, taken from its annotation."""
    inside = get_type_hints(EvalArgsEntries, include_extras=True)
    lines = []
    for line in text.splitlines():
        match = re.match(r"( *)([\w-]+):[^#]*", line)
        known = {} if not match else annotations if not match[1] else inside
        if match and description(known.get(match[2])):
            annotation, value = known[match[2]], match[0].rstrip()
            line = f"{value:<{max(32, len(value) + 2)}}# ({kind(annotation)}) {description(annotation)}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def commented_files() -> dict[Path, str]:
    """The YAML files whose comments are made here, each with its text."""
    properties = shipped("properties")
    files = {properties / "overall.yaml": get_type_hints(OverallKeys, include_extras=True)}
    for model in registry.MODELS:
        files[properties / "model" / f"{model}.yaml"] = key_types(model, registry.model_class(model))
    return {path: commented(path.read_text(encoding="utf-8"), types) for path, types in files.items()}


def page() -> str:
    """The text of ``docs/keys.md``."""
    return f"""# Keys

Every key can be given as `--key=value`, in a config file, or in `config_dict`. A value of another type or out of its
range ends a run before anything is read, with one line that names the place, the key, what is expected and what was
found; an unknown key is refused and the nearest one named. `~` is None. A whole number is also a `float`; a number
in quotes is none. This page is made by `python -m recbole_decm.config.describe` from the types that check the values.

## Every run

Defaults are those of `properties/overall.yaml`, and of RecBole where ours says nothing. The YAML of a model or of a
data set may say otherwise. A key that is given another value than its default, in a case of the last column, has no
effect; a run says so in one line and goes on.

{_table(("key", "type", "default", "range", "meaning", "changes", "no effect where"), _overall_rows())}

## Our models

A key has no effect in a case of the last column either, and a run says so.

{_table(("key", "type", "default", "range", "meaning", "no effect where"), _model_rows())}

## RecBole's models

The type is that of the default in RecBole's YAML, the meaning its comment there. Keys that five models or more share
have a range of our own.

{_table(("key", "type", "range", "meaning", "models and defaults"), _recbole_rows())}
"""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_escaped, row)) + " |" for row in cells)


def _escaped(cell: str) -> str:
    return (cell if "`" in cell else cell.replace("<", "&lt;")).replace("|", "\\|")


def _shown(value: Any) -> str:
    blank = isinstance(value, str) and not value.strip()
    return "`~`" if value is None else f"`{value!r}`" if blank else f"`{value}`"


def _overall_rows() -> Iterable[tuple[str, ...]]:
    keys: dict[str, Key] = {}
    for path in _BASES:
        keys |= recbole_keys(path)
    defaults = {key: known.default for key, known in keys.items()} | read_yaml(shipped("properties") / "overall.yaml")
    for key, annotation in get_type_hints(OverallKeys, include_extras=True).items():
        meaning = description(annotation) or (keys[key].meaning if key in keys else "")
        if key in defaults:
            row = (f"`{key}`", kind(annotation), _shown(defaults[key]), limits(annotation), meaning)
            yield (*row, *_effects(key))


def _effects(key: str) -> tuple[str, str]:
    """What a key changes and where it changes nothing; of each entry of a nested key."""
    found = {name: effect for name, effect in EFFECTS.items() if name.partition(".")[0] == key}
    cells: list[dict[str, list[str]]] = [{}, {}]
    for name, effect in found.items():
        for cell, text in zip(cells, (effect.changes, "; ".join(case.why for case in effect.idle)), strict=True):
            cell.setdefault(text, []).append(name.partition(".")[2])
    changes, idle = (
        ". ".join(
            f"{', '.join(entries)}: {text}" if entries != [""] else text for text, entries in cell.items() if text
        )
        for cell in cells
    )
    return changes, idle


def _model_rows() -> Iterable[tuple[str, ...]]:
    rows: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for model in registry.MODELS:
        annotations = key_types(model, registry.model_class(model))
        for key, default in read_yaml(shipped("properties") / "model" / f"{model}.yaml").items():
            row = (f"`{key}`", kind(annotations[key]), limits(annotations[key]), description(annotations[key]))
            rows.setdefault(row, {}).setdefault(_shown(default), []).append(model)
    for (key, type_name, limit, meaning), defaults in rows.items():
        idle = "; ".join(case.why for case in MODEL_EFFECTS.get(key.strip("`"), ()))
        yield key, type_name, _by_model(defaults), limit, meaning, idle


def _recbole_rows() -> Iterable[tuple[str, ...]]:
    rows: dict[str, dict[tuple[str, ...], dict[str, list[str]]]] = {}
    meanings: dict[str, str] = {}  # of the shared keys, each told once
    for path in sorted((RECBOLE_PROPERTIES / "model").glob("*.yaml")):
        annotations = key_types(path.stem, object)
        for key, known in recbole_keys(path).items():
            meaning = meanings.setdefault(key, known.meaning) if key in SHARED else known.meaning
            row = (kind(annotations[key]), limits(annotations[key]), meaning)
            rows.setdefault(key, {}).setdefault(row, {}).setdefault(_shown(known.default), []).append(path.stem)
    for key in sorted(rows, key=str.lower):
        for (type_name, limit, meaning), defaults in rows[key].items():
            yield f"`{key}`", type_name, limit, meaning, _by_model(defaults)


def _by_model(defaults: dict[str, list[str]]) -> str:
    return "; ".join(f"{default} ({', '.join(models)})" for default, models in defaults.items())


def main() -> None:
    """Write the comments of the YAML files and the page into the checkout."""
    properties = shipped("properties")
    texts = commented_files() | {properties.parent / "docs" / "keys.md": page()}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
