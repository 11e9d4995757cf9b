"""RecBole's collector, with what our metrics need beside what RecBole's do, of the candidates alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from recbole.evaluator.collector import Collector, DataStruct

from recbole_decm.metrics.ranking import tie_order

_LISTS = ("rec.items", "rec.topk", "rec.positives", "rec.chances")


class MatchingCollector(Collector):
    """RecBole's collector that also keeps what our metrics need, and ranks equal scores in an order of the seed's.

    ``rec.positives``: for each positive, where it ranks and what it weighs. ``rec.chances``: for each positive, the
    chances of the tracks of its list without the uploaders' habits, and its weight and overlap by the choice model; NaN
    where the loader's rows are not weighed. ``rec.prior`` and
    ``data.genre_membership``: the preference of each list's uploader and the genres of the catalogue.

    A list is cut from its scores once. Where scores are equal, each video has a random order of its own, which is the
    same in every batch, process and epoch of a seed; by RecBole, tracks that come first in the catalogue would win.

    Attributes:
        kept: after :meth:`keep`, what the last evaluation collected, from which results of single videos come.
    """

    kept: DataStruct | None = None
    _keeps = False

    def __init__(self, config):
        super().__init__(config)
        self._lists = {name for name in _LISTS if self.register.need(name)}
        for name in self._lists:
            setattr(self.register, name, False)  # collected here

    def keep(self, *lists: str) -> None:
        """Collect ``rec.items`` or the like from now on, whether a metric needs it or not; keep each evaluation's."""
        self._lists.update(lists)
        self._keeps = True

    def get_data_struct(self):
        struct = super().get_data_struct()
        self.kept = struct if self._keeps else None
        return struct

    def start(self, loader) -> None:
        """Note the loader whose batches are about to come, for the tracks and weights of its rows."""
        self._loader, self._next_video = loader, loader.first_video
        if self.register.need("data.genre_membership"):
            self.data_struct.set("data.genre_membership", torch.from_numpy(loader.dataset.genre_membership))

    def eval_batch_collect(self, scores, interaction, positive_u, positive_i):
        """Take a batch in: (B, M) scores of the catalogue, or the scores of the candidates one after the other."""
        start, stop = self._next_video, self._next_video + int(positive_u[-1]) + 1
        self._next_video = stop
        videos = self._loader.users[start:stop]
        if self.register.need("rec.prior"):
            self.data_struct.update_tensor("rec.prior", self._loader.dataset.uploader_prior[torch.from_numpy(videos)])
        scores, tracks, positives = self._loader.table(scores, start, stop)
        super().eval_batch_collect(scores, interaction, positive_u, positives)
        if self._lists:
            equal = partial(tie_order, self.config["seed"])
            top = _best_columns(scores, max(self.topk), lambda rows: equal(videos[rows, None], tracks.numpy()[rows]))
            self._collect_lists(top.cpu(), tracks, positive_u, positives, start, stop)

    def _collect_lists(self, top, tracks, positive_u, positives, start, stop):
        hits = top[positive_u] == positives.unsqueeze(1)
        found = {
            "rec.items": lambda: tracks.gather(1, top),
            "rec.topk": lambda: torch.cat(
                [torch.zeros_like(top).index_add_(0, positive_u, hits.long()), positive_u.bincount().unsqueeze(1)],
                dim=1,
            ),
            "rec.positives": lambda: torch.cat(
                [hits.double(), self._loader.positive_weights(start, stop).unsqueeze(1)], dim=1
            ),
            "rec.chances": lambda: self._chances(tracks.gather(1, top)[positive_u].numpy(), start),
        }
        for name in self._lists:
            self.data_struct.update_tensor(name, found[name]())

    def _chances(self, listed, start):
        """(P, k + 2) float64 of the positives of a batch, whose lists are (P, k) ids."""
        known, first = self._loader.intervention, int(self._loader.positives.offsets[start])
        if known is None:
            return torch.full((len(listed), listed.shape[1] + 2), torch.nan, dtype=torch.float64)
        rows = slice(first, first + len(listed))
        chances = known.chances(first, np.maximum(listed - 1, 0)) * (listed > 0)
        return torch.from_numpy(np.column_stack([chances, known.weight[rows], known.overlap[rows]]))


def _best_columns(scores, k: int, tie_order: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    """Columns of the k highest scores of each row, best first: (B, C) -> (B, k) int64.

    Args:
        tie_order: the rows where scores are equal -> (rows, C) numbers by which these are ordered, highest first.
    """
    values, columns = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    columns = columns[:, :k]
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero().squeeze(1)
    if len(tied):
        own, last = scores[tied], values[tied, k - 1].unsqueeze(1)
        order = torch.from_numpy(tie_order(tied.cpu().numpy())).to(scores.device)
        chance = torch.where(own == last, order, torch.where(own > last, 2.0, -1.0))
        picked = chance.topk(k, dim=1).indices
        picked = picked.gather(1, order.gather(1, picked).argsort(dim=1, descending=True))
        columns[tied] = picked.gather(1, own.gather(1, picked).argsort(dim=1, descending=True, stable=True))
    return columns
