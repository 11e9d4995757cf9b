"""Splits by folds of whole groups: the group of each row, told by a column of ``.inter``, ``.user`` or ``.item``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_decm.data.filtered import FilteredDataset
from recbole_decm.data.splits import PARTS, Folding, leave_groups_out
from recbole_decm.errors import ConfigError, DataError, suggest
from recbole_decm.io import atomic


class FoldedDataset(FilteredDataset):
    """A data set that is split into folds of whole groups, where ``eval_args.split`` says ``LGO``.

    The rows of ready-made splits are put together and folded anew.

    Attributes:
        video_groups: (n_videos,) int64 number of the group of each video id, by its first row; -1 without rows. None
            where the split is another.
    """

    video_groups: np.ndarray | None = None

    def build(self):
        """The parts of the split, which share the numbers of the groups."""
        folding = Folding.of(self.config["eval_args"]["split"])
        if folding is None:
            return super().build()
        groups = self._groups_of_rows(folding.field)
        names, member = np.unique(groups, return_inverse=True)
        try:
            part = leave_groups_out(member, folding)
        except DataError as error:
            raise DataError(
                f"eval_args.split.LGO: '{folding.field}' of {self.dataset_path}: {error} Give fewer folds or more data."
            ) from error
        videos = self.inter_feat[self.uid_field].to_numpy()
        self.video_groups = np.full(self.user_num, -1, dtype=np.int64)
        self.video_groups[videos[::-1]] = member[::-1]
        self._change_feat_format()
        self._drop_unused_col()
        rows = {name: np.flatnonzero(part == name) for name in PARTS}
        self.logger.info(
            f"Fold {folding.fold} of {folding.folds} by '{folding.field}': {len(names)} groups; rows: "
            + ", ".join(f"{len(rows[name])} {name}" for name in PARTS)
        )
        return [self.copy(self.inter_feat[rows[name]]) for name in PARTS]

    def _groups_of_rows(self, field: str) -> np.ndarray:
        """(n,) object: the group of each interaction."""
        form, known = atomic.Format.of(self.config), set()
        for suffix in ("inter", "user", "item"):
            paths = list(self._paths(suffix))
            headers = [atomic.read_header(path, form) for path in paths]
            known |= {name for header in headers for name in header}
            if not paths or not any(field in header for header in headers):
                continue
            if suffix == "inter":
                cells = np.concatenate(
                    [_read_groups(path, [field], header, form)[0] for path, header in zip(paths, headers, strict=True)]
                )
                return self._every(cells[self.file_rows], field, self._where)
            id_field = self.uid_field if suffix == "user" else self.iid_field
            cells, tokens = _read_groups(paths[0], [field, id_field], headers[0], form)
            of_id = pd.Series(cells, index=tokens)
            wanted = self.field2id_token[id_field][self.inter_feat[id_field].to_numpy()]
            groups = of_id[~of_id.index.duplicated()].reindex(wanted).fillna("").to_numpy(dtype=object)
            return self._every(groups, field, lambda row, path=paths[0], ids=wanted: f"{path}, line of '{ids[row]}'")
        raise ConfigError(
            f"eval_args.split.LGO: expected a column of .inter, .user or .item of {self.dataset_path} "
            f"({', '.join(sorted(known))}), found '{field}'.{suggest(field, known)}"
        )

    def _paths(self, suffix: str) -> Iterator[Path]:
        splits = self.benchmark_filename_list if suffix == "inter" else None
        for split in splits or [None]:
            path = Path(self.dataset_path, ".".join(filter(None, (self.dataset_name, split, suffix))))
            if path.is_file():
                yield path

    def _where(self, row: int) -> str:
        path, line = self._file_line(int(self.file_rows[row]))
        return f"{path}, line {line}"

    @staticmethod
    def _every(groups: np.ndarray, field: str, where) -> np.ndarray:
        missing = np.flatnonzero(groups == "")
        if missing.size:
            raise DataError(
                f"{where(missing[0])}: expected a value of '{field}', which eval_args.split.LGO makes groups of, "
                "found none. Give the row a group of its own, or leave it out."
            )
        return groups


def _read_groups(path: Path, fields: Sequence[str], header: dict[str, str], form: atomic.Format) -> list[np.ndarray]:
    """The columns of a file as text, the first of which holds groups.

    Raises:
        DataError: the file lacks it, or it has several values in a cell.
    """
    field = fields[0]
    if field not in header:
        raise DataError(f"{path}: expected a column '{field}', which eval_args.split.LGO names, found none.")
    columns = atomic.read_columns(path, list(fields), form)
    cells = columns[field].to_numpy(dtype=object)
    several = np.zeros(len(cells), dtype=bool)
    if header[field].endswith("_seq"):
        parts = atomic.split_cells(cells, header[field], form.seq_separator)
        several = np.fromiter((len(part) > 1 for part in parts), dtype=bool, count=len(cells))
    if several.any():
        raise DataError(
            f"{path}, line {np.flatnonzero(several)[0] + 2}: expected one value of '{field}', which "
            f"eval_args.split.LGO makes groups of, found several ({cells[several][0]!r}). Name another column."
        )
    return [cells, *(columns[name].to_numpy(dtype=object) for name in fields[1:])]
