"""Which rows are for training, validation and test: at random, or whole groups at a time."""

from __future__ import annotations

from collections.abc import Sequence

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
