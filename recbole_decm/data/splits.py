"""Which rows are for training, validation and test: at random, or whole groups at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError, DataError

PARTS = ("train", "valid", "test")
EXTRA = "test_"
"""What the name of a further test set begins with, where it stands beside those parts."""


def check_shares(shares: Sequence[float], what: str = "--split") -> tuple[float, ...]:
    """Two or three shares that sum to 1: of training, validation and, if there is a third, test.

    Raises:
        ConfigError: other numbers.

    Examples:
        >>> check_shares([0.8, 0.1, 0.1])
        (0.8, 0.1, 0.1)
    """
    if len(shares) not in (2, 3) or not all(0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        found = ", ".join(f"{share:g}" for share in shares)
        raise ConfigError(f"{what}: expected two or three shares above 0 that sum to 1, found {found}.")
    return tuple(shares)


def split_rows(
    count: int, shares: Sequence[float], seed: int, groups: Sequence | np.ndarray | None = None
) -> np.ndarray:
    """The part of each row, by a seed alone.

    Args:
        count: N, the number of rows.
        shares: of training, validation and, if there is a third, test; of the rows, also where groups are drawn.
        groups: (N,) the group of each row; rows of one group share a part. None splits row by row.

    Returns:
        (N,) object, of ``train``, ``valid`` and ``test``.

    Raises:
        DataError: a part would be empty.

    Examples:
        >>> split_rows(5, [0.6, 0.2, 0.2], seed=1).tolist()
        ['train', 'train', 'valid', 'test', 'train']
        >>> split_rows(4, [0.5, 0.5], seed=1, groups=["a", "b", "a", "b"]).tolist()
        ['train', 'valid', 'train', 'valid']
    """
    codes = np.arange(count) if groups is None else pd.factorize(np.asarray(groups, dtype=object))[0]
    sizes = np.bincount(codes, minlength=1)
    order = np.random.default_rng(seed).permutation(len(sizes))
    middles = np.empty(len(sizes))
    middles[order] = np.cumsum(sizes[order]) - sizes[order] / 2  # where a group stands among all rows
    cuts = np.cumsum(shares)[:-1] * count
    part = np.searchsorted(cuts, middles, side="right")
    missing = [name for index, name in enumerate(PARTS[: len(shares)]) if not (part == index).any()]
    if missing:
        unit = "row" if groups is None else "group"
        raise DataError(
            f"split: expected at least one {unit} in each part, found none for {', '.join(missing)} among "
            f"{len(sizes)} {unit}s. Give other shares, another seed or more data."
        )
    return np.array(PARTS, dtype=object)[part[codes]]


class Folding(NamedTuple):
    """Leave-groups-out: which fold of whole groups is the test; the next one is the validation set.

    Attributes:
        field: column of ``.inter``, ``.user`` or ``.item`` that tells a row's group.
        seed: of folds drawn at random; None for folds as equal in rows as whole groups allow.
    """

    field: str
    folds: int = 5
    fold: int = 0
    seed: int | None = None

    @classmethod
    def of(cls, split: Mapping[str, Any] | None) -> Folding | None:
        """That of ``eval_args.split``; None where rows are split in another way.

        Examples:
            >>> Folding.of({"LGO": "artist", "fold": 3})
            Folding(field='artist', folds=5, fold=3, seed=None)
        """
        if split is None or "LGO" not in split:
            return None
        return cls(split["LGO"], split.get("folds", 5), split.get("fold", 0), split.get("fold_seed"))


def fold_rows(groups: np.ndarray, folds: int, seed: int | None = None) -> np.ndarray:
    """The fold of each row; rows of one group share a fold.

    Without a seed by scikit-learn's ``GroupKFold``: the largest group first, each into the fold with the fewest rows.
    With one by its ``KFold`` over the shuffled groups, as many groups in each fold (``GroupKFold(shuffle=True)`` of its
    newer versions draws the same folds).

    Args:
        groups: (N,) the group of each row, of one type that can be ordered.

    Returns:
        (N,) int64, from 0 to ``folds`` - 1.

    Raises:
        DataError: there are fewer groups than folds.

    Examples:
        >>> fold_rows(np.array(["a", "b", "a", "c", "c", "c"]), folds=3).tolist()
        [1, 2, 1, 0, 0, 0]
    """
    from sklearn.model_selection import GroupKFold, KFold  # a second, which commands that never split do without

    names, member = np.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise DataError(f"expected at least {folds} groups for {folds} folds, found {len(names)}.")
    fold = np.empty(len(member), dtype=np.int64)
    if seed is None:
        for number, (_, rows) in enumerate(GroupKFold(folds).split(member, groups=member)):
            fold[rows] = number
        return fold
    of_group = np.empty(len(names), dtype=np.int64)
    for number, (_, chosen) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(names)):
        of_group[chosen] = number
    return of_group[member]


def leave_groups_out(groups: np.ndarray, folding: Folding) -> np.ndarray:
    """The part of each row: one fold for the test, the next for validation, all others for training.

    Args:
        groups: (N,) as of :func:`fold_rows`.

    Returns:
        (N,) object, of ``train``, ``valid`` and ``test``.

    Raises:
        DataError: there are fewer groups than folds.

    Examples:
        >>> leave_groups_out(np.array(["a", "b", "a", "c", "c", "c"]), Folding("artist", 3, 2)).tolist()
        ['train', 'test', 'train', 'valid', 'valid', 'valid']
    """
    fold = fold_rows(groups, folding.folds, folding.seed)
    part = np.full(len(fold), "train", dtype=object)
    part[fold == folding.fold] = "test"
    part[fold == (folding.fold + 1) % folding.folds] = "valid"
    return part
