"""Which values are paired, and that planted effects come out and absent ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.benchmark_folder import write_benchmark, write_cell

from recbole_decm.metrics.paired import holm, paired_test, seeds_test
from recbole_decm.report.comparisons import Scores, by_video, compare_all, compare_scores, scores_of
from recbole_decm.report.results import load_results
from recbole_decm.report.wording import sentence, verdict


def only(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def test_planted_effects_are_found_and_absent_ones_are_not(tmp_path):
    folder = write_benchmark(tmp_path, {"strong": 0.05, "twin": 0.0, "base": 0.0, "weak": -0.03})
    found = compare_all(load_results(folder), ["test"], ["ndcg@10"], "base")
    strong, twin, weak = (only(found, model=m, reference="base", scheme="baseline") for m in ("strong", "twin", "weak"))
    assert verdict(strong) == verdict(weak) == "holds" and verdict(twin) == "none"
    assert strong["low"] < 0.05 < strong["high"] and weak["low"] < -0.03 < weak["high"]
    assert twin["low"] < 0 < twin["high"] and (strong["better"], weak["better"]) == (1, -1)
    assert strong["seeds_agreeing"] == 5 and strong["videos"] == 300 and strong["simulations"] == 1
    # Differences of two means of five draws with deviation 0.1: a standard deviation of 0.1 sqrt(2 / 5) a video.
    assert strong["dz"] == pytest.approx(0.05 / (0.1 * np.sqrt(2 / 5)), rel=0.2)


def test_tests_are_of_means_over_seeds_by_video_and_of_means_over_videos_by_seed(tmp_path):
    results = load_results(write_benchmark(tmp_path, {"a": 0.01, "b": 0.0}, seeds=(1, 2, 3), videos=40))
    row = only(compare_all(results, ["test"], ["ndcg@10"], "b"), scheme="baseline")
    values = {
        name: np.stack([results.videos(f"{name}-sim-{seed}-0a1b2c3d", "test", "ndcg@10") for seed in (1, 2, 3)])
        for name in "ab"
    }
    difference = values["a"] - values["b"]
    assert row["p_videos"] == paired_test(difference.mean(axis=0))
    assert row["p_seeds"] == pytest.approx(seeds_test(difference.mean(axis=1)))
    assert row["difference"] == pytest.approx(difference.mean()) and row["mean"] == pytest.approx(values["a"].mean())


def test_data_simulated_by_seed_are_paired_within_the_seed_and_pooled(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.02, "b": 0.0}, seeds=(1, 2, 3), videos=50, per_seed=True)
    row = only(compare_all(load_results(folder), ["test"], ["ndcg@10"], "b"), scheme="baseline")
    assert (row["videos"], row["simulations"], row["seeds"]) == (150, 3, 3)


def test_values_by_video_average_over_seeds_of_one_version_of_the_data():
    values = {1: np.array([0.0, 1.0]), 2: np.array([1.0, 1.0]), 3: np.array([5.0])}
    found = by_video(scores({1: "x", 2: "x", 3: "y"}, values), values)
    assert found.values.tolist() == [0.5, 1.0, 5.0] and found.clusters is None
    assert np.average(found.values, weights=found.weights) == pytest.approx((0.5 + 1.0 + 5.0) / 3)
    assert len(by_video(scores({}, {}), {}).values) == 0


def scores(data, values, order=None, uploaders=None):
    means = {seed: float(array.mean()) for seed, array in values.items()}
    order = order or {seed: np.array([f"v{i}" for i in range(len(array))]) for seed, array in values.items()}
    return Scores(data, means, dict(values), order, uploaders or dict.fromkeys(values))


def test_seeds_that_split_one_data_set_their_own_way_share_some_videos():
    values = {1: np.array([0.0, 1.0]), 2: np.array([1.0, 3.0])}
    order = {1: np.array(["a", "b"]), 2: np.array(["b", "c"])}
    uploaders = {1: np.array([4, 4]), 2: np.array([4, 9])}
    found = by_video(scores({1: "x", 2: "x"}, values, order, uploaders), values)
    assert found.values.tolist() == [0, 1, 3] and found.clusters.tolist() == [0, 0, 1]
    assert np.average(found.values, weights=found.weights) == pytest.approx((0.5 + 2.0) / 2)


def test_uploaders_of_two_versions_of_the_data_are_others():
    values, uploaders = {1: np.zeros(2), 2: np.zeros(2)}, {1: np.array([0, 1]), 2: np.array([0, 0])}
    assert by_video(scores({1: "x", 2: "y"}, values, None, uploaders), values).clusters.tolist() == [0, 1, 2, 2]
    uploaders[2] = None  # a cell of before: then each video is taken by itself
    assert by_video(scores({1: "x", 2: "y"}, values, None, uploaders), values).clusters is None


def test_the_interval_holds_its_difference_however_many_seeds_a_version_has(tmp_path):
    """Four seeds on a version where the models are alike, one on another where they are not."""
    folder = write_benchmark(tmp_path, {"b": 0.0}, seeds=(1, 2, 3, 4, 5), videos=200, noise=0.01)
    rng = np.random.default_rng(0)
    for seed in range(1, 6):
        version, shift = ("sim", 0.0) if seed < 5 else ("other", 0.5)
        values = {model: rng.normal(0.3 + up, 0.05, 200) for model, up in (("a", shift), ("b", 0.0))}
        for model, array in values.items():
            write_cell(folder, model, "sim", seed, {"test": {"ndcg@10": array}}, data_hash=version)
    row = only(compare_all(load_results(folder), ["test"], ["ndcg@10"], "b"), scheme="baseline")
    assert row["difference"] == pytest.approx(0.1, abs=0.01) and row["low"] < row["difference"] < row["high"] < 0.2
    assert row["superiority"] < 0.75


def test_videos_are_tested_by_uploader_where_it_is_known(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.01, "b": 0.0}, seeds=(1, 2), videos=60)
    alone = only(compare_all(load_results(folder), ["test"], ["ndcg@10"], "b"), scheme="baseline")
    for path in folder.glob("cells/*/videos.npz"):
        with np.load(path) as stored:
            np.savez(path, **dict(stored), **{"test/uploader": np.arange(60) // 4})
    results = load_results(folder)
    row = only(compare_all(results, ["test"], ["ndcg@10"], "b"), scheme="baseline")
    keys = [f"{name}-sim-{seed}-0a1b2c3d" for name in "ab" for seed in (1, 2)]
    a1, a2, b1, b2 = (results.videos(key, "test", "ndcg@10") for key in keys)
    assert (alone["uploaders"], row["uploaders"], row["videos"]) == (0, 15, 60)
    assert row["p_videos"] == paired_test((a1 + a2 - b1 - b2) / 2, np.arange(60) // 4) != alone["p_videos"]
    assert "60 videos of 15 uploaders" in sentence(row) and "over 60 videos;" in sentence(alone)


def test_a_seed_on_other_data_is_left_out(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.0, "b": 0.0}, seeds=(1, 2), videos=10)
    write_cell(folder, "a", "sim", 2, {"test": {"ndcg@10": np.ones(10)}}, data_hash="changed")
    row = only(compare_all(load_results(folder), ["test"], ["ndcg@10"], "b"), scheme="baseline")
    assert row["seeds"] == 1 and row["note"] == "1 seed left out: the data differ" and row["difference"] < 0.5


def test_a_model_with_a_teacher_is_paired_with_one_without(tmp_path):
    """The data of a teacher are a second part of the hash; the videos are the same."""
    folder = write_benchmark(tmp_path, {"b": 0.0}, seeds=(1, 2), videos=10)
    for seed in (1, 2):
        write_cell(folder, "a", "sim", seed, {"test": {"ndcg@10": np.ones(10)}}, data_hash="sim-teacher")
    row = only(compare_all(load_results(folder), ["test"], ["ndcg@10"], "b"), scheme="baseline")
    assert (row["model"], row["videos"], row["simulations"], row["seeds"]) == ("a", 10, 1, 2)


def test_other_videos_are_never_paired(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.1, "b": 0.0}, seeds=(1, 2), videos=10)
    path = folder / "cells" / "a-sim-1-0a1b2c3d" / "videos.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, "test/video": arrays["test/video"][::-1]})
    results = load_results(folder)
    scores = [scores_of(results, name, "sim", "test", "ndcg@10") for name in "ab"]
    videos, seeds, used, note = compare_scores(*scores)
    assert len(videos.values) == 0 and len(seeds) == len(used) == 2 and "cannot be paired" in note


def test_families_are_corrected_each_for_itself(tmp_path):
    effects = {"a": 0.006, "b": 0.003, "c": 0.0}
    datasets = {"one": {}, "two": {}}
    results = load_results(write_benchmark(tmp_path, effects, datasets=datasets, seeds=(1, 2), videos=60))
    found = compare_all(results, ["test"], ["ndcg@10", "recall@10"], "c")
    assert len(found) == 2 * (2 + 3 + 2)  # against c, all pairs of the first metric, against c in the second
    for _, family in found.groupby(["dataset", "test", "metric", "scheme"]):
        assert family["holm_videos"].to_numpy() == pytest.approx(holm(family["p_videos"].to_numpy()))
        assert family["holm_seeds"].to_numpy() == pytest.approx(holm(family["p_seeds"].to_numpy()))
    without = compare_all(results, ["test"], ["ndcg@10", "recall@10"], None)
    assert set(without["scheme"]) == {"pairs"} and len(without) == 2 * 2 * 3


def test_metrics_that_are_no_means_over_videos_are_tested_over_seeds(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.1, "b": 0.0}, videos=10)
    row = only(compare_all(load_results(folder), ["test"], ["averagepopularity@10"], "b"), scheme="baseline")
    assert row["difference"] == pytest.approx(4) and row["better"] == -1 and row["videos"] == 0
    assert np.isnan(row["p_videos"]) and row["note"] == "no values by video" and verdict(row) == "seeds"


def test_nothing_in_common(tmp_path):
    folder = write_benchmark(tmp_path, {"a": 0.1}, seeds=(1,), videos=10)
    write_cell(folder, "b", "sim", 2, {"test": {"ndcg@10": np.ones(10)}})
    found = compare_all(load_results(folder), ["test"], ["ndcg@10"], "b")
    assert found.empty and "holm_videos" in found
