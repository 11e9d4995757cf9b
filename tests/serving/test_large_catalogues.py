"""Evaluation does not need more memory because the catalogue is large."""

from __future__ import annotations

import pytest
import torch
from helpers.running import make_config

from recbole_decm.data.loaders import FullRankingLoader
from recbole_decm.training.run import build

VALUES = {"teacher": "none", "latent_dimension": 16}


@pytest.mark.parametrize("backdoor", ["none", "batch", "conditional", "exact"])
def test_pairs_are_scored_in_blocks(planted, backdoor, monkeypatch):
    """Blocks change nothing, and none is larger than allowed."""
    model, _ = build(make_config("DecCM", planted, **VALUES, backdoor=backdoor, confounder_fusion="mixture"))
    generator = torch.Generator().manual_seed(0)
    videos = torch.randint(1, 601, (500,), generator=generator)
    pairs = {"video_id": videos, "music_id": torch.randint(1, 41, (500,), generator=generator)}
    with torch.no_grad():
        whole = model.eval().predict(pairs)
        monkeypatch.setattr("recbole_decm.model.scores.PAIR_CELLS", 7 * 64)
        monkeypatch.setattr("recbole_decm.model.decm._EXACT_CELLS", 3 * model.n_items)
        most = []
        matrix = model.score_matrix
        monkeypatch.setattr(model, "score_matrix", lambda ids: most.append(len(ids)) or matrix(ids))
        assert torch.allclose(model.predict(pairs), whole, atol=1e-6)
    assert (max(most) == 3) if backdoor == "exact" else not most


def test_a_batch_of_full_evaluation_holds_so_many_scores_and_at_least_one_video(planted):
    for cells, videos in ((41 * 7 + 40, 7), (5, 1)):
        _, splits = build(make_config("CMVAE", planted, eval_batch_size=cells, latent_dimension=16))
        assert isinstance(splits.test, FullRankingLoader) and splits.test.step == videos
        assert max(len(batch[0]) for batch in splits.test) == videos
