"""Tables of real uploads, read for a simulation around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.importers import tables
from recbole_decm.data.priors import genre_membership, genre_vocabulary
from recbole_decm.errors import DataError
from recbole_decm.simulation.table import UploadTable


def read_uploads(path: Path, genre_separator: str | None = None) -> UploadTable:
    """A CSV or Parquet table with ``uploader_id``, ``music_id`` and ``genre``, a row for each upload.

    A track's genres are those of all its rows. Names keep their text; white space within a genre becomes ``_``, since
    atomic files separate genres by it.

    Args:
        genre_separator: between the genres of a CSV's cell; white space by default.

    Raises:
        DataError: no such file or column, an empty name, a track without a genre, too few rows or tracks.
    """
    frame, place = tables.read_table(path, {}), str(path)
    lacking = [name for name in ("uploader_id", "music_id", "genre") if name not in frame]
    if lacking:
        raise DataError(
            f"{place}: expected the columns uploader_id, music_id and genre, found no {' and no '.join(lacking)} among "
            f"{', '.join(map(str, frame.columns))}."
        )
    uploaders, uploader = np.unique(tables.texts(frame, "uploader_id", place), return_inverse=True)
    tracks, music = np.unique(tables.texts(frame, "music_id", place), return_inverse=True)
    cells = tables.genres(frame["genre"], genre_separator)
    pairs = pd.DataFrame({"music": music, "genre": cells}).explode("genre").dropna().drop_duplicates()
    pairs["genre"] = pairs["genre"].str.replace(" ", "_")
    of_track: list[list[str]] = [[] for _ in tracks]
    for track, names in pairs.groupby("music")["genre"]:
        of_track[int(str(track))] = list(dict.fromkeys(names))
    vocabulary = genre_vocabulary(of_track)
    membership = genre_membership(of_track, vocabulary)
    table = UploadTable(uploader, music, membership, uploaders, tracks, np.array(vocabulary, dtype=object))
    return table.check(place)
