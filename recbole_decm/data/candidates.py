"""Candidate lists of sampled and fixed evaluation, and the id sets behind them, as flat arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.errors import DataError
from recbole_decm.io.atomic import PLAIN, Format, read_columns, read_header, require_fields, split_cells

_BLOCK_CELLS = 1_000_000


@dataclass(frozen=True)
class IdLists:
    """A list of ids for each of N rows, flat: row i holds ``ids[offsets[i]:offsets[i + 1]]``."""

    offsets: np.ndarray
    ids: np.ndarray

    @classmethod
    def group(cls, rows: np.ndarray, ids: np.ndarray, count: int) -> IdLists:
        """Group (row, id) pairs by row, keeping each pair once, ids ascending."""
        order = np.lexsort((ids, rows))
        rows, ids = rows[order], ids[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])
        rows, ids = rows[first], ids[first]
        return cls(np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))]), ids)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def counts(self) -> np.ndarray:
        """(N,) number of ids a row."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(row - start, id) pairs of rows start to stop."""
        low, high = self.offsets[start], self.offsets[stop]
        return np.repeat(np.arange(stop - start), np.diff(self.offsets[start : stop + 1])), self.ids[low:high]

    def places(self, start: int, stop: int) -> np.ndarray:
        """For each pair of :meth:`slice`, how many stand before it in its row."""
        counts = np.diff(self.offsets[start : stop + 1])
        return np.arange(counts.sum()) - np.repeat(self.offsets[start:stop] - self.offsets[start], counts)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """All (row, id) pairs."""
        return self.slice(0, len(self))


def draw_negatives(
    rng: np.random.Generator, excluded: IdLists, num_items: int, num_negatives: int, weights: np.ndarray | None = None
) -> IdLists:
    """Draw negatives without replacement for every row, by the Gumbel top-k method, in blocks of bounded memory.

    Args:
        rng: source of randomness; the same generator state gives the same candidates.
        excluded: ids (1-based) that a row must not draw: its positives and its history.
        num_items: ids are drawn from 1 to ``num_items``.
        num_negatives: ids to draw for each row.
        weights: (num_items,) positive weights of the ids, for draws by popularity; uniform without.

    Raises:
        DataError: a row has fewer than ``num_negatives`` ids left.
    """
    most = excluded.counts().max(initial=0)
    if num_items - most < num_negatives:
        raise DataError(
            f"eval_args.mode: expected at least {num_negatives} music to draw for each video, found {num_items - most} "
            f"({num_items} in the catalogue, up to {most} of them positives or history). Draw fewer, or use mode full."
        )
    log_weights = 0 if weights is None else np.log(weights)
    drawn = np.empty((len(excluded), num_negatives), dtype=np.int64)
    step = max(1, _BLOCK_CELLS // num_items)
    for start in range(0, len(excluded), step):
        stop = min(start + step, len(excluded))
        keys = rng.gumbel(size=(stop - start, num_items)) + log_weights
        rows, ids = excluded.slice(start, stop)
        keys[rows, ids - 1] = -np.inf
        drawn[start:stop] = np.argpartition(-keys, num_negatives - 1, axis=1)[:, :num_negatives] + 1
    drawn.sort(axis=1)
    return IdLists(np.arange(len(excluded) + 1) * num_negatives, drawn.reshape(-1))


def read_candidates(
    path: Path,
    video_field: str,
    music_field: str,
    videos: pd.Index,
    music: pd.Index,
    wanted: np.ndarray,
    positives: IdLists,
    form: Format = PLAIN,
) -> IdLists:
    """Read a ``.candidates`` file: the negatives each evaluated video is ranked against.

    Args:
        path: the file, ``video_field:token  music_field:token_seq``.
        videos, music: tokens by internal id (entry 0 is the padding).
        wanted: (N,) ids of the evaluated videos; the lists come back in this order.
        positives: (N) positives of these videos.
        form: how the tables of the data set are written.

    Raises:
        DataError: a video twice, unknown or without a list; an unknown or repeated music; a positive among them.
    """
    header = read_header(path, form)
    require_fields(path, header, {video_field: ["token"], music_field: ["token_seq"]})
    frame = read_columns(path, [video_field, music_field], form)
    video_ids = videos.get_indexer(frame[video_field].to_numpy())
    _refuse(path, video_ids < 1, lambda line: f"expected a video of the .user file, found '{frame[video_field][line]}'")
    repeated = pd.Series(video_ids).duplicated().to_numpy()
    _refuse(path, repeated, lambda line: f"expected one line a video, found '{frame[video_field][line]}' again")
    line_of_video = np.full(len(videos), -1)
    line_of_video[video_ids] = np.arange(len(frame))
    lines = line_of_video[wanted]
    if (lines < 0).any():
        token = videos[wanted[np.flatnonzero(lines < 0)[0]]]
        raise DataError(f"{path}: expected a line for every evaluated video, found none for '{token}'.")

    cells = split_cells(frame[music_field], "token_seq", form.seq_separator)
    counts = np.fromiter(map(len, cells), np.int64, len(cells))
    line_of_cell = np.repeat(np.arange(len(cells)), counts)
    tokens = np.array([token for cell in cells for token in cell], dtype=object)
    ids = music.get_indexer(tokens) if len(tokens) else np.zeros(0, dtype=np.int64)
    _refuse(path, ids < 1, lambda cell: f"expected music of the .item file, found '{tokens[cell]}'", line_of_cell)
    _refuse(path, counts == 0, lambda line: "expected at least one music, found none")
    twice = pd.Series(line_of_cell * (len(music) + 1) + ids).duplicated().to_numpy()
    _refuse(path, twice, lambda cell: f"expected each music once, found '{tokens[cell]}' again", line_of_cell)

    lists = IdLists.group(line_of_cell, ids, len(cells))
    rows = np.repeat(np.arange(len(wanted)), counts[lines])
    starts = np.repeat(lists.offsets[lines], counts[lines])
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts[lines]) - counts[lines], counts[lines])
    picked = IdLists.group(rows, lists.ids[starts + within], len(wanted))
    _refuse_positives(path, picked, positives, lines, music)
    return picked


def _refuse(path: Path, bad: np.ndarray, what: Callable[[int], str], line_of: np.ndarray | None = None) -> None:
    hits = np.flatnonzero(bad)
    if hits.size:
        line = hits[0] if line_of is None else line_of[hits[0]]
        raise DataError(f"{path}, line {line + 2}: {what(hits[0])}.")


def _refuse_positives(path: Path, negatives: IdLists, positives: IdLists, lines: np.ndarray, music: pd.Index) -> None:
    base = len(music) + 1
    neg_rows, neg_ids = negatives.pairs()
    pos_rows, pos_ids = positives.pairs()
    shared = np.intersect1d(neg_rows * base + neg_ids, pos_rows * base + pos_ids)
    if shared.size:
        row, item = divmod(int(shared[0]), base)
        raise DataError(
            f"{path}, line {lines[row] + 2}: expected negatives only, found '{music[item]}', the music of this video. "
            "Leave the positive out: it is added from the .inter file."
        )
