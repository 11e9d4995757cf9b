"""``recbole-decm embed``: the vectors of tracks and videos as files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS, features_of_videos, videos_option


@click.command("embed", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@videos_option
@click.option(
    "--uploaders", type=click.Path(path_type=Path), help="Genre preferences of their uploaders: .csv by genre, or .npy."
)
@click.option("--split", type=click.Choice(["test", "all"]), help="Videos of the data set instead.")
@click.option("--dataset", help="Embed this data set's tracks; by default those of the training data.")
@click.option("--overwrite", is_flag=True, help="Replace a folder that exists.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def embed_command(
    checkpoint: Path,
    out: Path,
    videos: Path | None,
    uploaders: Path | None,
    split: str | None,
    dataset: str | None,
    overwrite: bool,
    arguments: tuple[str, ...],
) -> None:
    """Write the vectors of CHECKPOINT's tracks, and of videos where they are given, as .npy with their ids.

    OUT holds tracks.npy and tracks.txt (line i is the id of row i), likewise videos, and embeddings.json. A video's dot
    products with the tracks rank them as recommend does. ARGUMENTS are --key=value, above the values the checkpoint was
    trained with.
    """
    from tqdm import tqdm

    from recbole_decm.errors import ConfigError
    from recbole_decm.serving.embed import write_embeddings
    from recbole_decm.serving.entry import open_new_videos, open_recommender
    from recbole_decm.serving.videos import VideoChoice

    if videos is not None and split is not None:
        raise ConfigError("--split: expected either --videos or --split, found both.")
    if uploaders is not None and videos is None:
        raise ConfigError("--uploaders: expected --videos beside it.")
    given = [part for part in arguments if part] + ([f"--dataset={dataset}"] if dataset else [])
    found = None
    if videos is None and split is None:
        recommender = open_recommender(checkpoint, given)
    else:
        features = features_of_videos(videos, checkpoint)
        recommender, found = open_new_videos(checkpoint, VideoChoice(features, uploaders, split or "test"), given)
    total = len(recommender.tokens) + (len(found) if found else 0)
    with tqdm(total=total, unit="row", desc="Embed", file=sys.stderr, disable=None) as bar:
        write_embeddings(recommender, found, out, overwrite, bar.update)
    click.echo(f"Wrote {total} vectors of {recommender.dim} numbers to {out}", err=True)
