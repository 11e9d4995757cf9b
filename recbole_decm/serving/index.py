"""Approximate search over a large catalogue: faiss indexes of music vectors behind one option.

``flat`` compares every vector, ``hnsw`` walks a graph of near neighbours, ``ivf`` looks into the nearest clusters.
The last two search by distance, so the largest dot product is made the smallest distance by one more coordinate: with
R the largest norm of the catalogue,

    |[q, 0] - [x, sqrt(R^2 - |x|^2)]|^2 = |q|^2 + R^2 - 2 q . x.

References:
    Bachrach et al. "Speeding up the Xbox Recommender System Using a Euclidean Transformation for Inner-product
    Spaces." RecSys 2014 (the reduction).
    Malkov and Yashunin. "Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small
    World Graphs." IEEE TPAMI 42(4), 2020 (HNSW).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_decm.errors import ConfigError
from recbole_decm.io.resources import require_memory

KINDS = ("flat", "hnsw", "ivf")
EFFORTS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Values of :attr:`VectorIndex.effort` that :func:`calibrate` tries."""
_TRAIN_PER_CLUSTER = 64


def faiss() -> Any:
    """The faiss module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ConfigError(
            "index: expected exact where faiss is not installed. "
            'Install it with: pip install "recbole-decm[index]"; or use --index=exact.'
        ) from error


@dataclass(frozen=True)
class IndexOptions:
    """How an index is built.

    Attributes:
        kind: ``flat``, ``hnsw`` or ``ivf``.
        neighbours: edges of a node of ``hnsw``; memory grows by 8 bytes a track for each.
        construction: candidates ``hnsw`` looks at to place a node; more is slower to build and finds more.
        clusters: of ``ivf``; None is 4 sqrt(M), and at most M / 40.
    """

    kind: str = "hnsw"
    neighbours: int = 32
    construction: int = 100
    clusters: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"index: expected {', '.join(KINDS)}, found {self.kind!r}.")
        for name in ("neighbours", "construction", "clusters"):
            value, least = getattr(self, name), 2 if name == "neighbours" else 1
            if value is not None and value < least:
                raise ConfigError(f"index, {name}: expected a number of at least {least}, found {value}.")

    def clusters_of(self, count: int) -> int:
        """Clusters of ``ivf`` for ``count`` music."""
        return min(self.clusters or int(4 * count**0.5), max(1, count // 40))

    def size(self, count: int, dim: int) -> int:
        """Bytes of the finished index over ``count`` vectors of length ``dim``."""
        if self.kind == "flat":
            return 4 * count * dim
        vectors = 4 * count * (dim + 1)
        if self.kind == "ivf":
            return vectors + 8 * count + 4 * self.clusters_of(count) * (dim + 1)
        return vectors + count * (8 * self.neighbours + 4 * self.neighbours // (self.neighbours - 1) + 12)


class VectorIndex:
    """A faiss index of music vectors that answers with dot products.

    Attributes:
        effort: ``efSearch`` of hnsw, clusters that ivf looks into; more finds more and takes longer. flat has none.
        radius: R, the largest norm of the vectors.
    """

    def __init__(self, options: IndexOptions, raw: Any, radius: float, effort: int):
        self.options, self.raw, self.radius, self.effort = options, raw, radius, effort

    def __len__(self) -> int:
        return int(self.raw.ntotal)

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return int(self.raw.d) - (self.options.kind != "flat")

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The tracks of largest dot product that the index finds.

        Args:
            queries: (B, D) float32.

        Returns:
            scores (B, k) float32, in descending order, correct to about 1e-6 (|q|^2 + R^2); indices (B, k) int64. -inf
            and -1 where fewer than k are found.
        """
        if self.options.kind == "flat":
            scores, indices = self.raw.search(np.ascontiguousarray(queries, dtype=np.float32), k)
            return np.where(indices < 0, -np.inf, scores).astype(np.float32), indices
        if self.options.kind == "hnsw":
            self.raw.hnsw.efSearch = max(self.effort, k)
        else:
            self.raw.nprobe = min(self.effort, self.raw.nlist)
        distances, indices = self.raw.search(_lifted(queries, None), k)
        norms = np.square(queries, dtype=np.float64).sum(axis=1, keepdims=True)
        scores = (norms + self.radius**2 - distances) / 2
        return np.where(indices < 0, -np.inf, scores).astype(np.float32), indices


def build_index(
    blocks: Iterable[Any],
    count: int,
    dim: int,
    options: IndexOptions,
    on_rows: Callable[[int], object] = lambda rows: None,
) -> VectorIndex:
    """Build an index; memory is checked first.

    Args:
        blocks: (n, D) float32 blocks of the catalogue's vectors, tensors or arrays; iterated over twice.
        count, dim: M and D.
        on_rows: told the number of vectors that were just added.

    Raises:
        ConfigError: faiss is not installed.
        ResourceError: not enough memory.
    """
    library = faiss()
    # While faiss grows its arrays, an old and a new copy of the vectors exist for a moment.
    needed = options.size(count, dim) + 4 * count * (dim + 1)
    require_memory(needed, f"index: {options.kind} of {count} music", "Use --index=exact, or a machine with more.")
    if options.kind == "flat":
        raw, radius = library.IndexFlatIP(dim), 0.0
    else:
        every = max(1, count // (_TRAIN_PER_CLUSTER * options.clusters_of(count))) if options.kind == "ivf" else 0
        radius, sample = _survey(blocks, every)
        raw = _empty(library, options, count, dim + 1)
        if options.kind == "ivf":
            raw.train(_lifted(sample, radius))
    for block in blocks:
        vectors = as_array(block)
        raw.add(vectors if options.kind == "flat" else _lifted(vectors, radius))
        on_rows(len(vectors))
    return VectorIndex(options, raw, radius, EFFORTS[3])


def _empty(library: Any, options: IndexOptions, count: int, dim: int) -> Any:
    if options.kind == "hnsw":
        raw = library.IndexHNSWFlat(dim, options.neighbours, library.METRIC_L2)
        raw.hnsw.efConstruction = options.construction
        return raw
    quantizer = library.IndexFlatL2(dim)
    raw = library.IndexIVFFlat(quantizer, dim, options.clusters_of(count), library.METRIC_L2)
    raw.cp.min_points_per_centroid = 1
    return raw


def _survey(blocks: Iterable[Any], every: int) -> tuple[float, np.ndarray]:
    """The largest norm, and every ``every``-th vector (none for 0)."""
    largest, sample, start = 0.0, [], 0
    for block in blocks:
        vectors = as_array(block)
        largest = max(largest, float(np.square(vectors, dtype=np.float64).sum(axis=1).max()))
        if every:
            sample.append(vectors[-start % every :: every].copy())
        start += len(vectors)
    return largest**0.5, np.concatenate(sample) if sample else np.zeros((0, 0), np.float32)


def as_array(block: Any) -> np.ndarray:
    """A block as a contiguous float32 array; tensors come to the CPU."""
    values = block.detach().cpu().numpy() if hasattr(block, "detach") else block
    return np.ascontiguousarray(values, dtype=np.float32)


def _lifted(vectors: np.ndarray, radius: float | None) -> np.ndarray:
    """Vectors with one more coordinate: sqrt(R^2 - |x|^2), or 0 for queries (``radius`` None)."""
    lifted = np.zeros((len(vectors), vectors.shape[1] + 1), dtype=np.float32)
    lifted[:, :-1] = vectors
    if radius is not None:
        lifted[:, -1] = np.sqrt(np.maximum(radius**2 - np.square(vectors, dtype=np.float64).sum(axis=1), 0))
    return lifted


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Recall@k against exact search: the share of the exact (B, k) indices that are in the same row of ``found``."""
    hits = (exact[:, :, None] == found[:, None, :]).any(axis=2) & (exact >= 0)
    return float(hits.sum() / max(1, (exact >= 0).sum()))


def calibrate(index: VectorIndex, queries: np.ndarray, exact: np.ndarray, target: float) -> float:
    """Set the least effort that reaches ``target`` recall on some queries, or the largest where none does.

    Args:
        queries: (B, D); exact: (B, k) their exact top k.

    Returns:
        The recall on these queries.
    """
    reached = 0.0
    for effort in EFFORTS:
        index.effort = effort
        reached = recall(index.search(queries, exact.shape[1])[1], exact)
        if reached >= target or index.options.kind == "flat":
            break
    return reached
