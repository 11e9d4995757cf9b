"""Further test sets beside the splits, such as the simulator's choices under intervention (``NAME.do.inter``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.errors import DataError
from recbole_decm.io import atomic


def read_extra_test(dataset: DecCMDataset, name: str, among: np.ndarray | None = None) -> DecCMDataset:
    """The rows of ``<dataset>.<name>.inter`` in the ids of a data set, whose other attributes it shares.

    Args:
        among: ids of videos, to leave out the rows of all others; None takes every row.
    """
    path = Path(dataset.dataset_path) / f"{dataset.dataset_name}.{name}.inter"
    if not path.is_file():
        raise DataError(f"{path}: expected the test set '{name}' of extra_tests, found no file.")
    form = atomic.Format.of(dataset.config)
    header = atomic.read_header(path, form)
    dataset.check_header(path, header, FeatureSource.INTERACTION)
    ids = (dataset.uid_field, dataset.iid_field)
    weighted = [dataset.ipw_field] if dataset.ipw_field in header else []
    cells = atomic.read_columns(path, [*ids, *weighted], form)
    if cells.empty:
        raise DataError(f"{path}: expected at least one line below the header, found none.")
    columns = {field: _ids(path, cells[field], dataset.field2id_token[field]) for field in ids}
    for field in weighted:
        columns[field] = torch.from_numpy(atomic.parse_floats(path, field, cells[field].to_numpy()))
    rows = Interaction(columns)
    if among is not None:
        rows = rows[np.isin(columns[dataset.uid_field].numpy(), among)]
        if not len(rows):
            raise DataError(
                f"{path}: expected rows of videos that the fold tests, found none. Leave '{name}' out of extra_tests."
            )
    return dataset.copy(rows)


def _ids(path: Path, tokens: pd.Series, known: np.ndarray) -> torch.Tensor:
    ids = pd.Index(known).get_indexer(tokens.to_numpy())
    unknown = np.flatnonzero(ids < 1)
    if unknown.size:
        line, token = unknown[0] + 2, tokens.iloc[unknown[0]]
        raise DataError(f"{path}, line {line}: expected a '{tokens.name}' of the data set, found '{token}'.")
    return torch.from_numpy(ids.astype(np.int64))
