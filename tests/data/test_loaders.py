"""Training batches and the three evaluation modes."""

from __future__ import annotations

import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.errors import ConfigError, DataError


def loaders(folder, model="CMVAE", **values):
    config = make_config(model, folder, **values)
    splits = prepare_data(config, DecCMDataset(config))
    return splits.train, splits.valid, splits.test


def candidate_sets(loader):
    lists = loader.candidates
    return {
        int(u): set(lists.ids[a:b]) for u, a, b in zip(loader.users, lists.offsets[:-1], lists.offsets[1:], strict=True)
    }


def test_an_epoch_holds_every_pair_once_and_the_next_in_another_order(planted):
    train, _, _ = loaders(planted, train_batch_size=64)
    epochs = [[batch["video_id"] for batch in train] for _ in range(2)]
    assert [len(batch) for batch in epochs[0]] == [64] * 6 + [36] and len(train) == 7
    flat = [torch.cat(epoch) for epoch in epochs]
    assert sorted(flat[0].tolist()) == sorted(train.pairs[0].tolist())
    assert not torch.equal(flat[0], flat[1])


def test_a_last_batch_of_one_is_left_out(planted):
    train, _, _ = loaders(planted, train_batch_size=419)
    assert [len(batch) for batch in train] == [419]


def test_a_batch_of_one_has_no_negatives(planted):
    with pytest.raises(ConfigError, match="train_batch_size: expected an integer of at least 2, found 1"):
        loaders(planted, train_batch_size=1)


def test_full_mode_batches_cover_all_videos(planted):
    _, valid, test = loaders(planted, eval_batch_size=41 * 7)
    batches = list(valid)
    assert len(batches) == len(valid) == 13
    assert torch.cat([batch[0]["video_id"] for batch in batches]).tolist() == list(range(421, 511))
    assert all(batch[1] is None for batch in batches)  # new videos have no history
    assert sum(len(batch[2]) for batch in test) == 90


def test_history_of_a_video_is_not_ranked(tmp_path):
    """A video that has another music in training: that music is masked, its positive is not."""
    folder = write_planted(tmp_path, videos=120, music=12)
    with (folder / "planted.train.inter").open("a") as file:
        file.write("v110\tm3\n")
    _, valid, test = loaders(tmp_path)
    histories = [batch[1] for batch in test]
    videos = [int(test.users[row]) for row in histories[0][0]]
    assert videos == [111] and histories[0][1].tolist() == [4]
    assert all(batch[1] is None for batch in valid)


def test_drawn_candidates_are_the_same_for_every_epoch_model_and_run(planted):
    mode = {"eval_args": {"mode": "uni20"}}
    first, again = loaders(planted, "CMVAE", **mode), loaders(planted, "BPR", **mode)
    assert candidate_sets(first[1]) == candidate_sets(again[1])
    assert [batch[0]["music_id"].tolist() for batch in first[1]] == [
        batch[0]["music_id"].tolist() for batch in first[1]
    ]
    other = loaders(planted, "CMVAE", seed=7, **mode)
    assert candidate_sets(first[1]) != candidate_sets(other[1])


def test_drawn_candidates_are_positives_and_distinct_negatives(planted):
    _, valid, _ = loaders(planted, eval_args={"mode": "uni20"})
    positives = dict(zip(valid.users.tolist(), valid.positives.ids.tolist(), strict=True))
    for video, candidates in candidate_sets(valid).items():
        assert len(candidates) == 21 and positives[video] in candidates and 0 not in candidates
    pairs, rows, users, items = next(iter(valid))
    assert len(pairs) == len(rows) == 21 * (int(users[-1]) + 1)
    assert pairs["video_id"][rows == 1].unique().tolist() == [int(valid.users[1])]
    assert items[0] == pairs["music_id"][0]  # positives stand before negatives


def test_fixed_candidates(own_planted):
    for split in ("valid", "test"):
        rows = (own_planted / "planted" / f"planted.{split}.inter").read_text().splitlines()[1:]
        lines = []
        for row in rows:
            video, music = row.split("\t")
            lines.append(f"{video}\t{' '.join(f'm{i}' for i in range(11) if f'm{i}' != music)}")
        text = "video_id:token\tmusic_id:token_seq\n" + "\n".join(reversed(lines)) + "\n"
        (own_planted / "planted" / f"planted.{split}.candidates").write_text(text)
    _, valid, _ = loaders(own_planted, eval_args={"mode": "fixed"}, topk=[10], valid_metric="NDCG@10")
    positives = dict(zip(valid.users.tolist(), valid.positives.ids.tolist(), strict=True))
    assert len(positives) == 18
    for video, candidates in candidate_sets(valid).items():
        assert candidates == set(range(1, 12)) | {positives[video]}


def test_fixed_mode_without_candidate_files(planted):
    with pytest.raises(DataError, match=r"planted\.valid\.candidates: expected an atomic file, found none"):
        loaders(planted, eval_args={"mode": "fixed"})


@pytest.mark.parametrize(("mode", "k"), [("uni20", 22), ("full", 41)])
def test_a_cutoff_beyond_the_candidates_is_refused(planted, mode, k):
    with pytest.raises(ConfigError, match=f"topk: expected at most {k - 1}.*found {k}"):
        loaders(planted, eval_args={"mode": mode}, topk=[10, k], valid_metric="NDCG@10")


def test_row_weights_of_the_file_are_used(own_planted):
    path = own_planted / "planted" / "planted.valid.inter"
    lines = path.read_text().splitlines()
    rows = [f"{line}\t{i + 1}" for i, line in enumerate(lines[1:])]
    path.write_text("\n".join([lines[0] + "\tipw_weight:float", *rows]) + "\n")
    with pytest.raises(DataError, match="'ipw_weight' of at least 0 and not all 0 in every evaluated split"):
        loaders(own_planted)  # the test split has none
    path = own_planted / "planted" / "planted.test.inter"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + "\tipw_weight:float", *(f"{line}\t2" for line in lines[1:])]) + "\n")
    _, valid, test = loaders(own_planted)
    assert valid.positive_weights(0, 18).tolist() == list(range(1, 19)) and set(test.weights) == {2}
