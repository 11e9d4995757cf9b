"""Columns that keys name: a name that no file has is refused, and so is a key that cannot act on what it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from recbole_decm.data.inputs import feature_fields
from recbole_decm.errors import ConfigError, suggest

_FILES = ("inter", "user", "item")
_OF_ONE_FILE = {"threshold": "inter", "user_features": "user", "item_features": "item"}
_OF_ANY_FILE = ("val_interval", "preload_weight")
_FEATURES = ("normalize_field", "discretization", "numerical_features", "seq_len")
_BY_FILE = ("load_col", "unload_col", "unused_col")


def named_columns(config: Any) -> Iterator[tuple[str, str | None, str]]:
    """(key, suffix of the file or None for any, column) of all columns that the keys of a config name."""
    for key in _BY_FILE:
        for suffix, names in (config[key] or {}).items():
            yield from ((key, suffix, name) for name in (names if names != "*" else ()))
    for key in (*_OF_ANY_FILE, *_FEATURES):
        yield from ((key, None, name) for name in config[key] or ())
    for key, suffix in _OF_ONE_FILE.items():
        yield from ((key, suffix, name) for name in config[key] or ())
    yield from (("preload_weight", None, name) for name in (config["preload_weight"] or {}).values())
    if config.learns_from_labels:
        yield "train_neg_sample_args: ~", "inter", config["LABEL_FIELD"]
    args = config["eval_args"]
    if config["benchmark_filename"] is None and "LGO" not in (args["split"] or {}):
        if "TS" in (args["split"] or {}):
            yield "eval_args.split.TS", "inter", config["TIME_FIELD"]
        elif args["order"] == "TO":
            yield "eval_args.order: TO", "inter", config["TIME_FIELD"]


def check_columns(config: Any, headers: Mapping[str, Collection[str]], loaded: Mapping[str, Collection[str]]) -> None:
    """Refuse keys that name columns which no file has, which are left out, or which they cannot change.

    Args:
        headers: suffix of a file that was found -> its columns.
        loaded: the same, the columns that ``load_col`` and ``unload_col`` leave.

    Raises:
        ConfigError: one line that names the key, the column and what there is.
    """
    vectors = {config["PRIOR_FIELD"]}.union(*feature_fields(config))
    ids = {config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]}
    for key, suffix, name in named_columns(config):
        further = config["additional_feat_suffix"] or ()
        if suffix is not None and suffix not in (*_FILES, *further):
            raise ConfigError(f"{key}: expected columns of inter, user or item, found '{suffix}'.")
        if suffix in further or suffix not in (None, *headers):
            continue
        files = headers if suffix is None else {suffix: headers[suffix]}
        if key in _FEATURES:  # pairs that are ranked have no columns of their own
            files = {file: columns for file, columns in headers.items() if file in ("user", "item")}
        known = [column for columns in files.values() for column in columns]
        if name not in known:
            where = " or ".join(f".{file}" for file in files)
            raise ConfigError(
                f"{key}: expected a column of {where} ({', '.join(known)}), found '{name}'.{suggest(str(name), known)}"
            )
        if key not in _BY_FILE and not any(name in loaded[file] for file in files):
            raise ConfigError(f"{key}: '{name}' is in the files, but load_col or unload_col leaves it out. Load it.")
        if key not in ("load_col", "unload_col") and name in (vectors if key != "preload_weight" else ()):
            raise ConfigError(
                f"{key}: expected a plain column, found '{name}', a vector that is read whole. feature_reduce sets how "
                "RecBole's context models see content vectors."
            )
        if key in ("unload_col", "unused_col") and name in ids:
            raise ConfigError(f"{key}: expected other columns than the ids, found '{name}'.")
