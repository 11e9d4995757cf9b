"""An artefact as it is used: vectors of videos and tracks, priors, and the parts of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.digest import of_content
from recbole_decm.serving.artefact.files import (
    mapped,
    read_at_most,
    regular,
    require_matrix,
    require_size,
    require_whole,
)
from recbole_decm.serving.artefact.manifest import (
    FILE,
    GENRES,
    PRIOR,
    QUERY,
    TABLE,
    TRACK,
    VECTORS,
    Manifest,
    parse_manifest,
    read_manifest,
)
from recbole_decm.serving.artefact.sides import LARGEST, Side
from recbole_decm.serving.artefact.table import ID, Table
from recbole_decm.serving.artefact.tracks import Tracks


def open_artefact(folder: Path | str) -> Artefact:
    """Open a folder that ``recbole-decm export`` wrote; its files are compared with their digests.

    Features of tracks, which answers do not need, are compared when they are first read.

    Raises:
        DataError: no artefact, damaged, of a newer version, or a file that an artefact must not hold.
        ConfigError: a package is missing.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    contents = {name: _encoder(folder, manifest, name) for name in (QUERY, TRACK)}
    _require_matrix(folder, manifest, VECTORS, manifest.dim)
    _require_whole(folder, manifest, TABLE)
    return Artefact(folder, manifest, {FILE: (folder / FILE).read_bytes(), **contents}, True)


def open_encoders(files: Mapping[str, bytes], name: str) -> Artefact:
    """What :meth:`Artefact.encoder_files` gave, as an artefact without tracks.

    Args:
        name: for messages.

    Raises:
        DataError: a file is missing or damaged, or one that an artefact must not hold.
    """
    if missing := [file for file in (FILE, QUERY, TRACK) if file not in files]:
        raise DataError(f"{name}: expected the file {missing[0]}, found none.")
    manifest = parse_manifest(Path(name), files[FILE])
    for file in (QUERY, TRACK):
        if manifest.files.get(file) != of_content(file, files[file]):
            raise DataError(f"{name}, {file}: expected what was written, found other bytes: damaged.")
    return Artefact(Path(name), manifest, files, False)


class Artefact:
    """An open artefact. Several threads may use it.

    Attributes:
        folder: where it is; of one without tracks the name of its version.
        manifest: what it is.
    """

    def __init__(self, folder: Path, manifest: Manifest, contents: Mapping[str, bytes], has_tracks: bool):
        self.folder, self.manifest, self._contents, self._has_tracks = folder, manifest, dict(contents), has_tracks
        video = [*manifest.video_fields, *([PRIOR] if manifest.takes_priors else [])]
        track = [*manifest.track_fields, *([GENRES] if manifest.reads_genres else [])]
        self._query = Side(folder / QUERY, contents[QUERY], video)
        self._track = Side(folder / TRACK, contents[TRACK], track)

    @property
    def dim(self) -> int:
        """E of a vector."""
        return self.manifest.dim

    def encoder_files(self) -> dict[str, bytes]:
        """The files that :func:`open_encoders` takes, by name."""
        return dict(self._contents)

    # --- tracks -----------------------------------------------------------------------------------------------------
    @cached_property
    def ids(self) -> np.ndarray:
        """(M,) str."""
        names = self._table.column(ID)
        if not all(isinstance(name, str) for name in names):
            raise DataError(f"{self.folder / TABLE}, {ID}: expected texts, found others.")
        return np.array(names, dtype=object)

    @cached_property
    def vectors(self) -> np.ndarray:
        """(M, E) float32, mapped."""
        if not self._has_tracks:
            return np.empty((0, self.dim), np.float32)
        return mapped(self.folder / VECTORS, (self.manifest.tracks, self.dim))

    @cached_property
    def metadata(self) -> Any:
        """The tracks' metadata, a pandas DataFrame of M rows."""
        import pandas as pd

        if not self._has_tracks:
            return pd.DataFrame()
        columns = {name: self._table.column(name) for name in self._table.names if name != ID}
        return pd.DataFrame(columns, index=range(self.manifest.tracks))

    @cached_property
    def tracks(self) -> Tracks:
        """The tracks with their features, which are compared with their digests now."""
        if not self._has_tracks:
            nothing = {name: np.empty((0, width), np.float32) for name, width in self.manifest.track_fields.items()}
            return Tracks(np.array([], dtype=object), nothing, self.metadata)
        features = {}
        for name, width in self.manifest.track_fields.items():
            path = _require_matrix(self.folder, self.manifest, feature_file(name), width)
            features[name] = mapped(path, (self.manifest.tracks, width))
        return Tracks(self.ids, features, self.metadata)

    @cached_property
    def _table(self) -> Table:
        if not self._has_tracks:
            raise ConfigError(f"{self.folder}: expected an artefact that was opened with its tracks.")
        return Table(self.folder / TABLE, self.manifest.tracks)

    # --- vectors ----------------------------------------------------------------------------------------------------
    def query_vectors(self, features: Mapping[str, Any], priors: np.ndarray | None = None) -> np.ndarray:
        """(B, E) float32 of videos, whose products with :attr:`vectors` rank the tracks.

        Args:
            features: field -> (B, F) floats; of several fields a row of NaN where one is missing.
            priors: (B, K) P(k) that each is ranked under, as of :meth:`priors`; None for the model's own.

        Raises:
            DataError: other fields or shapes, or numbers that are not finite.
            ConfigError: the model ranks under each uploader's own prior, and none is given.
        """
        inputs = _inputs(features, self.manifest.video_fields, "video")
        if self.manifest.takes_priors:
            given = self.priors(None, len(inputs[0])) if priors is None else np.asarray(priors, np.float32)
            if given.shape != (len(inputs[0]), len(self.manifest.genres)):
                expected = (len(inputs[0]), len(self.manifest.genres))
                raise DataError(f"priors: expected the shape {expected}, found {given.shape}.")
            inputs.append(given)
        return self._query(*inputs)

    def track_vectors(self, features: Mapping[str, Any], genres: Sequence[Sequence[str]]) -> np.ndarray:
        """(N, E) float32 of tracks.

        Args:
            features: field -> (N, F) floats; of several fields a row of NaN where one is missing.
            genres: the names of each track's genres; those that the model does not know count nothing.

        Raises:
            DataError: other fields or shapes, or numbers that are not finite.
        """
        if not len(genres):
            return np.empty((0, self.dim), np.float32)
        inputs = _inputs(features, self.manifest.track_fields, "track")
        if self.manifest.reads_genres:
            inputs.append(self.membership(genres))
        return self._track(*inputs)

    def membership(self, genres: Sequence[Sequence[str]]) -> np.ndarray:
        """(N, K) float32 share of each genre in each track; a row of zeros where none is known."""
        column = {name: at for at, name in enumerate(self.manifest.genres)}
        found = np.zeros((len(genres), len(column)), np.float32)
        for row, names in enumerate(genres):
            for name in names:
                if (at := column.get(name)) is not None:
                    found[row, at] = 1
        return found / np.maximum(found.sum(axis=1, keepdims=True), 1)

    # --- priors -----------------------------------------------------------------------------------------------------
    def priors(self, choice: Any, count: int) -> np.ndarray:
        """P(k) to rank ``count`` videos under, (count, K) float32.

        Args:
            choice: ``neutral`` (every genre alike), ``mean`` (of the training uploaders), a mapping of genres to
                probabilities, of which a genre without one has 0, or a (count, K) matrix; None for what the model ranks
                under by itself.

        Raises:
            ConfigError: the model knows no genres, or this choice; probabilities that do not sum to 1.
        """
        manifest = self.manifest
        if not manifest.genres:
            raise ConfigError(f"prior: expected none, since {manifest.model} as trained here has no genre prior.")
        size = len(manifest.genres)
        if choice is None:
            choice = manifest.inference_prior
            if manifest.ranks_by_uploader:
                raise ConfigError(
                    "prior: expected the uploader's own, since the model ranks under it, or neutral, mean or "
                    "probabilities, found none."
                )
        if isinstance(choice, str):
            if choice in ("neutral", "uniform"):
                row = np.full(size, 1 / size)
            elif choice == "mean" and manifest.priors is not None:
                row = np.array(manifest.priors)
            else:
                raise ConfigError(f"prior: expected neutral, mean or probabilities by genre, found {choice!r}.")
        elif isinstance(choice, Mapping):
            unknown = [name for name in choice if name not in manifest.genres]
            if unknown:
                raise ConfigError(f"prior: expected the genres {', '.join(manifest.genres)}, found {unknown[0]!r}.")
            row = np.array([float(choice.get(name, 0.0)) for name in manifest.genres])
        else:
            row = np.asarray(choice, np.float64)
        rows = np.broadcast_to(row, (count, size)) if row.shape in ((size,), (count, size)) else np.full((1, 1), np.nan)
        if not ((rows >= 0).all() and np.isfinite(rows).all() and (abs(rows.sum(axis=1) - 1) < 1e-3).all()):
            raise ConfigError(f"prior: expected {size} probabilities that sum to 1, found {choice!r:.120}.")
        return np.array(rows, np.float32)

    def history_prior(self, genres: Sequence[Sequence[str]]) -> np.ndarray:
        """(K,) float32 preference of an uploader, from the genres of the tracks that he chose, smoothed as in training.

        As of :func:`recbole_decm.data.priors.priors_from_training`.
        """
        counts = np.full(len(self.manifest.genres), self.manifest.smoothing) + self.membership(genres).sum(axis=0)
        return np.asarray(counts / counts.sum(), np.float32)

    # --- explanations -----------------------------------------------------------------------------------------------
    def parts(self, queries: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What a score is made of: (B, n) match and (B, n, K) adjustment by genre, which sum to it.

        Args:
            queries: (B, E), as of :meth:`query_vectors`; vectors: (n, E) of tracks.

        Returns:
            The whole score and None where there is no adjustment; None twice where the parts do not add up by genre.
        """
        if not self.manifest.additive:
            return (None, None) if self.manifest.genres else (queries @ vectors.T, None)
        size = self.manifest.match_dim
        return queries[:, :size] @ vectors[:, :size].T, queries[:, None, size:] * vectors[None, :, size:]


def feature_file(field: str) -> str:
    """The name of the file of a field of the tracks."""
    return f"features.{field}.npy"


def _inputs(features: Mapping[str, Any], fields: Mapping[str, int], what: str) -> list[np.ndarray]:
    """One matrix for each field, checked."""
    if not isinstance(features, Mapping) or features.keys() != fields.keys():
        found = ", ".join(map(str, features)) if isinstance(features, Mapping) else type(features).__name__
        raise DataError(f"features of a {what}: expected the fields {', '.join(fields)}, found {found or 'none'}.")
    found_fields: list[np.ndarray] = []
    nowhere: list[np.ndarray] = []
    for name, width in fields.items():
        try:
            with np.errstate(over="ignore"):  # infinite then, and refused as that
                values = np.asarray(features[name]).astype(np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} features: expected a matrix of numbers, but {str(error)[:200]}.") from error
        if values.ndim != 2 or not len(values) or values.shape[1] != width:
            raise DataError(f"{name} features: expected at least one row of {width} numbers, found {values.shape}.")
        gone = np.asarray(np.isnan(values).all(axis=1)) if len(fields) > 1 else np.zeros(len(values), bool)
        if not np.isfinite(values[~gone]).all():
            row = int(np.flatnonzero(~gone)[~np.isfinite(values[~gone]).all(axis=1)][0])
            raise DataError(f"{name} features: expected finite numbers, found others in row {row}.")
        nowhere.append(gone)
        found_fields.append(values)
    if len({len(values) for values in found_fields}) > 1:
        raise DataError(f"features of a {what}: expected as many rows of each field.")
    if (missing := np.logical_and.reduce(nowhere)).any():
        raise DataError(
            f"features of a {what}: expected at least one of {', '.join(fields)} in row "
            f"{int(np.flatnonzero(missing)[0])}, found none."
        )
    return found_fields


def _encoder(folder: Path, manifest: Manifest, name: str) -> bytes:
    """The content of a file that is what was written."""
    require_size(regular(folder, name), LARGEST)
    return read_at_most(_require_whole(folder, manifest, name), LARGEST)


def _require_matrix(folder: Path, manifest: Manifest, name: str, width: int) -> Path:
    require_matrix(regular(folder, name), (manifest.tracks, width))
    return _require_whole(folder, manifest, name)


def _require_whole(folder: Path, manifest: Manifest, name: str) -> Path:
    if name not in manifest.files:
        raise DataError(f"{folder / FILE}: expected the digest of {name}, found none.")
    require_whole(path := regular(folder, name), manifest.files[name])
    return path
