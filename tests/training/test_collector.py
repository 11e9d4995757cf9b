"""The metrics through RecBole's machinery, with a model whose ranks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.planted import write_planted
from helpers.running import make_config
from recbole.evaluator import Collector, Evaluator

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import FullRankingLoader, prepare_data
from recbole_decm.training.collector import MatchingCollector, _best_columns
from recbole_decm.training.run import build
from recbole_decm.training.trainers import trainer_class


@pytest.fixture
def evaluated(planted):
    """Scores that put the positive of the i-th evaluated video at rank i mod 12."""
    metrics = ["Recall", "NDCG", "IPWRecall", "IPWNDCG"]
    config = make_config("CMVAE", planted, metrics=metrics, topk=[1, 10], eval_batch_size=700)
    valid = prepare_data(config, DecCMDataset(config)).valid
    collector = MatchingCollector(config)
    collector.start(valid)
    done = 0
    for interaction, _, rows, items in valid:
        scores = torch.full((len(interaction), 41), -1.0)
        for row, item in zip(rows.tolist(), items.tolist(), strict=True):
            rank = (done + row) % 12
            better = [other for other in range(1, 41) if other != item][:rank]
            scores[row, better], scores[row, item] = 2.0, 1.0
        done += len(interaction)
        collector.eval_batch_collect(scores, interaction, rows, items)
    return config, valid, Evaluator(config).evaluate(collector.get_data_struct())


def test_weights_meet_their_rows_across_batches(evaluated):
    _, valid, result = evaluated
    ranks = np.arange(len(valid.users)) % 12
    weights = 1 / np.maximum(valid.dataset.popularity[valid.positives.ids], 1)
    assert len(valid) > 1 and len(set(weights.tolist())) > 1
    assert result["ipwrecall@10"] == pytest.approx(weights[ranks < 10].sum() / weights.sum(), abs=1e-6)
    gain = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
    assert result["ipwndcg@10"] == pytest.approx((weights * gain).sum() / weights.sum(), abs=1e-6)


def test_recbole_metrics_see_the_same_ranks(evaluated):
    _, valid, result = evaluated
    ranks = np.arange(len(valid.users)) % 12
    assert result["recall@10"] == pytest.approx((ranks < 10).mean(), abs=1e-6)
    assert result["recall@1"] == pytest.approx((ranks < 1).mean(), abs=1e-6)


@pytest.fixture
def genre_result(planted):
    """Every list holds the music whose id is 1, 4, 7, ...: all of genre g0, the first of three."""
    config = make_config("BPR", planted, metrics=["GenreKL", "MajorityShare", "NDCG"], topk=[1, 10])
    valid = prepare_data(config, DecCMDataset(config)).valid
    collector = MatchingCollector(config)
    collector.start(valid)
    for interaction, _, rows, items in valid:
        scores = torch.full((len(interaction), 41), -1.0)
        scores[:, 1::3] = 1.0
        collector.eval_batch_collect(scores, interaction, rows, items)
    return valid, Evaluator(config).evaluate(collector.get_data_struct())


def test_genre_metrics_know_priors_and_genres_for_any_model(genre_result):
    valid, result = genre_result
    preference = valid.dataset.uploader_prior[torch.from_numpy(valid.users)].double().numpy()
    mixed = 0.99 * np.eye(3)[0] + 0.01 * preference
    assert result["genrekl@10"] == pytest.approx((preference * np.log(preference / mixed)).sum(axis=1).mean(), abs=1e-5)
    assert result["majorityshare@1"] == result["majorityshare@10"] == 1


def test_genre_metrics_say_which_way_is_better(planted):
    assert not make_config("Pop", planted, metrics=["GenreKL"], valid_metric="GenreKL@10")["valid_metric_bigger"]


def collected(config, loader, scores_of, collector_class=MatchingCollector):
    """The metrics of scores (B, 41) that a function gives, in batches of a loader."""
    collector = collector_class(config)
    collector.data_collect(loader)
    if collector_class is MatchingCollector:
        collector.start(loader)
    for interaction, rows, users, items in loader:
        videos = torch.from_numpy(loader.users)[interaction["video_id"].unique_consecutive() - loader.users[0]]
        scores = scores_of(videos)
        scores[:, 0] = -torch.inf
        if not isinstance(loader, FullRankingLoader):
            scores = scores[rows, interaction["music_id"]]
            if collector_class is Collector:  # RecBole's trainer lays them out over the catalogue
                flat, scores = scores, torch.full((int(users[-1]) + 1, 41), -torch.inf)
                scores[rows, interaction["music_id"]] = flat
        collector.eval_batch_collect(scores, interaction, users, items)
    return dict(Evaluator(config).evaluate(collector.get_data_struct()))


METRICS = ["Recall", "NDCG", "MRR", "MAP", "Precision", "Hit", "GAUC", "ItemCoverage", "AveragePopularity"]


@pytest.mark.parametrize("mode", ["full", "uni20", "pop20"])
def test_the_metrics_are_recboles_over_the_whole_catalogue_bit_for_bit(planted, mode):
    values = {"metrics": METRICS, "eval_args": {"mode": mode}, "metric_decimal_place": 15, "eval_batch_size": 200}
    config = make_config("BPR", planted, **values)
    valid = prepare_data(config, DecCMDataset(config)).valid
    table = torch.rand(601, 41, generator=torch.Generator().manual_seed(1))
    found = collected(config, valid, lambda videos: table[videos].clone())
    assert found == collected(config, valid, lambda videos: table[videos].clone(), Collector)
    assert 0 < found["recall@10"] < 1 and 0 < found["gauc"] < 1


@pytest.mark.parametrize(("mode", "chance"), [("full", 10 / 40), ("uni20", 10 / 21)])
def test_equal_scores_tell_nothing(planted, mode, chance):
    """Each video has its own order, of the seed alone: the catalogue's and the batches' have no say."""
    lists = {}
    for seed, size in ((1, 65536), (1, 200), (2, 65536)):
        values = {"eval_args": {"mode": mode}, "eval_batch_size": size, "seed": seed}
        config = make_config("BPR", planted, metrics=["NDCG", "Recall", "ItemCoverage"], **values)
        valid = prepare_data(config, DecCMDataset(config)).valid
        collector = MatchingCollector(config)
        collector.keep("rec.items")
        collector.data_collect(valid)
        collector.start(valid)
        for interaction, _, users, items in valid:
            shape = (len(interaction), 41) if mode == "full" else (len(interaction),)
            scores = torch.ones(shape)
            if mode == "full":
                scores[:, 0] = -torch.inf
            collector.eval_batch_collect(scores, interaction, users, items)
        struct = collector.get_data_struct()
        lists[seed, size] = struct.get("rec.items")
        found = Evaluator(config).evaluate(struct)
        assert found["recall@10"] == pytest.approx(chance, abs=0.15) and found["itemcoverage@10"] == pytest.approx(
            40 / 41
        )
    assert torch.equal(lists[1, 65536], lists[1, 200]) and not torch.equal(lists[1, 65536], lists[2, 65536])
    assert len(set(map(tuple, lists[1, 200].tolist()))) == len(lists[1, 200])
    assert all(len(set(row)) == 10 for row in lists[1, 200].tolist())


def test_ties_within_a_list_keep_the_order_of_the_scores():
    scores = torch.tensor([[0.0, 3.0, 1.0, 2.0, 2.0, 1.0, 1.0]])
    order = np.array([[0.9, 0.1, 0.2, 0.3, 0.4, 0.8, 0.5]])
    assert _best_columns(scores, 4, lambda rows: order[rows]).tolist() == [[1, 4, 3, 5]]


def test_sampled_evaluation_allocates_by_candidates_not_by_catalogue(tmp_path):
    """600 videos of 21 candidates each, among 4,000 tracks: as a matrix of videos x catalogue 9.6 MB."""
    write_planted(tmp_path, videos=4000, music=4000, visual=2, acoustic=2, pgc=False)
    values = {"eval_args": {"mode": "uni20"}, "metrics": ["NDCG", "Recall", "GAUC", "IPWNDCG"], "latent_dimension": 8}
    config = make_config("CMVAE", tmp_path, **values)
    model, splits = build(config)
    trainer = trainer_class(config)(config, model)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        assert trainer.evaluate(splits.test, load_best_model=False)["recall@10"] >= 0
    assert len(splits.test) == 1
    assert max(event.self_cpu_memory_usage for event in profile.events()) < 2e6
