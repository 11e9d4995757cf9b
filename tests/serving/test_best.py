"""The k best of many columns at once, against a stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_decm.serving.best import best, best_of_columns


def sorted_places(scores, k):
    order = np.argsort(-scores, kind="stable")[:k]
    return order[scores[order] > -np.inf].tolist()


@pytest.mark.parametrize("rows", [1, 50, 3_000, 64 * 200, 64 * 200 + 37])
@pytest.mark.parametrize("k", [[10, 10, 10, 10], [1, 49, 700, 5]])
def test_each_column_has_its_best_and_of_equal_scores_the_first_row(rows, k):
    scores = np.random.default_rng(rows).integers(-40, 40, (rows, 4)).astype(np.float32)  # ties everywhere
    scores[: rows // 3] = -np.inf
    scores[:, 3] = -np.inf  # nothing to find
    wanted = [min(one, rows) for one in k]
    found = best_of_columns(scores, wanted)
    assert [places.tolist() for places in found] == [
        sorted_places(scores[:, column], one) for column, one in enumerate(wanted)
    ]
    assert best(scores[:, 0], wanted[0]).tolist() == found[0].tolist()
