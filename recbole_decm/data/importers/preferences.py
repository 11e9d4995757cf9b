"""Uploaders' preferences that were measured outside the choices: a table beside the pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.importers.collection import Collection
from recbole_decm.data.importers.tables import USUAL, read_table
from recbole_decm.data.priors import genre_vocabulary
from recbole_decm.errors import DataError, suggest

_COLUMNS = ("uploader_id", "genre", "share")


def with_preferences(data: Collection, path: Path) -> Collection:
    """A data set whose uploaders have the preferences of a table: ``uploader_id``, ``genre``, ``share``.

    Shares of an uploader are scaled to sum 1; a genre without a line has 0. An uploader without lines, and an unknown
    one, has the mean of the table's uploaders.

    Args:
        path: CSV or Parquet.

    Raises:
        DataError: a column is missing, a share is no number or below 0, an uploader's shares sum to 0, an uploader and
            genre come twice, a genre that no track has, or pairs without uploaders or genres.
    """
    if data.uploaders is None or data.genres is None:
        missing = "uploader_id" if data.uploaders is None else "genre"
        raise DataError(f"{path}: expected pairs with '{missing}' that preferences can belong to, found none.")
    table = read_table(path, {}, USUAL | {"share": ("share", "preference", "weight")})
    for column in _COLUMNS:
        if column not in table:
            raise DataError(f"{path}: expected the columns {', '.join(_COLUMNS)}, found no '{column}'.")
    share = pd.to_numeric(table["share"], errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(share) | (share < 0))
    if bad.size:
        raise DataError(
            f"{path}: expected shares of 0 and more, found {table['share'].iloc[bad[0]]!r} (row {bad[0] + 1})."
        )
    vocabulary = genre_vocabulary(data.genres)
    unknown = sorted(set(table["genre"]) - set(vocabulary))
    if unknown:
        raise DataError(
            f"{path}: expected genres of the tracks, found '{unknown[0]}'.{suggest(str(unknown[0]), vocabulary)}"
        )
    twice = table.duplicated(["uploader_id", "genre"]).to_numpy()
    if twice.any():
        uploader, genre = table.loc[twice, ["uploader_id", "genre"]].iloc[0]
        raise DataError(f"{path}: expected a line for each uploader and genre, found '{uploader}', '{genre}' twice.")
    shares = table.assign(share=share).pivot(index="uploader_id", columns="genre", values="share")
    shares = shares.reindex(columns=vocabulary).fillna(0.0)
    sums = shares.sum(axis=1)
    if (sums == 0).any():
        raise DataError(f"{path}: expected a share above 0 for each uploader, found none of '{sums.idxmin()}'.")
    shares = shares.div(sums, axis=0)
    known = pd.Series(data.uploaders).isin(shares.index).to_numpy()
    rows = shares.reindex(data.uploaders).to_numpy(copy=True)
    rows[~known] = shares.mean().to_numpy()
    return replace(data, preferences=rows.astype(np.float32))
