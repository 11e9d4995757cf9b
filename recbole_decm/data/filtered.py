"""Rows that keys leave out: filters act on all rows before a split, and on the training rows of ready-made splits."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.dataset_files import MUSIC, VIDEO, FilesDataset
from recbole_decm.errors import DataError

_ALL = ("[0,inf)", None)


class FilteredDataset(FilesDataset):
    """A data set whose rows have been chosen: positives, rows whose ids have lines, and those that filters leave.

    Attributes:
        file_rows: (n,) the number of each interaction in its file, or in the ready-made files one after the other.
    """

    def _data_processing(self):
        several, ready_made = self.benchmark_filename_list is not None, self.config.ready_made
        self._ends = np.cumsum(self.file_size_list if several else [len(self.inter_feat)])
        self.file_rows = np.arange(len(self.inter_feat))
        self._keep_positives()
        self._check_every_id_has_a_line()
        if ready_made:
            self._filter_training_rows()
            parts = np.searchsorted(self._ends, self.inter_feat.index, side="right")
            self.file_size_list = np.bincount(parts, minlength=len(self._ends)).tolist()
        self.file_rows = self.file_rows[self.inter_feat.index]
        self.inter_feat = self.inter_feat.reset_index(drop=True)
        super()._data_processing()

    def _reset_index(self):
        self.file_rows = self.file_rows[self.inter_feat.index]
        super()._reset_index()

    def _inter_line(self, row):
        """File and line of a row, before the rows are numbered again."""
        return self._file_line(self.inter_feat.index[row])

    def _file_line(self, row):
        """File and line of a number of ``file_rows``."""
        folder = Path(self.dataset_path)
        part = int(np.searchsorted(self._ends, row, side="right"))
        split = "" if self.benchmark_filename_list is None else f".{self.benchmark_filename_list[part]}"
        return folder / f"{self.dataset_name}{split}.inter", row - (self._ends[part - 1] if part else 0) + 2

    def _keep_positives(self):
        for field, least in (self.config["threshold"] or {}).items():
            values = pd.to_numeric(self.inter_feat[field], errors="coerce")
            bad = np.flatnonzero(values.isna())
            if bad.size:
                path, line = self._inter_line(int(bad[0]))
                raise DataError(f"{path}, line {line}: expected a number in '{field}', which threshold names.")
            self.inter_feat = self.inter_feat[values >= least]

    def _set_label_by_threshold(self):
        """Nothing to label: rows below the threshold are no positives and are left out."""

    def _check_every_id_has_a_line(self):
        advice = " filter_inter_by_user_or_item: True leaves such rows out."
        last = self._ends[0 if self.config.ready_made else -1]
        for source in (VIDEO, MUSIC):
            frame, field = getattr(self, f"{source.value}_feat"), self._id_field(source)
            if frame is None:
                continue
            unknown = ~self.inter_feat[field].isin(frame[field])
            filtered = unknown & (self.inter_feat.index < last) & self.config["filter_inter_by_user_or_item"]
            refused = np.flatnonzero(unknown & ~filtered)
            if refused.size:
                what = "video" if source == VIDEO else "music"
                path, line = self._inter_line(int(refused[0]))
                raise DataError(
                    f"{path}, line {line}: expected a {what} that has a line (and features) in "
                    f"{self.dataset_name}.{source.value}, found '{self.inter_feat[field].iloc[refused[0]]}'."
                    f"{advice if self.inter_feat.index[refused[0]] < last else ''}"
                )
            if filtered.any():
                getLogger().warning(
                    f"filter_inter_by_user_or_item: {filtered.sum()} interactions are left out, since their '{field}' "
                    f"has no line in {self.dataset_name}.{source.value}."
                )
                self.inter_feat = self.inter_feat[~filtered]

    def _filter_training_rows(self):
        """RecBole's filters on the training rows of ready-made splits; the catalogue and the other splits stay."""
        config = self.config
        intervals = [config["user_inter_num_interval"], config["item_inter_num_interval"]]
        if not (config["rm_dup_inter"] or config["val_interval"] or any(given not in _ALL for given in intervals)):
            return
        frames, training = (self.user_feat, self.item_feat), self.inter_feat.index < self._ends[0]
        others = self.inter_feat[~training]
        self.inter_feat = self.inter_feat[training].copy()
        self.user_feat, self.item_feat = (None if frame is None else frame.copy() for frame in frames)
        self._remove_duplication()
        self._filter_by_field_value()
        self._filter_inter_by_user_or_item()
        self.user_feat = self.item_feat = None  # a video without training rows is none to leave out
        self._filter_by_inter_num()
        self.user_feat, self.item_feat = frames
        self.inter_feat = pd.concat([self.inter_feat, others])

    def _filter_inter_by_user_or_item(self):
        """Leave out the rows whose video or track ``val_interval`` has left out."""
        for frame, field in ((self.user_feat, self.uid_field), (self.item_feat, self.iid_field)):
            if frame is not None:
                self.inter_feat = self.inter_feat[self.inter_feat[field].isin(frame[field])]

    @property
    def float_like_fields(self):
        """The numbers that ``normalize_all`` is for: weights, ratings and times of ``.inter`` are no features."""
        return [field for field in super().float_like_fields if field not in self.inter_feat]
