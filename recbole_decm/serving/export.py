"""A checkpoint and its catalogue as an artefact, which ranks without data set, RecBole and torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from recbole_decm.data.catalogue import Catalogue
from recbole_decm.data.inputs import feature_fields
from recbole_decm.errors import ConfigError, DataError
from recbole_decm.io import atomic
from recbole_decm.io.digest import of_files
from recbole_decm.io.npy import write_blocks
from recbole_decm.io.resources import require_disk
from recbole_decm.io.version import __version__
from recbole_decm.io.weights import of_tensors
from recbole_decm.io.write import replacing_folders
from recbole_decm.model.cmvae import CMVAE
from recbole_decm.model.fusions import BilinearFusion, GenreFusion
from recbole_decm.serving.artefact.manifest import (
    FILE,
    FORMAT_VERSION,
    GENRES,
    NEIGHBOURS,
    POPULARITY,
    PRIOR,
    QUERY,
    TABLE,
    TRACK,
    VECTORS,
    WEIGHTS,
    with_id,
)
from recbole_decm.serving.artefact.opened import feature_file
from recbole_decm.serving.artefact.sides import check_side
from recbole_decm.serving.artefact.table import ID
from recbole_decm.serving.restored import content_model, serving_model
from recbole_decm.serving.sides import QuerySide, TrackSide, plainly, takes_priors
from recbole_decm.serving.tracks import values_of
from recbole_decm.serving.training_pairs import Pairs, training_pairs, write_training_videos
from recbole_decm.training.checkpoint import read_checkpoint
from recbole_decm.training.evaluate import restored_config

OPSET = 18
_ROWS = 8192
_Progress = Callable[[int], object]


def export(
    checkpoint: Path | str,
    folder: Path,
    arguments: Sequence[str] = (),
    overwrite: bool = False,
    on_tracks: _Progress = lambda count: None,
    neighbours: bool = False,
) -> str:
    """Write an artefact of a checkpoint; it appears whole or not at all.

    Where the training data are there as they were, each track has its number of training pairs, ``popularity``.

    Args:
        arguments: ``--key=value``, above the values the checkpoint was trained with; ``--dataset=NAME`` takes the
            catalogue of another data set.
        on_tracks: told the number of tracks that were just encoded.
        neighbours: whether to add the training videos, for explanations.

    Returns:
        The artefact's id.

    Raises:
        ConfigError: a model whose ranking is that of no dot product, or a missing package; the folder exists and
            ``overwrite`` is not set.
        DecCMError: bad checkpoint, config or catalogue.
        ResourceError: not enough disk, or the place cannot be written to.
    """
    content = read_checkpoint(checkpoint)
    config = restored_config(content, arguments)
    kind = content_model(config)
    settings = kind.settings_class.from_config(config)
    if kind.ranks_by_popularity(settings):
        raise ConfigError(
            "export: expected a model whose score is a dot product, but inference: pda multiplies the match by "
            "popularity. Add --inference=pd to export its match alone."
        )
    model, catalogue = serving_model(content, config, checkpoint)
    pairs = training_pairs(content, checkpoint, arguments, needed=neighbours)
    data = (content.get("digests") or {}).get("data")
    source = Source(content["state_dict"], content.get("features"), data, pairs, neighbours)
    return write_artefact(model, catalogue, config, source, folder, overwrite, on_tracks)


class Source(NamedTuple):
    """What a checkpoint says: weights by name, the cards of features, the digest of the training data, its pairs where
    they are known, and whether to write their videos.
    """

    weights: Mapping[str, torch.Tensor]
    features: Any = None
    data: str | None = None
    pairs: Pairs | None = None
    neighbours: bool = False


def write_artefact(
    model: CMVAE,
    catalogue: Catalogue,
    config: Any,
    source: Source,
    folder: Path,
    overwrite: bool = False,
    on_tracks: _Progress = lambda count: None,
) -> str:
    """Write an artefact of a model in evaluation mode, which ranks under the priors it is given from then on.

    Arguments, result and errors are those of :func:`export`.
    """
    own_prior = getattr(model.settings, "inference_prior", None) if model.adjustment.confounded else None
    facts = _facts(model, config, own_prior)
    query, track = QuerySide(model).eval(), TrackSide(model).eval()
    count, widths = len(catalogue.tokens), {name: part.dim for name, part in model.acoustic.fields.items()}
    require_disk(folder, 4 * count * (sum(widths.values()) + 2 * model.latent_size), "the artefact")
    with replacing_folders([folder], overwrite) as (place,):
        place.mkdir()
        _write_side(query, place / QUERY, _example(model, "visual", query.takes_priors))
        _write_side(track, place / TRACK, _example(model, "acoustic", track.reads_genres))
        weights = {name: value.detach().cpu().contiguous() for name, value in source.weights.items()}
        _safetensors().save_file(weights, str(place / WEIGHTS))
        dim = _write_vectors(model, track, catalogue.genres, place, on_tracks)
        _write_features(model, place)
        metadata = _metadata(config, catalogue.tokens)
        if source.pairs is not None and POPULARITY not in metadata:
            metadata[POPULARITY] = source.pairs.counts(metadata["track_id"].tolist())
        metadata.to_parquet(place / TABLE, index=False)
        if source.pairs is not None and source.neighbours:
            write_training_videos(query, source.pairs, metadata, place / NEIGHBOURS)
        names = sorted(path.name for path in place.iterdir())
        manifest = with_id(
            {
                "format": "recbole-decm artefact",
                "format_version": FORMAT_VERSION,
                "package": __version__,
                **facts,
                "dim": dim,
                "track_fields": widths,
                "features": source.features,
                "tracks": count,
                "checkpoint": of_tensors(source.weights),
                "data": source.data,
                "files": {name: of_files([place / name]) for name in names},
            }
        )
        (place / FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest.id


def _facts(model: CMVAE, config: Any, own_prior: Any) -> dict[str, Any]:
    """What the manifest says of a model."""
    adjustment, free = model.adjustment, takes_priors(model)
    fusion = getattr(model, "fusion", None)
    why = adjustment.why_no_rank_changes if adjustment.confounded else "The model has no uploader prior."
    if adjustment.confounded and not free:
        why = "Under backdoor: exact the ranking is a dot product under the prior that was exported, and no other."
    mean = getattr(model, "prior_mean", None)
    genres = list(config.genres or [])
    if adjustment.confounded and not genres:
        genres = [str(group) for group in range(model.num_groups or 0)]
    return {
        "model": type(model).__name__,
        "settings": _plain(asdict(model.settings)),
        "genres": genres if adjustment.confounded else [],
        "video_fields": {name: part.dim for name, part in model.visual.fields.items()},
        "match_dim": model.latent_size,
        "takes_priors": free,
        "reads_genres": model.needs_genre(model.settings),
        "additive": free and isinstance(fusion, (GenreFusion, BilinearFusion)),
        "priors": None if mean is None or not adjustment.confounded else [float(value) for value in mean],
        "inference_prior": list(own_prior) if isinstance(own_prior, tuple) else own_prior,
        "ranks_by_uploader": own_prior == "uploader",
        "why_no_prior_changes": why,
        "smoothing": float(config["prior_smoothing"]),
    }


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_plain(value) for value in values]
    return values if values is None or isinstance(values, (bool, int, float, str)) else str(values)


def _example(model: CMVAE, side: str, further: bool) -> dict[str, torch.Tensor]:
    """Inputs by name, two rows each."""
    fields = (model.visual if side == "visual" else model.acoustic).fields
    found = {name: torch.zeros(2, part.dim, device=model.device) for name, part in fields.items()}
    if further:
        size = model.num_groups if model.num_groups is not None else 1
        found[PRIOR if side == "visual" else GENRES] = torch.full((2, size), 1 / size, device=model.device)
    return found


def _write_side(side: QuerySide | TrackSide, path: Path, example: dict[str, torch.Tensor]) -> None:
    try:
        import onnx  # noqa: F401  # torch writes through it
    except ImportError as error:
        raise ConfigError("export: expected the package onnx. Run pip install 'recbole-decm[export]'.") from error
    with warnings.catch_warnings(), torch.no_grad(), plainly(side.model):
        warnings.simplefilter("ignore")  # what a trace holds fixed is what does not depend on the rows
        torch.onnx.export(
            side,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=["vector"],
            dynamic_axes={name: {0: "rows"} for name in [*example, "vector"]},
            opset_version=OPSET,
            dynamo=False,
            external_data=False,
        )
    check_side(path, path.read_bytes())


@torch.no_grad()
def _write_vectors(model: CMVAE, track: TrackSide, genres: np.ndarray | None, place: Path, on_tracks: _Progress) -> int:
    def block(ids: torch.Tensor) -> torch.Tensor:
        inputs = [part.lookup_on(model.device, ids) for part in model.acoustic.fields.values()]
        if track.reads_genres:
            assert genres is not None
            inputs.append(torch.from_numpy(genres[ids.numpy()]).to(model.device))
        return track(*inputs).float().cpu()

    count = len(model.acoustic) - 1
    dim = block(torch.arange(1, 2)).shape[1]

    def blocks() -> Iterator[np.ndarray]:
        for ids in torch.arange(1, count + 1).split(_ROWS):
            yield block(ids).numpy()

    write_blocks(place / VECTORS, blocks(), (count, dim), np.dtype(np.float32), on_tracks)
    return int(dim)


def _write_features(model: CMVAE, place: Path) -> None:
    for name, part in model.acoustic.fields.items():
        count = len(part) - 1
        blocks = (part.lookup(ids).float().cpu().numpy() for ids in torch.arange(1, count + 1).split(_ROWS))
        write_blocks(place / feature_file(name), blocks, (count, part.dim), np.dtype(np.float32), lambda rows: None)


def _metadata(config: Any, tokens: np.ndarray) -> pd.DataFrame:
    """``track_id``, ``genre`` and the further columns of the ``.item`` file, in the catalogue's order."""
    path = Path(config["data_path"]) / f"{config['dataset']}.item"
    form = atomic.Format.of(config)
    header = atomic.read_header(path, form)
    left_out = {config["ITEM_ID_FIELD"], *feature_fields(config)[1]}
    names = [name for name in header if name not in left_out]
    cells = atomic.read_columns(path, [config["ITEM_ID_FIELD"], *names], form)
    rows = pd.Index(cells[config["ITEM_ID_FIELD"]]).get_indexer(tokens.astype(str))
    found: dict[str, Any] = {ID: tokens.astype(str)}
    for name in names:
        known = "genre" if name == config["GENRE_FIELD"] else name
        if known in found:
            raise DataError(
                f"{path}: expected one column to be the artefact's {known}, found '{name}', too. Rename it."
            )
        values = values_of(path, name, header[name], cells[name].to_numpy(), form, rows)
        if header[name] == "token":
            values = [([value] if value else []) if known == "genre" else value or None for value in values.tolist()]
        found[known] = values
    return pd.DataFrame(found)


def _safetensors() -> Any:
    try:
        from safetensors import torch as found
    except ImportError as error:
        raise ConfigError(
            "export: expected the package safetensors. Run pip install 'recbole-decm[export]'."
        ) from error
    return found
