"""Batches for training and ranking, as whole tensors: no per-row Python, same candidates for every epoch and model.

The evaluation loaders speak RecBole's protocol (``interaction, history or row index, positive_u, positive_i``), so
RecBole's trainers and models use them unchanged. RecBole's own sampled evaluation draws new negatives, with
replacement, at every call.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from recbole.data.utils import _create_sampler, get_dataloader

from recbole_decm.data.balance import balanced_chances
from recbole_decm.data.candidates import IdLists, draw_negatives, read_candidates
from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.extra_tests import read_extra_test
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io.atomic import Format


class PairLoader:
    """Shuffled batches of matched (video, music) id pairs; negatives are the other tracks of the batch.

    Args:
        chances: (n,) of sum 1, how often each pair is drawn, with replacement; None takes every pair once an epoch.

    Attributes:
        generator: source of the shuffles; part of a checkpoint.
    """

    def __init__(self, config, dataset: DecCMDataset, shuffle: bool = True, chances: np.ndarray | None = None):
        self.dataset = self._dataset = dataset
        self.shuffle = shuffle
        self.step = config["train_batch_size"]
        if self.step < 2:
            raise ConfigError(f"train_batch_size: expected an integer of at least 2, found {self.step!r}.")
        self.fields = (dataset.uid_field, dataset.iid_field)
        self.pairs = torch.stack([dataset.inter_feat[field] for field in self.fields])
        self.ends = None if chances is None else np.cumsum(chances)
        self.generator = torch.Generator().manual_seed(config["seed"])
        self.sampler = SimpleNamespace(set_epoch=lambda epoch: None)

    def __len__(self) -> int:
        """Batches an epoch; a last batch of a single pair has no negatives and is left out."""
        full, rest = divmod(self.pairs.shape[1], self.step)
        return full + (rest > 1)

    def __iter__(self):
        order = self._order(self.pairs.shape[1])
        for batch in range(len(self)):
            videos, music = self.pairs[:, order[batch * self.step : (batch + 1) * self.step]]
            yield Interaction({self.fields[0]: videos, self.fields[1]: music})

    def _order(self, count: int) -> torch.Tensor:
        """(n,) which pair comes when."""
        if self.ends is not None:
            drawn = torch.rand(count, generator=self.generator, dtype=torch.float64).numpy() * self.ends[-1]
            return torch.from_numpy(np.searchsorted(self.ends, drawn, side="right"))
        return torch.randperm(count, generator=self.generator) if self.shuffle else torch.arange(count)


class RankingLoader:
    """What full and candidate evaluation share: the evaluated videos, their positives and their history."""

    step: int
    """Videos in a batch."""
    part: tuple[int, int] = (0, 1)
    """Which part of the batches this process ranks, and of how many parts; whole batches, so that scores are the same
    bits however many processes there are."""
    intervention: Any = None
    """What a choice model says of the positives, one row each (:mod:`recbole_decm.estimation.intervention`)."""

    def __init__(self, config, dataset: DecCMDataset, seen: list[DecCMDataset]):
        self.config = config
        self.dataset = self._dataset = dataset
        uid, iid = dataset.uid_field, dataset.iid_field
        self.uid_field, self.iid_field = uid, iid
        rows, items = dataset.inter_feat[uid].numpy(), dataset.inter_feat[iid].numpy()
        self.users, index = np.unique(rows, return_inverse=True)
        self.positives = IdLists.group(index, items, len(self.users))
        self.history = self._history(seen)
        self.user_features = dataset.join(Interaction({uid: torch.from_numpy(self.users)}))
        self.weights = self._row_weights(index, items)

    def _history(self, seen) -> IdLists:
        """Music that the evaluated videos have in earlier splits, without their positives; none where a track may be
        recommended again (``repeatable``)."""
        if not seen or self.config["repeatable"]:
            return IdLists(np.zeros(len(self.users) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        users = np.concatenate([split.inter_feat[self.uid_field].numpy() for split in seen])
        items = np.concatenate([split.inter_feat[self.iid_field].numpy() for split in seen])
        place = np.searchsorted(self.users, users).clip(max=len(self.users) - 1)
        known = self.users[place] == users
        rows, items = place[known], items[known]
        base = self.dataset.item_num
        own_rows, own_items = self.positives.pairs()
        earlier = ~np.isin(rows * base + items, own_rows * base + own_items)
        return IdLists.group(rows[earlier], items[earlier], len(self.users))

    def _row_weights(self, index, items) -> np.ndarray:
        """Inverse-popularity weight of each positive, in the order of ``positives``, not normalised."""
        field = self.dataset.ipw_field
        if field not in self.dataset.inter_feat:
            return 1.0 / np.maximum(self.dataset.popularity[self.positives.ids], 1)
        weight = self.dataset.inter_feat[field].double().numpy()
        if (weight < 0).any() or weight.sum() <= 0:
            raise DataError(
                f"{self.dataset.dataset_path}: expected '{field}' of at least 0 and not all 0 in every evaluated split."
            )
        code = index * self.dataset.item_num + items
        order = np.argsort(code, kind="stable")
        first = np.searchsorted(code[order], np.unique(code))
        return weight[order][first]

    def _batches(self) -> range:
        count, (part, parts) = math.ceil(len(self.users) / self.step), self.part
        return range(count * part // parts, count * (part + 1) // parts)

    def __len__(self) -> int:
        return len(self._batches())

    def __bool__(self) -> bool:
        return True  # with no batches of its own, too: the other processes wait for it

    @property
    def first_video(self) -> int:
        """Index of the first video that this process ranks."""
        return self._batches().start * self.step

    def _spans(self):
        for batch in self._batches():
            yield batch * self.step, min((batch + 1) * self.step, len(self.users))

    def _positives(self, start, stop):
        users, items = self.positives.slice(start, stop)
        return torch.from_numpy(users), torch.from_numpy(items)

    def table(self, scores: torch.Tensor, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The scores of videos start to stop, one row a video.

        Args:
            scores: of what this loader yields, as a model scores it.

        Returns:
            (B, C) scores, -inf where a video has no candidate; (B, C) int64 tracks of the columns; (P,) columns of the
            positives.
        """
        raise NotImplementedError

    def positive_weights(self, start: int, stop: int) -> torch.Tensor:
        """(P,) float64 weights of the positives of videos start to stop."""
        low, high = self.positives.offsets[[start, stop]]
        return torch.from_numpy(self.weights[low:high])


class FullRankingLoader(RankingLoader, FullSortEvalDataLoader):
    """Every video against the whole catalogue; batches of ``eval_batch_size`` video x music scores.

    A subclass of RecBole's loader in name only (its trainer asks for the type): nothing of it runs.
    """

    def __init__(self, config, dataset, seen):
        RankingLoader.__init__(self, config, dataset, seen)
        self.step = max(1, config["eval_batch_size"] // dataset.item_num)
        _check_cutoffs(config, dataset.item_num - 1, "the catalogue has")

    def __iter__(self):
        for start, stop in self._spans():
            rows, items = self.history.slice(start, stop)
            history = (torch.from_numpy(rows), torch.from_numpy(items)) if len(rows) else None
            yield self.user_features[slice(start, stop)], history, *self._positives(start, stop)

    def table(self, scores, start, stop):
        return scores, torch.arange(self.dataset.item_num).expand(scores.shape), self._positives(start, stop)[1]


class CandidateLoader(RankingLoader):
    """Every video against its positives and a fixed list of negatives, for sampled and fixed evaluation."""

    def __init__(self, config, dataset, seen, negatives: IdLists):
        super().__init__(config, dataset, seen)
        rows, items = map(np.concatenate, zip(self.positives.pairs(), negatives.pairs(), strict=True))
        order = np.argsort(rows, kind="stable")  # positives come before negatives, as RecBole's loaders have it
        counts = self.positives.counts() + negatives.counts()
        self.candidates = IdLists(np.concatenate([[0], np.cumsum(counts)]), items[order])
        self.step = max(1, config["eval_batch_size"] // max(1, int(counts.max())))
        _check_cutoffs(config, int(counts.min()), "the shortest candidate list has")

    def __iter__(self):
        for start, stop in self._spans():
            rows, items = (torch.from_numpy(part) for part in self.candidates.slice(start, stop))
            pairs = self.dataset.join(
                Interaction({self.uid_field: torch.from_numpy(self.users)[start:stop][rows], self.iid_field: items})
            )
            yield pairs, rows, *self._positives(start, stop)

    def table(self, scores, start, stop):
        """One column a candidate, the positives first, behind a column of padding: as RecBole has it, but narrow."""
        rows, ids = map(torch.from_numpy, self.candidates.slice(start, stop))
        places = torch.from_numpy(1 + self.candidates.places(start, stop))
        shape = (stop - start, 1 + int(places.max()))
        table, tracks = scores.new_full(shape, -torch.inf), torch.zeros(shape, dtype=torch.int64)
        table[rows, places], tracks[rows, places] = scores, ids
        return table, tracks, torch.from_numpy(1 + self.positives.places(start, stop))


def _check_cutoffs(config, available: int, what: str) -> None:
    if max(config["topk"]) > available:
        raise ConfigError(
            f"topk: expected at most {available}, since {what} {available} music, found {max(config['topk'])}."
        )


def evaluation_loader(config, dataset: DecCMDataset, seen: list[DecCMDataset], phase: str) -> RankingLoader:
    """The loader of ``eval_args.mode`` for one split.

    Args:
        seen: earlier splits, whose music of the same videos is not ranked.
        phase: ``valid``, ``test`` or the name of an extra test set, which is evaluated as the test is; names the
            candidate file and seeds the draw.
    """
    mode = config["eval_args"]["mode"]["valid" if phase == "valid" else "test"]
    if mode == "full":
        return FullRankingLoader(config, dataset, seen)
    base = RankingLoader(config, dataset, seen)
    if mode == "fixed":
        path = Path(dataset.dataset_path) / f"{dataset.dataset_name}.{phase}.candidates"
        videos, music = (pd.Index(dataset.field2id_token[field]) for field in (base.uid_field, base.iid_field))
        fields, form = (base.uid_field, base.iid_field), Format.of(config)
        negatives = read_candidates(path, *fields, videos, music, base.users, base.positives, form)
    else:
        rng = np.random.default_rng([config["seed"], zlib.crc32(phase.encode())])
        weights = np.maximum(dataset.popularity[1:], 0.5) if mode.startswith("pop") else None
        rows, items = map(np.concatenate, zip(base.positives.pairs(), base.history.pairs(), strict=True))
        excluded = IdLists.group(rows, items, len(base.users))
        negatives = draw_negatives(rng, excluded, dataset.item_num - 1, int(mode[3:]), weights)
    return CandidateLoader(config, dataset, seen, negatives)


def train_loader(config, dataset: DecCMDataset, splits: list[DecCMDataset]):
    """Our pair loader for our models, RecBole's loader with its negative sampler for the others."""
    if dataset.for_matching:
        chances = None
        if getattr(config.model_class, "samples_by_genre", False):
            of_pairs = dataset.genre_membership[dataset.inter_feat[dataset.iid_field].numpy()]
            chances = balanced_chances(of_pairs, config["balance_power"])
        return PairLoader(config, dataset, config["shuffle"], chances)
    sampling = config["train_neg_sample_args"]
    if sampling["distribution"] == "popularity":  # RecBole would count the choices of all splits
        splits = [dataset] * len(splits)
    sampler = _create_sampler(dataset, splits, sampling["distribution"], config["repeatable"], sampling["alpha"])
    sampler = sampler.set_phase("train") if sampler is not None else None
    return get_dataloader(config, "train")(config, dataset, sampler, shuffle=config["shuffle"])


@dataclass(frozen=True)
class Splits:
    """A data set, split, and the loaders of a run.

    Attributes:
        config: of the run.
        dataset: the training split, which knows ids, features and priors.
        train: batches of the training pairs.
        valid, test: rankings of the other splits; test is None where the data set has only two.
    """

    config: Any
    dataset: DecCMDataset
    train: Any
    valid: RankingLoader
    test: RankingLoader | None

    @cached_property
    def extra(self) -> dict[str, RankingLoader]:
        """The test sets of ``extra_tests`` by name, such as choices under intervention (``NAME.do.inter``).

        They are evaluated as the test is, and read when they are first asked for. Where the split is by folds, they
        are the rows whose videos the fold tests.

        Raises:
            DataError: a file is missing or has ids that the data set does not have; the fold tests none of its videos.
        """
        names = self.config["extra_tests"] or []
        seen = [self.dataset, self.valid.dataset]
        among = self.test.users if self.test is not None and self.dataset.video_groups is not None else None
        sets = {name: read_extra_test(self.dataset, name, among) for name in names}
        return {name: evaluation_loader(self.config, rows, seen, name) for name, rows in sets.items()}


def prepare_data(config, dataset: DecCMDataset) -> Splits:
    """Split a data set and build its loaders."""
    train, valid, test = dataset.build()
    splits = [split for split in (train, valid, test) if split is not None]
    return Splits(
        config,
        train,
        train_loader(config, train, [*splits, valid][:3]),
        evaluation_loader(config, valid, [train], "valid"),
        evaluation_loader(config, test, [train, valid], "test") if test is not None else None,
    )
