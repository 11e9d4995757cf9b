from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.data.priors import (
    check_probabilities,
    genre_membership,
    genre_vocabulary,
    number_uploaders,
    priors_from_training,
)
from recbole_decm.errors import DataError


def test_vocabulary_is_in_natural_order():
    assert genre_vocabulary([["g10", "g2"], [], ["g1"]]) == ["g1", "g2", "g10"]
    assert genre_vocabulary([["10"], ["9", "0"]]) == ["0", "9", "10"]
    assert genre_vocabulary([["rock", "pop", "2step"]]) == ["2step", "pop", "rock"]


def test_membership_shares_a_music_between_its_genres():
    membership = genre_membership([["a", "b"], [], ["b"]], ["a", "b", "c"])
    assert membership.tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 1, 0]]


def test_priors_from_training_by_hand():
    """Uploader 0 chose genre 0 twice and genre 1 once; uploader 1 chose nothing; smoothing 1."""
    uploader = np.array([0, 0, 0, 1])
    rows = (np.array([0, 1, 2]), np.array([0, 0, 1]))
    full, others = priors_from_training(uploader, *rows, np.eye(2, dtype=np.float32), 1.0)
    assert np.allclose(full, [[3 / 5, 2 / 5]] * 3 + [[0.5, 0.5]])
    assert np.allclose(others, [[0.5, 0.5], [0.5, 0.5], [3 / 4, 1 / 4], [0.5, 0.5]])  # each without its own choice


def test_a_video_with_several_choices_leaves_all_of_them_out():
    uploader, rows = np.array([0, 0]), (np.array([0, 0, 1]), np.array([0, 1, 1]))
    full, others = priors_from_training(uploader, *rows, np.eye(2, dtype=np.float32), 1.0)
    assert np.allclose(full, [[2 / 5, 3 / 5]] * 2) and np.allclose(others, [[1 / 3, 2 / 3], [0.5, 0.5]])


def test_unknown_uploaders_are_many():
    assert number_uploaders(["b", "", "a", "b", ""]).tolist() == [0, 3, 2, 0, 4]
    assert number_uploaders([]).tolist() == []


def test_probabilities_are_checked_row_by_row():
    def place(row: int) -> str:
        return f"a.user, line {row + 2}"

    check_probabilities(np.array([[0.25, 0.75], [1.0005, 0.0]]), place, "p")
    with pytest.raises(DataError, match=r"a.user, line 3: expected probabilities that sum to 1 in 'p', found -0\.1"):
        check_probabilities(np.array([[0.5, 0.5], [1.1, -0.1]]), place, "p")
    with pytest.raises(DataError, match=r"line 2: expected probabilities that sum to 1 in 'p', found a sum of 0\.9"):
        check_probabilities(np.array([[0.4, 0.5], [0.5, 0.5]]), place, "p")
