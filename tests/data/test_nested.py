"""Folds of whole groups within training and validation rows: nothing of the test in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.running import make_config

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.data.nested import FOLDS, NestedRows


def rows_of(folder, **values):
    config = make_config("DecCMPlus", folder, topk=[5], valid_metric="NDCG@5", **values)
    splits = prepare_data(config, DecCMDataset(config))
    return config, splits, NestedRows(splits.dataset, splits.valid.dataset)


def pairs(dataset) -> set[tuple[int, int]]:
    fields = (dataset.uid_field, dataset.iid_field)
    return set(zip(*(dataset.inter_feat[field].tolist() for field in fields), strict=True))


def test_folds_are_of_whole_uploaders_and_hold_no_test_row(own_planted):
    config, splits, rows = rows_of(own_planted)
    tested, learned = pairs(splits.test.dataset), pairs(splits.dataset) | pairs(splits.valid.dataset)
    uploader = np.concatenate([[-1], splits.dataset._uploader_of_video()[1:]])
    ranked: list[tuple[int, int]] = []
    for fold in rows.folds(config, range(FOLDS)):
        parts = [fold.dataset, fold.valid.dataset, fold.test.dataset]
        own = [pairs(part) for part in parts]
        assert set.union(*own) == learned and sum(map(len, own)) == len(learned) and not learned & tested
        people = [{uploader[video] for video, _ in part} for part in own]
        assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
        ranked += own[2]
        counted = np.bincount([track for _, track in own[0]], minlength=splits.dataset.item_num)
        assert np.array_equal(fold.dataset.popularity, counted) and np.array_equal(parts[2].popularity, counted)
        assert np.array_equal(fold.train.pairs[0].sort().values, np.sort([video for video, _ in own[0]]))
    assert sorted(ranked) == sorted(learned)
    assert splits.dataset.popularity.sum() == len(pairs(splits.dataset))  # the run's own data set is as it was


def test_tracks_of_these_rows_alone_are_ranked(own_planted):
    path = own_planted / "planted" / "planted.item"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *(line.replace("m", f"new{i}", 1) for i, line in enumerate(lines[1:4]))]) + "\n")
    config, splits, rows = rows_of(own_planted)
    assert splits.dataset.item_num == 16 and rows.pool.tolist() == list(range(1, 13))
    (fold,) = rows.folds(config, [0])
    loader, count = fold.test, len(fold.test.users)
    scores = torch.arange(16.0).repeat(count, 1)  # the highest are of tracks without a row
    table, tracks, places = loader.table(scores, 0, count)
    assert table.shape == tracks.shape == (count, 12) and torch.equal(table, tracks.float())
    assert torch.equal(tracks[0][places], torch.from_numpy(loader.positives.ids))


@pytest.mark.parametrize(("known", "reads", "groups"), [(True, True, 3), (False, True, 2), (False, False, 4)])
def test_groups_are_uploaders_then_preferences_then_tracks(own_planted, known, reads, groups):
    """Of four rows of three uploaders, two of whom have one preference; each row has a track of its own."""
    path = own_planted / "planted" / "planted.user"
    head, *cells = [line.split("\t") for line in path.read_text().splitlines()]
    assert head[1:3] == ["uploader_id:token", "uploader_genre:float_seq"]
    for row, uploader, preference in zip(cells, ("u1", "u1", "u2", "u3"), (0, 0, 0, 1), strict=False):
        row[1:3] = [uploader if known else "", ("1 0 0", "0 1 0")[preference]]
    for row in cells[4:]:
        row[1] = row[1] if known else ""
    path.write_text("\n".join("\t".join(row) for row in [head, *cells]) + "\n")
    config = make_config("DecCMPlus", own_planted, uploader_prior="read" if reads else "train")
    dataset = DecCMDataset(config).build()[0]
    assert len(set(dataset.groups_of(np.arange(1, 5), np.array([1, 2, 3, 4])))) == groups


def test_an_unknown_uploader_falls_back_row_by_row(own_planted):
    folder = own_planted / "planted"
    lines = (folder / "planted.user").read_text().splitlines()
    cells = [line.split("\t") for line in lines]
    cells[1][1], cells[2][1] = "", "u1"
    cells[1][2] = cells[2][2] = "1 0 0"
    (folder / "planted.user").write_text("\n".join("\t".join(row) for row in cells) + "\n")
    dataset = DecCMDataset(make_config("DecCMPlus", own_planted)).build()[0]
    first, second = dataset.groups_of(np.array([1, 2]), np.array([1, 1]))
    assert first != second
