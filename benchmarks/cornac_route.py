"""Cornac's own REST serving, of a BPR model: known users by their ids, which is what it can do.

CORNAC_PYTHON benchmarks/cornac_route.py TRACKS DIM PORT FOLDER, by a Python that has cornac and flask.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from cornac.data import Dataset
from cornac.models import BPR

USERS = 1000


def model_in(folder: Path, tracks: int, dim: int) -> Path:
    """The folder of a model over ``tracks`` tracks, each chosen once; made where it is missing."""
    place = folder / f"cornac-{tracks}-{dim}"
    if not place.is_dir():
        pairs = [(f"u{track % USERS}", f"m{track}", 1.0) for track in range(tracks)]
        BPR(k=dim, max_iter=1, seed=1).fit(Dataset.from_uir(pairs, seed=1)).save(str(place))
    return place / "BPR"


if __name__ == "__main__":
    os.environ["MODEL_PATH"] = str(model_in(Path(sys.argv[4]), int(sys.argv[1]), int(sys.argv[2])))
    os.environ["MODEL_CLASS"] = "cornac.models.BPR"
    from cornac.serving.app import app  # reads them

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(port=int(sys.argv[3]))
