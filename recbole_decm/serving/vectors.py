"""How the score of a model becomes one dot product, and the catalogue as blocks of vectors.

Every fusion of :mod:`recbole_decm.model.fusions` has a query and a key whose dot product is the score: additive terms
are a constant coordinate, a sum over K groups is K blocks side by side, the prior stands on the video's side. What is
no dot product is ``backdoor: exact``, the logarithm of a sum of probabilities, but for two cases in which its ranking
is that of one: the linear fusion, which adds the same number to every track under every group, and a prior that knows
the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from recbole_decm.errors import ConfigError
from recbole_decm.io import resources
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.serving.adjusted import adjusted_top_k
from recbole_decm.serving.search import MUSIC_BLOCK, top_k
from recbole_decm.serving.videos import VIDEO_BLOCK


@torch.no_grad()
def query_vectors(model: CMVAE, visual: Tensor, uploaders: Tensor | None = None) -> Tensor:
    """The videos' vectors, whose dot products with the catalogue's rank as the model does, where any do.

    Args:
        visual: (B, F) features.
        uploaders: (B, K) preferences of the uploaders, for ``inference_prior: uploader``.

    Raises:
        ConfigError: the model ranks under the uploaders' preferences, and none are given.
    """
    return model.ranking_vectors(visual.to(model.device), _checked(model, uploaders))


def _checked(model: CMVAE, uploaders: Tensor | None) -> Tensor | None:
    if model.adjustment.needs_uploaders and uploaders is None:
        raise ConfigError(
            "inference_prior: expected mean, uniform or probabilities where the uploaders' preferences are not given, "
            "found uploader. Give them with --uploaders, or rank under another prior: --inference_prior=uniform."
        )
    return None if uploaders is None else uploaders.to(model.device)


def free_memory(device: torch.device | str) -> int:
    """Bytes that can be allocated on a device without swapping."""
    return int(torch.cuda.mem_get_info(device)[0]) if torch.device(device).type == "cuda" else resources.free_memory()


class CatalogueVectors:
    """The catalogue's vectors in blocks, row j for the track of internal id j + 1; can be iterated over many times.

    They are encoded once and kept where they take less than half of the free memory; otherwise each iteration encodes
    them again, so that memory does not grow with the catalogue.

    Args:
        model: in evaluation mode.
        keep: whether to keep them; None decides by the free memory.
    """

    def __init__(self, model: CMVAE, keep: bool | None = None):
        self.model = model
        self.count = len(model.acoustic) - 1
        with torch.no_grad():
            first = model.music_block(torch.arange(1, min(2, self.count + 1)))
        self.dim = first.shape[1]
        size = self.count * self.dim * first.element_size()
        self.keeps = size < free_memory(model.device) // 2 if keep is None else keep
        self._kept: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        if self.keeps and self._kept is None:
            kept, start = None, 0
            for block in self._encoded():
                kept = block.new_empty(self.count, self.dim) if kept is None else kept
                kept[start : start + len(block)] = block
                start += len(block)
            self._kept = kept
        return self._encoded() if self._kept is None else iter(self._kept.split(MUSIC_BLOCK))

    def release(self) -> None:
        """Give the memory of what is kept back; the next iteration encodes again."""
        self._kept = None

    def _encoded(self) -> Iterator[Tensor]:
        for ids in self.model.catalogue_ids():
            with torch.no_grad():  # not around the yield: it would hold for whoever takes the block
                block = self.model.music_block(ids)
            yield block


@torch.no_grad()
def exact_top_k(
    model: CMVAE,
    music: CatalogueVectors,
    visual: Tensor,
    uploaders: Tensor | None,
    k: int,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k tracks that the model scores highest for every video, whatever its fusion and adjustment.

    Args:
        visual: (B, F); uploaders: (B, K) or None, as of :func:`query_vectors`.
        allowed: (M,) bool on the model's device, the tracks to choose from; None for all.

    Returns:
        scores (B, k) and rows (B, k) of the catalogue, as of :func:`~recbole_decm.serving.search.top_k`.
    """
    if model.adjustment.ranks_by_dot_product:
        return _of_products(model, query_vectors(model, visual, uploaders), music, k, allowed)
    latent, uploaders = model.video_latents(visual.to(model.device)), _checked(model, uploaders)
    parts = []
    for start in range(0, len(latent), VIDEO_BLOCK):
        rows = slice(start, start + VIDEO_BLOCK)
        part = model.adjustment.group_queries(latent[rows], None if uploaders is None else uploaders[rows])
        parts.append(adjusted_top_k(part.queries, music, part.priors, part.temperature, k, allowed))
    return torch.cat([scores for scores, _ in parts]), torch.cat([rows for _, rows in parts])


def _of_products(
    model: CMVAE, queries: Tensor, music: CatalogueVectors, k: int, allowed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The top k where a score is made of one dot product; tracks that are not allowed are not multiplied with."""
    rows = torch.arange(music.count, device=model.device)
    blocks: Iterable[Tensor] = music
    if allowed is not None:
        rows, blocks = rows[allowed], _chosen(music, allowed)
    scores, places = top_k(queries, blocks, k, score=lambda products, at: model.scores_of(products, rows[at] + 1))
    return scores, places if allowed is None else _rows_at(rows, places)


def _chosen(music: Iterable[Tensor], allowed: Tensor) -> Iterator[Tensor]:
    """The allowed tracks' vectors, block by block."""
    start = 0
    for block in music:
        yield block[allowed[start : start + len(block)]]
        start += len(block)


def _rows_at(rows: Tensor, places: Tensor) -> Tensor:
    """``rows`` at some places; -1 stays."""
    if not len(rows):
        return places
    return torch.where(places < 0, places, rows[places.clamp(min=0)])
