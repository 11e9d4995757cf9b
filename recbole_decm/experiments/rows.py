"""``results.csv``: a row for each cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recbole_decm.experiments.folder import read_cell
from recbole_decm.io.write import write_text

EMPTY: dict[str, Any] = {
    "metrics": {},
    "seconds": {},
    "peak_memory_mb": None,
    "epochs": None,
    "train_pairs": None,
    "versions": {},
    "genres": None,
    "popularity": None,
}
"""What ``cell.json`` of a failed cell has for results."""


def write_results(out: Path, keys: list[str]) -> None:
    """Write ``results.csv`` of the cells that have ended, in the order of ``keys``."""
    cells = [cell for key in keys if (cell := read_cell(out, key)) is not None]
    if cells:
        write_text(out / "results.csv", pd.DataFrame([row_of(cell) for cell in cells]).to_csv(index=False))


def row_of(cell: dict[str, Any]) -> dict[str, Any]:
    """The content of ``cell.json`` as one flat row."""
    row = {key: cell[key] for key in ("model", "class", "dataset", "seed", "status", "error")}
    metrics = cell["metrics"]
    for name in sorted(metrics, key=lambda name: (name == "valid", name)):
        row |= {f"{name}:{metric}": value for metric, value in metrics[name].items()}
    row |= {f"seconds:{stage}": value for stage, value in cell["seconds"].items()}
    row["seconds"] = sum(cell["seconds"].values()) if cell["seconds"] else None
    row |= {
        key: cell[key] for key in ("peak_memory_mb", "epochs", "train_pairs", "config_hash", "data_hash", "code_hash")
    }
    row |= {f"version:{name}": value for name, value in cell["versions"].items()}
    row |= {f"popularity:{name}": value for name, value in (cell["popularity"] or {}).items()}
    genres = cell["genres"] or {"names": [], "lists": []}
    row |= {f"genre_lists:{name}": share for name, share in zip(genres["names"], genres["lists"], strict=True)}
    return row | {f"factor:{name}": value for name, value in cell["factors"].items()}
