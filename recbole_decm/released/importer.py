"""Write data in the layout of the released DecCM code as atomic files, memory-mapped features and candidate lists.

:mod:`recbole_decm.released.layout` says which files there are, and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_decm.errors import DataError
from recbole_decm.io.atomic import write_atomic
from recbole_decm.io.npy import write_blocks
from recbole_decm.io.write import replacing_folders, write_text
from recbole_decm.released.layout import ReleasedData, read_groups, read_pgc, read_ugc, require_files, row_bar

_BLOCK_ROWS = 8_192

_UGC_YAML = """\
# Imported from the layout of the released code.
benchmark_filename: [train, valid, test]  # (list) Ready-made splits.
feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}  # (dict) Memory-mapped vectors.
eval_args: {{mode: fixed}}        # (dict) Rank against the released candidates.
metrics: [Recall, NDCG, IPWRecall, IPWNDCG]  # (list) Evaluation metrics.
topk: [{topk}]        # (list) Cut-offs of the metrics.
valid_metric: IPWRecall@{best}    # (str) The metric that chooses the epoch.
"""
_PGC_YAML = """\
# The teacher's pairs, imported from the layout of the released code.
benchmark_filename: [train, valid]  # (list) Ready-made splits; a teacher needs no test.
feature_files: {{visual: {name}.visual.npy, acoustic: {name}.acoustic.npy}}  # (dict) Memory-mapped vectors.
eval_args: {{mode: full}}         # (dict) Rank all professional music.
metrics: [Recall, NDCG]         # (list) Evaluation metrics.
topk: [{topk}]                # (list) Cut-offs of the metrics.
valid_metric: Recall@{best}       # (str) The metric that chooses the epoch.
"""


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote, for people: ``str()`` gives a few lines with the next command."""

    folder: Path
    ugc: ReleasedData
    pgc: ReleasedData | None

    def __str__(self) -> str:
        lines = [_line(self.folder, self.ugc)]
        lines += [_line(Path(f"{self.folder}-pgc"), self.pgc)] if self.pgc else []
        lines.append(
            f"Next: recbole-decm run --model=DecCM --dataset={self.folder.name} --data_path={self.folder.parent}"
        )
        return "\n".join(lines)


def _line(folder: Path, data: ReleasedData) -> str:
    rows = ", ".join(f"{len(pairs.video)} {name}" for name, pairs in data.splits.items())
    groups = "" if data.prior is None else f", {data.prior.shape[1]} genre groups"
    return (
        f"{folder}: {len(data.visual)} videos x {data.visual.shape[1]}, {len(data.acoustic)} music x "
        f"{data.acoustic.shape[1]}{groups}; pairs: {rows}"
    )


def import_released(
    ugc: Path,
    pgc: Path | None,
    name: str,
    out: Path,
    *,
    groups: tuple[Path, str] | None = None,
    overwrite: bool = False,
    show_progress: bool = True,
) -> ImportSummary:
    """Write ``out/name`` and, with ``pgc``, ``out/name-pgc``. Nothing is written before everything is checked.

    Args:
        groups: a CSV of the videos, and its column that becomes one of ``.inter``, such as artist, to split by.

    Raises:
        DataError: missing files (all of them at once), or a row that cannot be right; names the file and the row.
        ConfigError: an output folder exists and ``overwrite`` is not set.
    """
    require_files(ugc, pgc)
    student = read_ugc(ugc, show_progress)
    column = {} if groups is None else {f"{groups[1]}:token": read_groups(*groups, len(student.visual))}
    teacher = read_pgc(pgc, show_progress) if pgc is not None else None
    if teacher is not None:
        for what in ("visual", "acoustic"):
            expected, found = getattr(student, what).shape[1], getattr(teacher, what).shape[1]
            if expected != found:
                raise DataError(f"{pgc}: expected {expected} {what} dimensions, as in {ugc}, found {found}.")
    folders = [out / name, *([out / f"{name}-pgc"] if teacher else [])]
    with replacing_folders(folders, overwrite) as targets:
        for target, data, yaml in zip(targets, (student, teacher), (_UGC_YAML, _PGC_YAML), strict=False):
            if data is not None:
                _write(data, target, target.name, yaml, column if data is student else {}, show_progress)
    return ImportSummary(out / name, student, teacher)


def _write(
    data: ReleasedData, folder: Path, name: str, yaml: str, column: dict[str, np.ndarray], show_progress: bool
) -> None:
    folder.mkdir()
    user: dict = {"video_id:token": range(len(data.visual))}
    item: dict = {"music_id:token": range(len(data.acoustic))}
    if data.prior is not None:
        user["uploader_genre:float_seq"] = data.prior
        item["genre:token_seq"] = data.genres
    write_atomic(folder / f"{name}.user", user, decimals=9)
    write_atomic(folder / f"{name}.item", item)
    _copy(data.visual, folder / f"{name}.visual.npy", show_progress)
    np.save(folder / f"{name}.acoustic.npy", data.acoustic)
    for split, pairs in data.splits.items():
        columns: dict = {"video_id:token": pairs.video, "music_id:token": pairs.music}
        columns |= {head: values[pairs.video] for head, values in column.items()}
        if pairs.weights is not None:
            columns["ipw_weight:float"] = pairs.weights
        write_atomic(folder / f"{name}.{split}.inter", columns, decimals=17)
        if pairs.negatives is not None:
            lists: dict = {"video_id:token": pairs.video, "music_id:token_seq": pairs.negatives}
            write_atomic(folder / f"{name}.{split}.candidates", lists)
    cuts = _cutoffs(data)
    write_text(folder / f"{name}.yaml", yaml.format(name=name, topk=", ".join(map(str, cuts)), best=cuts[-1]))


def _cutoffs(data: ReleasedData) -> list[int]:
    """The released cut-offs, as far as the shortest candidate list (or the catalogue) reaches."""
    lists = [len(row) + 1 for pairs in data.splits.values() for row in pairs.negatives or []]
    wanted = [10, 15, 20, 25] if lists else [10, 25]
    shortest = min([len(data.acoustic), *lists])
    return [cut for cut in wanted if cut <= shortest] or [shortest]


def _copy(values: np.ndarray, path: Path, show_progress: bool) -> None:
    blocks = (values[start : start + _BLOCK_ROWS] for start in range(0, len(values), _BLOCK_ROWS))
    with row_bar(f"writing {path.name}", len(values), show_progress) as bar:
        write_blocks(path, blocks, values.shape, values.dtype.newbyteorder("="), bar.update)
