"""Retrieval ranks as the model's own full_sort_predict, for every fusion and adjustment."""

from __future__ import annotations

import pytest
import torch
from helpers.running import make_config

from recbole_decm.errors import ConfigError
from recbole_decm.model.backdoor import adjusted_log_softmax
from recbole_decm.model.fusions import FUSIONS
from recbole_decm.serving.adjusted import adjusted_top_k
from recbole_decm.serving.search import top_k
from recbole_decm.serving.vectors import CatalogueVectors, exact_top_k, query_vectors
from recbole_decm.training.run import build

VIDEOS = torch.tensor([1, 3, 9, 77, 500])


def model_of(planted, name="DecCM", **values):
    """An untrained model whose every parameter matters, in double precision so that no ranking hangs on a last bit."""
    teacher = {"teacher": "none"} if name.startswith("DecCM") and name != "DecCMTeacher" else {}
    values = {**teacher, "latent_dimension": 16, **values}
    model, _ = build(make_config(name, planted, **values))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in getattr(model, "fusion", torch.nn.Module()).parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for norm in (encoder.norm for encoder in model.encoders.values()):
            norm.running_mean.normal_()
    return _double(model.eval())


def _double(model):
    model.double()
    lookup = type(model.visual).lookup
    for name in ("visual", "acoustic"):
        matrix = getattr(model, name)
        object.__setattr__(matrix, "lookup", lambda ids, matrix=matrix: lookup(matrix, ids).double())
    return model


def own_scores(model):
    """(V, M) of the model itself, without the padding."""
    with torch.no_grad():
        return model.full_sort_predict({"video_id": VIDEOS}).view(len(VIDEOS), -1)[:, 1:]


def sides(model):
    return model.visual.lookup(VIDEOS), model.uploaders_of(VIDEOS)


PRIORS = ["mean", "uniform", "uploader", [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("backdoor", ["batch", "population", "exact", "conditional"])
def test_rankings_are_the_models(planted, backdoor, fusion):
    model = model_of(planted, backdoor=backdoor, confounder_fusion=fusion)
    for prior in PRIORS:
        model.rank_under(tuple(prior) if isinstance(prior, list) else prior)
        own, music = own_scores(model), CatalogueVectors(model)
        scores, rows = exact_top_k(model, music, *sides(model), 40)
        assert torch.equal(rows, own.argsort(dim=1, descending=True)), prior
        shift = own.gather(1, rows) - scores
        assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-9)
        if backdoor != "exact":
            assert shift.abs().max() < 1e-9
        dot = model.adjustment.ranks_by_dot_product
        assert dot == (backdoor != "exact" or fusion == "linear" or prior == PRIORS[-1])
        product = query_vectors(model, *sides(model)) @ torch.cat(list(music)).T
        same = torch.equal(product.argsort(dim=1, descending=True), rows)
        assert same or not dot


@pytest.mark.parametrize(("name", "values"), [("CMVAE", {}), ("DecCM", {"backdoor": "none"}), ("DecCMTeacher", {})])
def test_models_without_a_confounder(planted, name, values):
    model = model_of(planted, name, **values)
    found = exact_top_k(model, CatalogueVectors(model), *sides(model), 40)
    expected = own_scores(model).sort(dim=1, descending=True)
    assert torch.allclose(found[0], expected.values) and torch.equal(found[1], expected.indices)


def test_the_guide_of_the_plus_model_is_in_the_vectors(planted):
    model = model_of(planted, "DecCMPlus", teacher="auto", teacher_score_weight=0.7)
    assert model.guided
    found = exact_top_k(model, CatalogueVectors(model), *sides(model), 40)
    assert torch.equal(found[1], own_scores(model).argsort(dim=1, descending=True))
    assert torch.cat(list(CatalogueVectors(model))).shape == (40, 2 * 16 + 3)


def test_encoding_again_gives_what_was_kept(planted, monkeypatch):
    model = model_of(planted, backdoor="conditional", confounder_fusion="genre")
    monkeypatch.setattr("recbole_decm.model.cmvae._ENCODE_ROWS", 7)
    kept, streamed = CatalogueVectors(model, keep=True), CatalogueVectors(model, keep=False)
    blocks = [list(streamed) for _ in range(2)]
    assert [len(block) for block in blocks[0]] == [7] * 5 + [5]
    assert all(torch.equal(torch.cat(list(kept)), torch.cat(list(part))) for part in blocks)
    assert (kept.count, kept.dim) == (40, 19) and CatalogueVectors(model).keeps
    monkeypatch.setattr("recbole_decm.serving.vectors.free_memory", lambda device: 1_000)
    assert not CatalogueVectors(model).keeps


def test_uploaders_are_asked_for(planted):
    model = model_of(planted, backdoor="conditional", confounder_fusion="bilinear", inference_prior="uploader")
    with pytest.raises(ConfigError, match="--uploaders, or rank under another prior"):
        query_vectors(model, model.visual.lookup(VIDEOS))


def test_the_adjustment_in_blocks_is_that_of_the_whole_matrix():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    music = torch.randn(90, 6, generator=generator, dtype=torch.float64)
    priors = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5]], dtype=torch.float64)
    whole = adjusted_log_softmax(queries @ music.T, priors, 0.3)
    for size in (7, 90):
        scores, rows = adjusted_top_k(queries, music.split(size), priors, 0.3, 12)
        expected = whole.topk(12, dim=1)
        assert torch.equal(rows, expected.indices) and torch.allclose(scores, expected.values, atol=1e-12)
    by_mean = top_k((priors.T.unsqueeze(2) * queries).sum(dim=0), music, 12)[1]
    assert not torch.equal(by_mean, whole.topk(12, dim=1).indices)
