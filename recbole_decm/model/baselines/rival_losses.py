"""Terms of the rivals from the literature of this task, as pure functions of tensors.

Shapes: B pairs in a batch, D dimensions of an embedding, F features, K genre groups.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize


def structure_loss(embedded: Tensor, features: Tensor, rows: int) -> Tensor:
    """Soft intra-modal structure: which of two others is the nearer one should be the same before and after embedding.

    For an anchor i and two others j and k, with d = e_i . e_j - e_i . e_k and d' the same of the features' directions,
    the term is (sign(d) - sign(d')) d: 0 where both say the same, else twice the difference. Others of an anchor are
    the rows that follow it in the batch, whose order is random.

    Args:
        embedded: (B, D) unit vectors; features: (B, F), whose gradient is not asked for.
        rows: how many others an anchor has; those there are if the batch holds fewer.

    Returns:
        () float, at least 0: the mean over anchors and pairs of others; 0 with fewer than two others.

    Reference:
        Hong, Im, Yang. "CBVMR: Content-Based Video-Music Retrieval Using Soft Intra-Modal Structure Constraint." ICMR
        2018 (arXiv 1704.06761). Sign and form are those of the authors' code (csehong/VM-NET, embed_structure_loss.py),
        which compares distances, -e_i . e_j, and takes neighbouring rows of the batch as j and k.
    """
    count = min(rows, len(embedded) - 1)
    if count < 2:
        return embedded.new_zeros(())
    anchors = torch.arange(len(embedded), device=embedded.device)
    others = (anchors.unsqueeze(1) + torch.arange(1, count + 1, device=embedded.device)) % len(embedded)
    first, second = torch.triu_indices(count, count, offset=1, device=embedded.device)

    def differences(vectors: Tensor) -> Tensor:
        near = (vectors.unsqueeze(1) * vectors[others]).sum(dim=2)
        return near[:, first] - near[:, second]

    with torch.no_grad():
        before = differences(normalize(features.float().nan_to_num(), dim=1)).sign()
    after = differences(embedded.float())
    return ((after.detach().sign() - before) * after).mean()


def genre_contrast(logits: Tensor, membership: Tensor) -> Tensor:
    """Supervised contrastive term across modalities: all tracks of a common genre are a video's positives.

    For video i the mean over its positives j of -log softmax_j(logits_ij), then the mean over videos; averaged with the
    other direction. A pair is a positive of its own, whatever its genre.

    Args:
        logits: (B, B) scores over the temperature, matched pairs on the diagonal.
        membership: (B, K) genres of each pair's track; a row of zeros shares a genre with nobody.

    Returns:
        () float, at least 0.

    Reference:
        Khosla et al. "Supervised Contrastive Learning." NeurIPS 2020, equation 2 (the mean outside the logarithm).

    Examples:
        Of two pairs with nothing in common it is the contrastive loss; with one genre, every track is as right.

        >>> genres = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(genre_contrast(torch.eye(2) * 2, genres).item(), 4)
        0.1269
        >>> round(genre_contrast(torch.zeros(2, 2), torch.ones(2, 1)).exp().item(), 4)
        2.0
    """
    positives = ((membership @ membership.T) > 0).to(logits.dtype)
    positives.fill_diagonal_(1)

    def one_way(scores: Tensor) -> Tensor:
        chosen = (log_softmax(scores, dim=1) * positives).sum(dim=1) / positives.sum(dim=1)
        return -chosen.mean()

    return 0.5 * (one_way(logits) + one_way(logits.T))
