"""``recbole-decm recommend``: the top music for today's uploads, or for videos of a data set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from recbole_decm.cli.options import TAKES_KEYS, features_of_videos, prior, videos_option


@click.command("recommend", context_settings=TAKES_KEYS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@videos_option
@click.option(
    "--uploaders", type=click.Path(path_type=Path), help="Genre preferences of their uploaders: .csv by genre, or .npy."
)
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
@click.option("--exclude", multiple=True, metavar="ID", help="A track to leave out; may be given again.")
@click.option(
    "--exclude-from", type=click.Path(path_type=Path), help="Text file of track ids to leave out, one a line."
)
@click.option(
    "--filter", "where", help="Only tracks whose metadata match, such as \"genre = 'pop' and duration < 60\"."
)
@click.option(
    "--prior",
    callback=prior,
    help="Rank under neutral, mean, uploader, or g0=0.5,g1=0.5.  [default: the model's own]",
)
@click.option("--scheduler", help="Rank on a Dask cluster, tcp://HOST:PORT, whose machines see the same files.")
@click.option("--dataset", help="Rank this data set's music; by default that of the training data.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File: .csv, .json, .parquet.")
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
    exclude: tuple[str, ...],
    exclude_from: Path | None,
    where: str | None,
    prior: str | dict[str, float] | None,
    scheduler: str | None,
    dataset: str | None,
    out: Path | None,
    arguments: tuple[str, ...],
) -> None:
    """The top tracks of CHECKPOINT, or of an artefact, for videos: row or video_id, rank, music_id, score.

    Videos come from a .npy file (the label is the row, from 0), a Parquet table (a column of lists for each field, and
    video_id), from a folder that `extract --videos` wrote, from a split of the data set, or are clips, which are read
    as those that CHECKPOINT was trained with. They are scored and written in blocks, to --out or as CSV to standard
    output. An index answers at the least effort that reaches --recall against exact search on a sample of the videos;
    what it reached on others is printed. Lists with --filter or --exclude are searched exactly, and are shorter where
    fewer than --k tracks are left. ARGUMENTS are --key=value, above the values the checkpoint was trained with.
    """
    from tqdm import tqdm

    from recbole_decm.errors import ConfigError
    from recbole_decm.serving.index import IndexOptions
    from recbole_decm.serving.spread import Asked, Opened, spread
    from recbole_decm.serving.tables import Csv, table_format, write_tables
    from recbole_decm.serving.tracks import read_ids
    from recbole_decm.serving.videos import VideoChoice

    if videos is not None and split is not None:
        raise ConfigError("--split: expected either --videos or --split, found both.")
    if index_file is not None and index == "exact":
        raise ConfigError("--index-file: expected an --index of flat, hnsw or ivf beside it, found exact.")
    if out is not None:
        table_format(out)
    left_out = [*exclude, *(read_ids(exclude_from) if exclude_from else [])]
    given = [part for part in arguments if part] + ([f"--dataset={dataset}"] if dataset else [])
    if scheduler and index != "exact":
        raise ConfigError(f"--scheduler: expected exact search on a cluster, found --index={index}.")
    choice = VideoChoice(features_of_videos(videos, checkpoint, out), uploaders, split or "test", prior)
    asked = Asked(checkpoint, choice, tuple(given), k, block, tuple(left_out), where)
    opened = Opened(asked)
    recommender, found, allowed = opened.lists, opened.videos, opened.allowed
    recommender.check_length(k, "--k")
    if allowed is not None:
        click.echo(f"{allowed.sum()} of {len(allowed)} tracks are left to choose from", err=True)
        if index != "exact":
            click.echo(f"warning: lists of some tracks alone are searched exactly, not with {index}", err=True)
            index = "exact"
    if index != "exact":
        with tqdm(
            total=len(recommender.tokens), unit="track", desc=f"Index {index}", file=sys.stderr, disable=None
        ) as bar:
            options = IndexOptions(index, neighbours)
            recommender.use_index(options, found, k, recall, index_file, bar.update)
        reached = recommender.recall or 0.0
        click.echo(f"recall@{k} of {index} against exact search: {reached:.4f}", err=True)
        if reached < recall:
            click.echo(f"warning: below the {recall:g} asked for; more --neighbours, or --index=exact", err=True)
    frames = spread(asked, len(found), scheduler) if scheduler else opened.frames()
    with tqdm(total=len(found), unit="video", desc="Recommend", file=sys.stderr, disable=None) as bar:
        if out is None:
            table = Csv(sys.stdout)
            for frame in frames:
                table.write(frame)
                bar.update(int((frame["rank"] == 1).sum()))
        else:
            lines = write_tables(frames, out, bar.update)
    if out is not None:
        click.echo(f"Wrote {lines} recommendations for {len(found)} videos to {out}", err=True)
