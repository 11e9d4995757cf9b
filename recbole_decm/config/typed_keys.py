"""The type and range of every key of a model: ours from its settings, RecBole's from its YAML's default and comment.

Every RecBole model reads keys of its own and checks hardly any. What its YAML says of a key (a default, and a comment
such as ``# (str) The type of loss function. Range in ['BPR', 'CE'].``) is its type here; the keys that five models or
more share have their ranges in :data:`SHARED`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import recbole
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from recbole_decm.config.overall_keys import Count, OverallKeys, Positive, Probability, Size, Weight
from recbole_decm.config.values import read_yaml
from recbole_decm.errors import ConfigError
from recbole_decm.io.typed import STRICT, Expected, complaint

RECBOLE_PROPERTIES = Path(recbole.__file__).parent / "properties"

Sizes = Annotated[
    list[int], Expected("a list of whole numbers of at least 1", lambda sizes: len(sizes) > 0 and min(sizes) >= 1)
]
Probabilities = Annotated[
    list[float],
    Expected("a list of numbers of at least 0 and below 1", lambda parts: all(0 <= part < 1 for part in parts)),
]
Weights = Annotated[
    list[float],
    Expected("a list of numbers of at least 0", lambda parts: all(part >= 0 for part in parts)),
]

# Keys that five of RecBole's models or more share.
SHARED: dict[str, Any] = {
    "embedding_size": Size,
    "hidden_size": Size,
    "inner_size": Size,
    "n_layers": Count,
    "num_layers": Size,
    "n_heads": Size,
    "mlp_hidden_size": Sizes,
    "dropout_prob": Probability,
    "hidden_dropout_prob": Probability,
    "attn_dropout_prob": Probability,
    "hidden_act": Literal["gelu", "relu", "swish", "tanh", "sigmoid"],
    "layer_norm_eps": Positive,
    "initializer_range": Weight,
    "reg_weight": Annotated[Weight | Weights, Expected("a number of at least 0, or a list of them")],
    "reg_weights": Weights,
    "loss_type": Literal["BPR", "CE", "BCE", "MSE", "NLL"],
    "pooling_mode": Literal["max", "mean", "sum"],
    "alpha": Weight,
    "beta": Weight,
}
_KINDS: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict}
_KINDS |= {"string": str, "None": type(None)}
_PLAIN = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", list: "a list"}
_PLAIN |= {dict: "keys and values", type(None): "~"}


@dataclass(frozen=True)
class Key:
    """A key of RecBole's YAML files.

    Attributes:
        default: its value there.
        kind: the comment's word for its type, such as ``list of float``; empty without one.
        meaning: the rest of the comment.
    """

    default: Any
    kind: str
    meaning: str


def recbole_keys(path: Path) -> dict[str, Key]:
    """The keys of one of RecBole's YAML files."""
    comments = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([\w-]+):[^#]*#\s*(?:\(([^)]*)\))?\s*(.*)", line)
        if match:
            comments[match[1]] = (match[2] or "", match[3].strip())
    return {key: Key(default, *comments.get(key, ("", ""))) for key, default in read_yaml(path).items()}


def inferred(name: str, key: Key) -> Any:
    """The type of a key of one of RecBole's models: of its default, or one that its comment names beside."""
    choices = re.search(r"(?i)rang(?:e|ing) in `*\[(.*?)\]", key.meaning)
    if isinstance(key.default, str) and choices:
        return Literal[tuple(re.findall(r"\w+", choices[1]))]  # type: ignore[misc]
    if name in SHARED:
        return SHARED[name]
    words = re.findall(r"\w+", key.kind)
    kinds = {_KINDS[word] for word in words[: 1 if "of" in words else None] if word in _KINDS}
    if key.default is None:
        return _either(kinds | {type(None)}) if kinds else Any
    kinds |= {type(key.default)} | ({type(None)} if key.default == "None" else set())
    kinds -= {int} if float in kinds else set()
    return _ranged(name, key.default) if len(kinds) == 1 else _either(kinds)


def _ranged(name: str, default: Any) -> Any:
    """A type for values like the default, and the range that the name tells."""
    dropout, size = "dropout" in name, re.search("(_size|_dim|_dimension|hidden_size_list)$", name)
    if isinstance(default, list):
        kinds = {type(entry) for entry in default}
        if kinds == {int}:
            return Sizes if size else list[int]
        if kinds == {float}:
            return Probabilities if dropout else list[float]
        return list[str] if kinds == {str} else list
    if dropout:
        return Probability
    return Size if size and isinstance(default, int) else type(default)


def _either(kinds: set[type]) -> Any:
    ordered = [kind for kind in _PLAIN if kind in kinds]
    union: Any = functools.reduce(lambda left, right: left | right, ordered)  # type: ignore[arg-type, return-value]
    return Annotated[union, Expected(" or ".join(_PLAIN[kind] for kind in ordered))]


@functools.lru_cache(maxsize=256)
def key_types(model: str, model_class: type) -> dict[str, Any]:
    """Key -> annotation of the keys whose type is known, for a run of a model."""
    types = get_type_hints(OverallKeys, include_extras=True)
    settings = getattr(model_class, "settings_class", None)
    if settings is not None:
        for name, field in settings.__pydantic_fields__.items():
            described = Field(description=field.description)
            types[name] = functools.reduce(
                lambda kind, part: Annotated[kind, part], [*field.metadata, described], field.annotation
            )
        return types
    path = RECBOLE_PROPERTIES / "model" / f"{model}.yaml"
    own = {name: inferred(name, key) for name, key in recbole_keys(path).items()} if path.is_file() else {}
    return {**SHARED, **own, **types}


@functools.lru_cache(maxsize=256)
def _adapter(model: str, model_class: type) -> TypeAdapter[Any]:
    layer = TypedDict("Layer", key_types(model, model_class), total=False)  # type: ignore[misc]
    layer.__pydantic_config__ = STRICT | {"extra": "allow"}  # type: ignore[attr-defined]
    return TypeAdapter(layer)


def check(values: dict[str, Any], model: str, model_class: type, where: str) -> None:
    """Check the values of one layer: a file, a dict or a command line.

    Raises:
        ConfigError: a value of another type or out of its range; one line that names place, key and what is expected.
    """
    try:
        _adapter(model, model_class).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {complaint(error)}") from error
