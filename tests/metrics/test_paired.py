"""Tests, intervals and effect sizes against hand computation, naive loops and closed forms."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from recbole_decm.metrics.paired import (
    LARGE,
    cohens_dz,
    holm,
    mean_interval,
    paired_test,
    seeds_interval,
    seeds_test,
    superiority,
)


def every_pattern(differences):
    """The two-sided sign-flip p-value, by a loop over all patterns: twice the smaller tail."""
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    seen = sum(differences)
    above, below = (np.mean([side * total >= side * seen - 1e-12 for total in sums]) for side in (1, -1))
    return min(1.0, 2 * min(above, below))


def test_sign_flips_by_hand():
    assert paired_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert paired_test(np.array([1.0, 1.0, 1.0, -1.0])) == pytest.approx(10 / 16)


@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_against_a_loop(seed):
    differences = np.random.default_rng(seed).normal(0.4, 1, 9).round(1)
    assert paired_test(differences) == pytest.approx(every_pattern(differences))


def test_ties_of_binary_metrics_are_the_sign_test():
    # 40 wins and 22 losses: flipping signs of ones is a fair coin, so the exact answer is binomial.
    differences = np.concatenate([np.ones(40), -np.ones(22), np.zeros(500)])
    exact = stats.binomtest(40, 62).pvalue
    assert paired_test(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999))


def test_zeros_change_nothing():
    differences = np.random.default_rng(0).normal(0.2, 1, 40)
    assert paired_test(np.concatenate([differences, np.zeros(100)])) == paired_test(differences)
    assert paired_test(np.zeros(50)) == paired_test(np.array([0.0, 0.0, 0.7])) == 1
    assert math.isnan(paired_test(np.array([0.3])))


def test_large_samples_take_the_t_test_and_the_two_agree_at_the_border():
    differences = np.random.default_rng(1).normal(0.02, 1, LARGE + 1)
    assert paired_test(differences) == stats.ttest_1samp(differences, 0).pvalue
    drawn = paired_test(differences[:-1])
    assert drawn == pytest.approx(stats.ttest_1samp(differences[:-1], 0).pvalue, abs=0.02) and drawn > 0.01


def test_false_alarms_stay_at_their_rate():
    generator = np.random.default_rng(2)
    p = np.array(
        [paired_test(generator.standard_exponential(9) - generator.standard_exponential(9)) for _ in range(300)]
    )
    assert 0.025 < np.mean(p <= 0.05) < 0.08 and 0.42 < np.mean(p <= 0.5) < 0.58


def drawn_by_uploader(rng, videos=240, uploaders=48, share=0.3):
    """Differences without effect, ``share`` of whose variance is the uploader's, and the uploader of each."""
    owner = rng.choice(uploaders, videos, p=rng.dirichlet(np.full(uploaders, 2.0)))
    return share**0.5 * rng.normal(size=uploaders)[owner] + (1 - share) ** 0.5 * rng.normal(size=videos), owner


def test_clusters_keep_false_alarms_at_their_rate_and_power():
    rng = np.random.default_rng(1)
    draws = [drawn_by_uploader(rng) for _ in range(400)]

    def alarms(effect, known, count):
        p = [paired_test(x + effect, owner if known else None, resamples=499) for x, owner in draws[:count]]
        return np.mean(np.array(p) < 0.05)

    assert 0.03 <= alarms(0, True, 400) <= 0.07 and alarms(0, False, 150) > 0.2 and alarms(0.4, True, 100) > 0.8


def test_the_interval_of_clusters_is_that_of_their_totals():
    """As wide as the standard error that heeds clusters, which is twice that of videos taken one by one here."""
    values, owner = drawn_by_uploader(np.random.default_rng(2), videos=4_000, uploaders=400)
    centred = np.bincount(owner, values - values.mean())
    half = 1.96 * math.sqrt(400 / 399 * (centred**2).sum()) / len(values)
    low, high = mean_interval(values, owner)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    alone = mean_interval(values)
    assert high - low > 1.7 * (alone.high - alone.low)


def test_clusters_by_hand():
    values, owner = np.array([1.0, 1.0, 3.0, -1.0]), np.array([7, 7, 3, 5])  # totals 2, 3, -1
    assert paired_test(values, owner) == pytest.approx(every_pattern([2.0, 3.0, -1.0]))
    assert paired_test(values, weights=np.array([1.0, 1.0, 1.0, 3.0])) == pytest.approx(every_pattern([1, 1, 3, -3]))
    assert math.isnan(paired_test(values, np.zeros(4))) and np.isnan(mean_interval(values, np.zeros(4))).all()


def test_clusters_of_one_video_are_none_and_their_order_is_no_matter():
    values = np.random.default_rng(3).normal(0.1, 1, 60)
    assert paired_test(values, np.arange(60)) == paired_test(values)
    assert mean_interval(values, np.arange(60)) == mean_interval(values)


def test_many_clusters_take_the_t_test_of_their_totals():
    values, owner = np.random.default_rng(4).normal(0.01, 1, 2 * LARGE + 2), np.arange(2 * LARGE + 2) // 2
    totals = values.reshape(-1, 2).sum(axis=1)
    assert paired_test(values, owner) == pytest.approx(stats.ttest_1samp(totals, 0).pvalue)
    half = 1.96 * totals.std(ddof=1) / math.sqrt(len(totals)) / 2
    assert mean_interval(values, owner) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-5)


def test_a_weighted_mean_lies_in_its_interval():
    rng = np.random.default_rng(5)
    values, weights = np.concatenate([rng.normal(0, 0.01, 100), rng.normal(1, 0.01, 100)]), np.repeat([3.0, 1.0], 100)
    low, high = mean_interval(values, weights=weights)
    assert low < np.average(values, weights=weights) < high < 0.4 and high - low < 0.15
    assert superiority(values - 0.5, weights) == pytest.approx(0.25)
    assert cohens_dz(values, weights) == pytest.approx(0.25 / (0.25 * 0.75) ** 0.5, abs=0.02)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and the last may not fall below 0.06.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.4, 0.9, 0.6])) == pytest.approx([1, 1, 1])
    assert holm(np.array([0.02])) == pytest.approx([0.02]) and len(holm(np.array([]))) == 0


def test_holm_leaves_out_what_was_not_tested():
    found = holm(np.array([np.nan, 0.02, np.nan, 0.03]))
    assert np.isnan(found[[0, 2]]).all() and found[[1, 3]] == pytest.approx([0.04, 0.04])


def test_the_seeds_test_is_students():
    # mean 2, standard error 1 / sqrt(3): t = 3.464 with two degrees of freedom, where p = 1 - t / sqrt(t^2 + 2).
    t = 2 * math.sqrt(3)
    assert seeds_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert math.isnan(seeds_test(np.array([0.5]))) and math.isnan(seeds_test(np.array([0.1, 0.1, 0.1])))
    assert seeds_test(np.zeros(5)) == 1


def test_intervals_of_a_mean():
    values = np.random.default_rng(3).normal(0.3, 0.2, 400)
    low, high = mean_interval(values)
    width = 2 * 1.96 * values.std(ddof=1) / 20
    assert high - low == pytest.approx(width, rel=0.1) and low < values.mean() < high
    assert mean_interval(values) == (low, high)  # the same draws every time
    assert mean_interval(values, level=0.5).high < high
    assert mean_interval(np.full(10, 0.3)) == (0.3, 0.3) and np.isnan(mean_interval(np.array([0.3]))).all()


def test_the_interval_of_skewed_values_leans_to_their_tail():
    values = np.random.default_rng(4).exponential(1, 40) ** 2
    low, high = mean_interval(values)
    assert high - values.mean() > 1.15 * (values.mean() - low)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(5)
    found = [mean_interval(generator.normal(1, 1, 60), level=0.8) for _ in range(150)]
    assert 0.7 < np.mean([low <= 1 <= high for low, high in found]) < 0.9


def test_large_samples_take_the_t_interval():
    values = np.random.default_rng(6).normal(0, 1, LARGE + 1)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert mean_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


def test_the_interval_over_seeds():
    # t of two degrees of freedom at 97.5 %: 4.3027; standard error 1 / sqrt(3).
    assert seeds_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert seeds_interval(np.array([1.0, 1.0])) == (1, 1) and np.isnan(seeds_interval(np.array([1.0]))).all()


def test_effect_sizes_by_hand():
    assert cohens_dz(np.array([1.0, 2.0, 3.0])) == pytest.approx(2)
    assert cohens_dz(np.zeros(3)) == 0 and math.isnan(cohens_dz(np.ones(3))) and math.isnan(cohens_dz(np.ones(1)))
    assert superiority(np.array([1.0, 0.0, -1.0, 2.0])) == pytest.approx(0.625)


def test_folds_that_share_training_rows_count_for_less():
    """By hand: mean 2, variance 1 of three folds; the variance of the mean is 1 (1/3 + 1/2), so t is 2 / sqrt(5/6)."""
    differences = np.array([1.0, 2.0, 3.0])
    t = 2 / np.sqrt(5 / 6)
    assert seeds_test(differences, shared=0.5) == pytest.approx(2 * stats.t.sf(t, 2))
    assert seeds_test(differences, "less", shared=0.5) == pytest.approx(stats.t.cdf(t, 2))
    assert seeds_test(differences) == pytest.approx(2 * stats.t.sf(2 * np.sqrt(3), 2))
    low, high = seeds_interval(differences, shared=0.5)
    assert high - 2 == pytest.approx(2 - low) == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(5 / 6))
