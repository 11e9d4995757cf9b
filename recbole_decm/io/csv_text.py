"""CSV that a spreadsheet opens without running what a label says.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula. Such a label is written with an
apostrophe before it; :func:`label_of` takes it away again. Numbers stay as they are, also where they are labels.
"""

from __future__ import annotations

import csv
import re
from typing import Any

import numpy as np
import pandas as pd

_FORMULA = re.compile(r"'*(?![+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z)[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def cell_of(label: Any) -> Any:
    """What stands in the file for a label.

    Examples:
        >>> [cell_of(label) for label in ("=1+1", "-a", "-5", "a=b", 7)]
        ["'=1+1", "'-a", '-5', 'a=b', 7]
    """
    return f"'{label}" if isinstance(label, str) and _FORMULA.match(label) else label


def label_of(cell: Any) -> Any:
    """The label that a cell stands for: the inverse of :func:`cell_of`."""
    quoted = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell[1:])
    return cell[1:] if quoted else cell


def csv_text(frame: pd.DataFrame, header: bool = True, float_format: str | None = None) -> str:
    """A table as CSV with Unix line ends, its names and labels as :func:`cell_of` gives them."""
    cells, quoting = frame.rename(columns=cell_of), csv.QUOTE_MINIMAL
    for place, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            column = frame.iloc[:, place].to_numpy(dtype=object)
            codes, labels = pd.factorize(column, use_na_sentinel=False)
            if any(isinstance(label, str) and "\r" in label for label in labels):
                quoting = csv.QUOTE_ALL  # Python's writer leaves a line end of another system without quotes
            changed = np.array([cell_of(label) is not label for label in labels], dtype=bool)
            if changed.any():
                cells.isetitem(place, np.where(changed[codes], [cell_of(label) for label in labels[codes]], column))
    return cells.to_csv(index=False, header=header, float_format=float_format, lineterminator="\n", quoting=quoting)
