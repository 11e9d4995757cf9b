"""The tracks of a data set alone, for serving: neither interactions nor videos are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_decm.data import priors
from recbole_decm.data.features import FeatureMatrix, Features, joined, open_npy, require_one_of
from recbole_decm.data.inputs import feature_fields
from recbole_decm.errors import DataError
from recbole_decm.io import atomic
from recbole_decm.io.digest import new_digest

_DIGEST_ROWS = 65_536


@dataclass(frozen=True)
class Catalogue:
    """The tracks of a data set, in the order of its ``.item`` file.

    Attributes:
        tokens: (M,) str, what the tracks are called in the files; row j has the internal id j + 1.
        acoustic: features by internal id.
        genres: (M + 1, K) float32 by internal id, or None where the model does not read them.
    """

    tokens: np.ndarray
    acoustic: Features
    genres: np.ndarray | None

    def digest(self) -> str:
        """A key made of the ids, features and genres, to tell another catalogue by."""
        found = new_digest("\n".join(self.tokens).encode())
        for ids in torch.arange(1, len(self.acoustic)).split(_DIGEST_ROWS):
            found.update(self.acoustic.lookup(ids).cpu().numpy().tobytes())
        if self.genres is not None:
            found.update(np.ascontiguousarray(self.genres).tobytes())
        return found.hexdigest()


def read_catalogue(config: Any, with_genres: bool) -> Catalogue:
    """Read the ``.item`` file of a config's data set, and its acoustic features, memory-mapped where they are ``.npy``.

    Raises:
        DataError: a file or field is missing or malformed.
    """
    folder, name = Path(config["data_path"]), config["dataset"]
    path = folder / f"{name}.item"
    music, fields, genre = config["ITEM_ID_FIELD"], feature_fields(config)[1], config["GENRE_FIELD"]
    form = atomic.Format.of(config)
    files = {field: name for field, name in (config["feature_files"] or {}).items() if field in fields}
    expected = {music: ["token"]} | {field: ["float_seq"] for field in fields if field not in files}
    expected |= {genre: ["token_seq", "token"]} if with_genres else {}
    header = atomic.read_header(path, form)
    atomic.require_fields(path, header, expected)
    cells = atomic.read_columns(path, list(expected), form)
    tokens = cells[music].to_numpy()
    _check_tokens(path, music, tokens)
    values = {}
    for field in fields:
        if field in files:
            values[field], _ = open_npy(folder / files[field], field, len(tokens), path, len(fields) > 1)
        else:
            values[field] = torch.from_numpy(atomic.parse_matrix(path, field, cells[field], form.seq_separator))
    if len(fields) > 1:
        require_one_of(path, values)
    rows = torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(len(tokens))])
    genres = None
    if with_genres:
        groups = [[], *atomic.split_cells(cells[genre], header[genre], form.seq_separator)]
        names = priors.known_genres(priors.genre_vocabulary(groups), config.genres, path)
        genres = priors.genre_membership(groups, names)
    return Catalogue(tokens, joined({field: FeatureMatrix(field, values[field], rows) for field in fields}), genres)


def _check_tokens(path: Path, field: str, tokens: np.ndarray) -> None:
    if not len(tokens):
        raise DataError(f"{path}: expected at least one line below the header, found none.")
    first = np.unique(tokens.astype(str), return_index=True)[1]
    if len(first) < len(tokens):
        again = np.setdiff1d(np.arange(len(tokens)), first)[0]
        raise DataError(f"{path}, line {again + 2}: expected each '{field}' once, found '{tokens[again]}' again.")
