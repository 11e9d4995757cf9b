"""Filters as conditions of PostgreSQL: every name and value of a filter is a parameter, none is part of the text.

SQL's NULL is what a missing value is to a filter: true of neither a comparison nor its negation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole_decm.serving.filters import Column, Comparison, Filter, Node, Not
from recbole_decm.serving.store.rows import NUMBER

_SIGNS = {"!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NUMBERS, _TEXTS = "(v #>> '{}')::float8", "(v #>> '{}') COLLATE \"C\""


def condition(where: Filter, kinds: Mapping[str, str]) -> tuple[str, list[Any]]:
    """A condition on a row ``t`` with ``cells``, JSON of column -> list of its values, and its parameters.

    Args:
        kinds: column -> ``number`` or ``text``.

    Raises:
        ConfigError: the filter does not fit the columns.
    """
    examples = {NUMBER: np.zeros(1), "text": np.array(["x"], object)}
    where.mask({name: Column(examples[kind], np.zeros(0, np.int64)) for name, kind in kinds.items()})
    return _of(where.root, kinds)


def _of(node: Node, kinds: Mapping[str, str]) -> tuple[str, list[Any]]:
    if isinstance(node, Comparison):
        return _comparison(node, kinds[node.column] == NUMBER)
    if isinstance(node, Not):
        text, values = _of(node.part, kinds)
        return f"(NOT {text})", values
    texts, values = [], []
    for part in node.parts:
        text, more = _of(part, kinds)
        texts.append(text)
        values += more
    return f"({f' {node.word.upper()} '.join(texts)})", values


def _comparison(node: Comparison, numbers: bool) -> tuple[str, list[Any]]:
    value, kind = (_NUMBERS, "float8") if numbers else (_TEXTS, "text")
    sign, wanted = node.sign, list(node.wanted)
    if sign == "=":
        test, given = f"{value} = ANY(%s::{kind}[])", [text for text in wanted if "\0" not in str(text)]
        return _exists(test), [node.column, node.column, given]
    one = wanted[0]
    if isinstance(one, str) and "\0" in one:  # which no kept text has, so that what stands before it decides
        one = one.split("\0")[0]
        if sign == "!=":
            return _exists("true"), [node.column, node.column]
        sign = {"<": "<=", ">=": ">"}.get(sign, sign)
    return _exists(f"{value} {_SIGNS[sign]} %s::{kind}"), [node.column, node.column, one]


def _exists(test: str) -> str:
    return (
        "(CASE WHEN jsonb_exists(t.cells, %s) THEN "
        f"EXISTS (SELECT FROM jsonb_array_elements(t.cells -> %s) v WHERE {test}) END)"
    )
