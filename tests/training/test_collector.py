"""The metrics through RecBole's machinery, with a model whose ranks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.running import make_config
from recbole.evaluator import Evaluator

from recbole_decm.data.dataset import DecCMDataset
from recbole_decm.data.loaders import prepare_data
from recbole_decm.training.collector import MatchingCollector


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
