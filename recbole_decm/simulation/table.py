"""A table of real uploads, as arrays: who uploaded with which track, and the tracks' genres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recbole_decm.errors import ConfigError, DataError


@dataclass(frozen=True)
class UploadTable:
    """Uploads, a row each; uploaders, tracks and genres by number, and what they are called.

    Attributes:
        uploader: (V,) int64; music: (V,) int64.
        membership: (M, K) float, the share of each genre in a track; rows sum to 1.
        uploaders, tracks, genres: the names (U,), (M,) and (K,) of object.
    """

    uploader: np.ndarray
    music: np.ndarray
    membership: np.ndarray
    uploaders: np.ndarray
    tracks: np.ndarray
    genres: np.ndarray

    def check(self, place: str) -> UploadTable:
        """The table itself.

        Args:
            place: of the table, for messages.

        Raises:
            DataError: a track without a genre, or too few rows, tracks or genres to simulate from.
        """
        without = np.flatnonzero(self.membership.sum(axis=1) == 0)
        if without.size:
            raise DataError(
                f"{place}: expected a genre in some row of every track, found none for '{self.tracks[without[0]]}'. "
                "Give it one (such as 'unknown'), or leave its rows out."
            )
        for count, least, what in ((len(self.uploader), 10, "uploads"), (len(self.tracks), 2, "tracks")):
            if count < least:
                raise DataError(f"{place}: expected at least {least} {what}, found {count}.")
        if len(self.tracks) < len(self.genres):
            raise DataError(
                f"{place}: expected at least as many tracks as genres, found {len(self.tracks)} tracks of "
                f"{len(self.genres)} genres."
            )
        return self

    def shuffled(self, rng: np.random.Generator) -> UploadTable:
        """The same rows in a random order, so that any part of them is a random one."""
        order = rng.permutation(len(self.uploader))
        return UploadTable(
            self.uploader[order], self.music[order], self.membership, self.uploaders, self.tracks, self.genres
        )

    def plays(self) -> np.ndarray:
        """(M,) uploads with each track."""
        return np.bincount(self.music, minlength=len(self.tracks))

    def genre_counts(self) -> np.ndarray:
        """(U, K) uploads of each uploader by genre; one with a track of two genres is half an upload of each."""
        shares = self.membership[self.music]
        columns = [np.bincount(self.uploader, column, minlength=len(self.uploaders)) for column in shares.T]
        return np.stack(columns, axis=1)


FROM_TABLE = {
    "videos": "its rows are the videos",
    "music": "it names the tracks",
    "uploaders": "it names the uploaders",
    "genre_shares": "it tells the tracks' genres",
    "preference": "preferences are those of its uploaders",
    "popularity": "its tracks are as popular as they are",
}
"""Options of a simulation that a table of uploads has the say for, and why."""


def refuse_beside_table(given: Mapping[str, object]) -> None:
    """Refuse the options that a table has the say for.

    Args:
        given: options by name; None counts as not given.

    Raises:
        ConfigError: one is given.
    """
    for name, why in FROM_TABLE.items():
        if given.get(name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: expected none beside a table of uploads: {why}.")
