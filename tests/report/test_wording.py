"""Sentences say what the comparison says, the right way round, and no more."""

from __future__ import annotations

import pandas as pd
import pytest

from recbole_decm.report.comparisons import Comparison
from recbole_decm.report.wording import findings, p_text, sentence, verdict

NAN = float("nan")


def row(**changes):
    base = Comparison(
        *("sim", "test", "ndcg@10", "DecCMPlus", "DeepFM", "baseline", 5, 300, 90, 1, 0.431, 0.4),
        *(0.031, 0.022, 0.04, 0.002, 0.004, 0.003, 0.006, 5, 0.45, 0.66, 1, ""),
    )
    return {**base.__dict__, **changes}


def test_a_difference_that_holds():
    assert sentence(row()) == (
        "DecCMPlus is above DeepFM on sim by 0.0310 NDCG@10 (95 % CI 0.0220 to 0.0400; p = 0.004 after Holm, "
        "over 300 videos of 90 uploaders; 5 of 5 seeds, p = 0.006 after Holm; dz = 0.45)."
    )


def test_the_better_model_comes_first():
    swapped = row(difference=-0.031, low=-0.04, high=-0.022, dz=-0.45, better=-1, test="test_do")
    assert sentence(swapped).startswith(
        "DeepFM is above DecCMPlus on sim (do) by 0.0310 NDCG@10 (95 % CI 0.0220 to 0.0400"
    )


@pytest.mark.parametrize("better", [1, -1])
def test_less_is_better(better):
    sign = -better
    low, high = sorted((sign * 0.04, sign * 0.022))
    told = sentence(row(metric="genrekl@10", difference=sign * 0.031, low=low, high=high, better=better))
    first, second = ("DecCMPlus", "DeepFM") if better > 0 else ("DeepFM", "DecCMPlus")
    start = f"{first} is below {second} on sim by 0.0310 GenreKL@10, where less is better (95 % CI 0.0220 to 0.0400;"
    assert told.startswith(start)


def test_a_difference_that_does_not():
    told = sentence(row(holm_videos=0.4, holm_seeds=0.3, seeds=3, seeds_agreeing=2, low=-0.01, high=0.07))
    assert told.startswith("DecCMPlus and DeepFM cannot be told apart on sim: above by 0.0310 NDCG@10")
    assert "2 of 3 seeds, p = 0.300 after Holm; with 3 seeds that test has little power" in told


def test_one_seed_claims_nothing_of_others():
    single = row(seeds=1, seeds_agreeing=1, p_seeds=NAN, holm_seeds=NAN)
    assert verdict(single) == "videos" and "one seed, which says nothing of others" in sentence(single)


def test_videos_of_several_simulations_are_named():
    assert "over 1,500 videos of 90 uploaders in 5 versions of the data" in sentence(row(videos=1500, simulations=5))
    assert "over 300 videos; 5 of" in sentence(row(uploaders=0))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "holds"),
        ({"holm_seeds": 0.2}, "videos"),
        ({"holm_videos": 0.2}, "seeds"),
        ({"holm_videos": 0.2, "holm_seeds": 0.2}, "none"),
        ({"holm_videos": 0.05, "holm_seeds": 0.05}, "none"),
        ({"p_seeds": NAN, "holm_seeds": NAN}, "holds"),  # five seeds, one and the same difference
        ({"p_seeds": NAN, "holm_seeds": NAN, "holm_videos": 0.2}, "none"),
        ({"p_videos": NAN, "holm_videos": NAN}, "seeds"),
        ({"p_videos": NAN, "holm_videos": NAN, "p_seeds": NAN, "holm_seeds": NAN, "seeds": 1}, "untested"),
    ],
)
def test_verdicts(changes, expected):
    assert verdict(row(**changes)) == expected


def test_findings_are_those_with_the_reference_of_each_test_set():
    rows = [row(), row(reference="FM"), row(dataset="two", model="DeepFM", reference="FM"), row(metric="recall@10")]
    found = findings(pd.DataFrame(rows), "ndcg@10", {("sim", "test"): "DeepFM", ("two", "test"): "FM"})
    assert {place: len(told) for place, told in found.items()} == {("sim", "test"): 1, ("two", "test"): 1}
    assert found["two", "test"] == [("holds", sentence(rows[2]))]


def test_small_p_values():
    assert (p_text(0.0004), p_text(0.0404)) == ("p < 0.001", "p = 0.040")
