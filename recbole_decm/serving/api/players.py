"""A folder with the files of tracks and of some videos, for the page: nothing but what was found in it at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from recbole_decm.errors import ConfigError, DataError

TYPES = {
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg", ".opus": "audio/ogg",
    ".flac": "audio/flac", ".wav": "audio/wav", ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
    ".webm": "video/webm", ".mkv": "video/x-matroska",
}  # fmt: skip
"""Endings of the files that are found, and what a browser is told of them."""
MOST_VIDEOS = 10
MOST_HISTORY = 200


@dataclass(frozen=True)
class Demo:
    """A video to try: its file, and the tracks that its uploader has used before, if that is known."""

    name: str
    path: Path
    history: tuple[str, ...] = ()


@dataclass(frozen=True)
class Players:
    """Files by the id of their track, and videos by name."""

    tracks: dict[str, Path] = field(default_factory=dict)
    videos: dict[str, Demo] = field(default_factory=dict)


def open_players(folder: Path) -> Players:
    """What there is to play in a folder.

    A file in it, or in ``music/``, whose name without ending is a track's id belongs to that track. Videos are those of
    ``videos/``. With a ``pairs.csv`` as of ``simulate --media`` or for ``extract``, videos whose ``split`` is ``test``
    are taken, each with the tracks of its ``uploader_id`` in ``train``.

    Raises:
        ConfigError: no such folder. DataError: a ``pairs.csv`` that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"--media: expected a folder, found none: {folder}.")
    tracks = _files(folder) | _files(folder / "music")
    videos = _files(folder / "videos")
    pairs = _read_pairs(folder / "pairs.csv")
    return Players(tracks, _demos(videos, pairs))


def _files(folder: Path) -> dict[str, Path]:
    """Regular files of known kinds by name without ending; links are not followed."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
    return {path.stem: path.resolve() for path in sorted(found) if path.suffix.lower() in TYPES}


def _read_pairs(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a table of pairs, but {' '.join(str(error).split())[:200]}.") from error
    wanted = {"video", "music", "split"}
    return table if wanted <= set(table.columns) else None


def _demos(videos: dict[str, Path], pairs: pd.DataFrame | None) -> dict[str, Demo]:
    if pairs is None:
        return {name: Demo(name, path) for name, path in list(videos.items())[:MOST_VIDEOS]}
    stems = {column: pairs[column].map(lambda name: Path(name).stem) for column in ("video", "music")}
    table = pairs.assign(video=stems["video"], music=stems["music"])
    test = table[(table["split"] == "test") & table["video"].isin(list(videos))].drop_duplicates("video")
    train = table[table["split"] == "train"]
    if "uploader_id" not in table:
        return {name: Demo(name, videos[name]) for name in test["video"].head(MOST_VIDEOS)}
    known = train.groupby("uploader_id")["music"].agg(list)
    rank = test["uploader_id"].map(known.map(len)).fillna(0)
    found = {}
    for name, uploader in (
        test.loc[rank.sort_values(ascending=False, kind="stable").index]
        .head(MOST_VIDEOS)[["video", "uploader_id"]]
        .itertuples(index=False)
    ):
        found[name] = Demo(name, videos[name], tuple(known.get(uploader, [])[:MOST_HISTORY]))
    return found
