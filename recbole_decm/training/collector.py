"""RecBole's collector, with what our metrics need beside what RecBole's do."""

from __future__ import annotations

import torch
from recbole.evaluator.collector import Collector, DataStruct


class MatchingCollector(Collector):
    """RecBole's collector that also keeps what our metrics need.

    ``rec.positives``: for each positive, where it ranks and what it weighs. ``rec.prior`` and
    ``data.genre_membership``: the preference of each list's uploader and the genres of the catalogue.

    Attributes:
        kept: after :meth:`keep`, what the last evaluation collected, from which results of single videos come.
    """

    kept: DataStruct | None = None
    _keeps = False

    def keep(self, *resources: str) -> None:
        """Collect these resources from now on, whether a metric needs them or not, and keep each evaluation's."""
        for resource in resources:
            setattr(self.register, resource, True)
        self._keeps = True

    def get_data_struct(self):
        struct = super().get_data_struct()
        self.kept = struct if self._keeps else None
        return struct

    def start(self, loader) -> None:
        """Note the loader whose batches are about to come, for the weights of its rows."""
        self._loader, self._next_video = loader, loader.first_video
        if self.register.need("data.genre_membership"):
            self.data_struct.set("data.genre_membership", torch.from_numpy(loader.dataset.genre_membership))

    def eval_batch_collect(self, scores_tensor, interaction, positive_u, positive_i):
        super().eval_batch_collect(scores_tensor, interaction, positive_u, positive_i)
        start, stop = self._next_video, self._next_video + len(scores_tensor)
        self._next_video = stop
        if self.register.need("rec.prior"):
            videos = torch.from_numpy(self._loader.users[start:stop])
            self.data_struct.update_tensor("rec.prior", self._loader.dataset.uploader_prior[videos])
        if self.register.need("rec.positives"):
            self._collect_positives(scores_tensor, positive_u, positive_i, self._loader.positive_weights(start, stop))

    def _collect_positives(self, scores_tensor, positive_u, positive_i, weights):
        top = torch.topk(scores_tensor, max(self.topk), dim=-1).indices.cpu()
        hits = top[positive_u.cpu()] == positive_i.cpu().unsqueeze(1)
        self.data_struct.update_tensor("rec.positives", torch.cat([hits.double(), weights.unsqueeze(1)], dim=1))
