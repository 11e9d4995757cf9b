"""``recbole-decm recommend``: the top music for today's uploads, or for videos of a data set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS


@click.command("recommend", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--videos", type=click.Path(path_type=Path), help="Features of the videos: .npy, one row per video.")
@click.option("--uploaders", type=click.Path(path_type=Path), help="Genre preferences of their uploaders: .npy.")
@click.option("--split", type=click.Choice(["test", "all"]), help="Videos of the data set instead.  [default: test]")
@click.option("--k", default=10, show_default=True, type=click.IntRange(min=1), help="Tracks for each video.")
@click.option(
    "--index",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "flat", "hnsw", "ivf"]),
    help="Exact search, or a faiss index.",
)
@click.option("--index-file", type=click.Path(path_type=Path), help="Keep the index here, and read it where it exists.")
@click.option(
    "--recall", default=0.95, show_default=True, type=click.FloatRange(0, 1), help="Recall to reach by index."
)
@click.option("--neighbours", default=32, show_default=True, type=click.IntRange(min=2), help="Edges of an hnsw node.")
@click.option("--block", default=1024, show_default=True, type=click.IntRange(min=1), help="Videos at a time.")
@click.option("--dataset", help="Rank this data set's music; by default that of the training data.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV file.  [default: standard output]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def recommend_command(
    checkpoint: Path,
    videos: Path | None,
    uploaders: Path | None,
    split: str | None,
    k: int,
    index: str,
    index_file: Path | None,
    recall: float,
    neighbours: int,
    block: int,
    dataset: str | None,
    out: Path | None,
    arguments: tuple[str, ...],
) -> None:
    """The top music of CHECKPOINT for videos, as CSV: row or video_id, rank, music_id, score.

    Videos come from a .npy file (the label is the row, from 0) or from a split of the data set; they are read, scored
    and written in blocks. An index answers at the least effort that reaches --recall against exact search on a sample
    of the videos; what it reached on others is printed. ARGUMENTS are --key=value, above the values the checkpoint was
    trained with.
    """
    from tqdm import tqdm

    from recbole_decm.errors import ConfigError
    from recbole_decm.serving.index import IndexOptions
    from recbole_decm.serving.opening import VideoChoice, open_with_videos
    from recbole_decm.serving.recommender import write_tables

    if videos is not None and split is not None:
        raise ConfigError("--split: expected either --videos or --split, found both.")
    if index_file is not None and index == "exact":
        raise ConfigError("--index-file: expected an --index of flat, hnsw or ivf beside it, found exact.")
    given = [part for part in arguments if part] + ([f"--dataset={dataset}"] if dataset else [])
    choice = VideoChoice(videos, uploaders, split or "test")
    recommender, found = open_with_videos(checkpoint, choice, given)
    count = recommender.music.count
    if k > count:
        raise ConfigError(f"--k: expected at most {count}, the music of the catalogue, found {k}.")
    if index != "exact":
        with tqdm(total=count, unit="music", desc=f"Index {index}", file=sys.stderr, disable=None) as bar:
            options = IndexOptions(index, neighbours)
            recommender.use_index(options, found, k, recall, index_file, bar.update)
        reached = recommender.recall or 0.0
        click.echo(f"recall@{k} of {index} against exact search: {reached:.4f}", err=True)
        if reached < recall:
            click.echo(f"warning: below the {recall:g} asked for; more --neighbours, or --index=exact", err=True)
    frames = recommender.frames(found, k, block)
    with tqdm(total=len(found), unit="video", desc="Recommend", file=sys.stderr, disable=None) as bar:
        if out is None:
            for number, frame in enumerate(frames):
                frame.to_csv(sys.stdout, index=False, header=number == 0, float_format="%.7g", lineterminator="\n")
                bar.update(int((frame["rank"] == 1).sum()))
        else:
            lines = write_tables(frames, out, bar.update)
    if out is not None:
        click.echo(f"Wrote {lines} recommendations for {len(found)} videos to {out}", err=True)
