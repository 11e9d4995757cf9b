from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recbole_decm.data.candidates import IdLists, draw_negatives, read_candidates
from recbole_decm.errors import DataError


def lists_of(*rows):
    pairs = [(row, item) for row, items in enumerate(rows) for item in items]
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return IdLists.group(array[:, 0], array[:, 1], len(rows))


def rows_of(lists: IdLists):
    return [lists.ids[a:b].tolist() for a, b in zip(lists.offsets[:-1], lists.offsets[1:], strict=True)]


def test_group_sorts_and_drops_repeats():
    lists = IdLists.group(np.array([2, 0, 2, 0]), np.array([5, 9, 5, 1]), 3)
    assert rows_of(lists) == [[1, 9], [], [5]]
    assert lists.counts().tolist() == [2, 0, 1]
    assert [part.tolist() for part in lists.slice(1, 3)] == [[1], [5]]


def test_negatives_are_distinct_and_not_excluded():
    excluded = lists_of(*[[i % 20 + 1, (i + 3) % 20 + 1] for i in range(200)])
    drawn = rows_of(draw_negatives(np.random.default_rng(0), excluded, 20, 18))
    for row, (out, left) in enumerate(zip(rows_of(excluded), drawn, strict=True)):
        assert sorted([*out, *left]) == list(range(1, 21)), row


def test_the_draw_is_uniform_and_repeats_with_its_seed():
    excluded = lists_of(*[[1]] * 6000)
    first = draw_negatives(np.random.default_rng(7), excluded, 10, 3)
    again = draw_negatives(np.random.default_rng(7), excluded, 10, 3)
    assert np.array_equal(first.ids, again.ids)
    share = np.bincount(first.ids, minlength=11)[1:] / 6000
    assert share[0] == 0 and np.allclose(share[1:], 3 / 9, atol=0.03)


def test_draws_by_weight_follow_the_weights():
    weights = np.array([1.0, 2.0, 7.0])
    drawn = draw_negatives(np.random.default_rng(0), lists_of(*[[]] * 8000), 3, 1, weights)
    assert np.allclose(np.bincount(drawn.ids, minlength=4)[1:] / 8000, weights / 10, atol=0.02)


def test_too_few_music_to_draw_from():
    with pytest.raises(DataError, match=r"at least 10 music to draw.*found 9"):
        draw_negatives(np.random.default_rng(0), lists_of([3]), 10, 10)


VIDEOS, MUSIC = pd.Index(["[PAD]", "v1", "v2", "v3"]), pd.Index(["[PAD]", "a", "b", "c", "d"])


def read(tmp_path, text, wanted=(3, 1)):
    path = tmp_path / "x.test.candidates"
    path.write_text("video_id:token\tmusic_id:token_seq\n" + text)
    return read_candidates(path, "video_id", "music_id", VIDEOS, MUSIC, np.array(wanted), lists_of([1], [2]))


def test_candidates_come_in_the_order_of_the_evaluated_videos(tmp_path):
    lists = read(tmp_path, "v1\td a\nv2\ta\nv3\tc b d\n")
    assert rows_of(lists) == [[2, 3, 4], [1, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v1\ta\nv9\tb\nv3\tb\n", "line 3: expected a video of the .user file, found 'v9'"),
        ("v1\ta\nv3\tb\nv1\tb\n", "line 4: expected one line a video, found 'v1' again"),
        ("v1\ta\n", "expected a line for every evaluated video, found none for 'v3'"),
        ("v1\ta\nv3\tb x\n", "line 3: expected music of the .item file, found 'x'"),
        ("v1\ta c a\nv3\tb\n", "line 2: expected each music once, found 'a' again"),
        ("v1\ta\nv3\t\n", "line 3: expected at least one music"),
        ("v1\ta b\nv3\tb\n", "line 2: expected negatives only, found 'b', the music of this video"),
    ],
)
def test_bad_candidates(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)
