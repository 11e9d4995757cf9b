"""The k largest of many scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STRIPES = 64


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the k largest of (n,) scores, the largest first, of equal ones the first place first; none of -inf.

    Examples:
        >>> best(np.array([1.0, 3.0, 2.0, 3.0, -np.inf]), 4).tolist()
        [1, 3, 2, 0]
    """
    return best_of_columns(scores[:, None], [k])[0]


def best_of_columns(scores: np.ndarray, k: Sequence[int]) -> list[np.ndarray]:
    """:func:`best` of each column of (n, B) scores.

    The rows are dealt to disjoint sets, whose maxima take one pass of vector instructions. The k-th largest of them is
    at most the k-th largest of all, so only sets that reach it are looked into. All columns go through each step
    together: a step lets other threads run, and each would have to wait for its turn again.

    Args:
        k: of each column.
    """
    count, columns = scores.shape
    width = count // _STRIPES
    few = [column for column in range(columns) if 4 * k[column] < width]
    found = [np.empty(0, np.int64)] * columns
    for column in range(columns):
        if 4 * k[column] >= width:
            found[column] = _best_of_few(np.ascontiguousarray(scores[:, column]), k[column])
    if few:
        wanted = np.array([k[column] for column in few])
        chosen = scores if len(few) == columns else np.ascontiguousarray(scores[:, few])
        for column, places in zip(few, _best_by_stripes(chosen, wanted, width), strict=True):
            found[column] = places
    return found


def _best_of_few(scores: np.ndarray, k: int) -> np.ndarray:
    """Where k is no small part of all."""
    count = len(scores)
    least = np.partition(scores, count - k)[count - k] if count > 4 * k else -np.inf
    places = np.flatnonzero(scores > least if least == -np.inf else scores >= least)
    return places[np.argsort(-scores[places], kind="stable")[:k]]


def _best_by_stripes(scores: np.ndarray, k: np.ndarray, width: int) -> list[np.ndarray]:
    """Set j has the rows j, j + width, ... of :data:`_STRIPES` stripes; the rows that are left are looked into."""
    whole, columns = width * _STRIPES, scores.shape[1]
    striped, rest = scores[:whole].reshape(_STRIPES, width, columns), scores[whole:]
    maxima = striped.reshape(_STRIPES, width * columns).max(axis=0).reshape(width, columns)
    least = np.partition(maxima, sorted(set(width - k)), axis=0)[width - k, np.arange(columns)]
    sets, owners = np.divmod(np.flatnonzero(maxima >= least), columns)
    inside = striped[:, sets, owners]
    stripes, at = np.nonzero(inside >= least[owners])
    others, own = np.nonzero(rest >= least)
    row = np.concatenate([sets[at] + width * stripes, others + whole])
    column = np.concatenate([owners[at], own])
    value = np.concatenate([inside[stripes, at], rest[others, own]])
    order = np.lexsort((row, -value, column))
    order = order[value[order] > -np.inf]
    starts = np.searchsorted(column[order], np.arange(columns + 1)).tolist()
    return [
        row[order[at : min(at + most, end)]] for at, end, most in zip(starts[:-1], starts[1:], k.tolist(), strict=True)
    ]
