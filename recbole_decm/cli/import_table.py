"""``recbole-decm import-table``: tables and feature matrices to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recbole_decm.cli.options import (
    DEFAULT_SHARES,
    PGC_SHARES,
    fields_option,
    plain_name,
    preferences_option,
    shares_option,
)
from recbole_decm.data.importers.tables import USUAL

_TABLE = click.Path(path_type=Path, dir_okay=False)


@click.command("import-table")
@click.option("--pairs", type=_TABLE, help="CSV or Parquet: video_id, music_id, [uploader_id], [split].")
@click.option("--videos", type=_TABLE, help="CSV or Parquet: video_id, and further columns, which are kept.")
@click.option("--music", type=_TABLE, help="CSV or Parquet: music_id, [genre], and further columns, which are kept.")
@preferences_option
@fields_option("--video-features", "FIELD=FILE.npy or FIELD=COLUMN of the videos' table; one for each field.")
@fields_option("--music-features", "FIELD=FILE.npy or FIELD=COLUMN of the tracks' table; one for each field.")
@click.option("--own-sound", is_flag=True, help="Each video's track is its own sound; needs no pairs and no music.")
@fields_option("--column", f"MEANING=NAME of a column that is called otherwise; {', '.join(USUAL)}.")
@click.option("--genre-separator", help="Between the genres of a CSV cell.  [default: white space]")
@shares_option
@click.option("--group", help="A column; rows that share its value share a part, such as uploader_id.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Of the split.")
@click.option("--pgc-pairs", type=_TABLE, help="The same of professional videos, for the teacher.")
@click.option("--pgc-videos", type=_TABLE)
@click.option("--pgc-music", type=_TABLE)
@fields_option("--pgc-video-features", "The same fields as --video-features.")
@fields_option("--pgc-music-features", "The same fields as --music-features.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the data sets.")
@click.option("--name", required=True, callback=plain_name, help="Writes OUT/NAME and OUT/NAME-pgc.")
@click.option("--overwrite", is_flag=True, help="Replace data sets that exist.")
def import_table_command(
    pairs: Path | None,
    videos: Path | None,
    music: Path | None,
    preferences: Path | None,
    video_features: dict[str, str],
    music_features: dict[str, str],
    own_sound: bool,
    column: dict[str, str],
    genre_separator: str | None,
    split: tuple[float, ...] | None,
    group: str | None,
    seed: int,
    pgc_pairs: Path | None,
    pgc_videos: Path | None,
    pgc_music: Path | None,
    pgc_video_features: dict[str, str],
    pgc_music_features: dict[str, str],
    out: Path,
    name: str,
    overwrite: bool,
) -> None:
    """Write a data set from tables (CSV or Parquet) and feature matrices (.npy files or columns of lists).

    Row i of a .npy file belongs to row i of the side's table (of --pairs, where the side has none), or to the id i
    where ids are numbers. A row of NaN is a missing field.
    """
    from recbole_decm.data.importers.assemble import Parts, Tables, read_collection
    from recbole_decm.data.importers.collection import next_run, said_of_priors, write_collections
    from recbole_decm.data.importers.preferences import with_preferences

    shared: dict[str, Any] = {"columns": column, "genre_separator": genre_separator, "own_sound": own_sound}
    tables = Tables(video_features, music_features, pairs, videos, music, **shared)
    data, notes = read_collection(tables, Parts(split or DEFAULT_SHARES, seed, split is not None, group))
    data = with_preferences(data, preferences) if preferences else data
    professional, pgc_notes = None, ["no professional pairs: the data set says teacher: none"]
    if pgc_pairs or pgc_video_features:
        pgc = Tables(pgc_video_features, pgc_music_features, pgc_pairs, pgc_videos, pgc_music, **shared)
        professional, pgc_notes = read_collection(pgc, Parts(PGC_SHARES, seed))
    folder = write_collections(data, professional, out, name, "Imported by recbole-decm import-table.", overwrite)
    click.echo("\n".join([f"{folder}:", *(f"  {note}" for note in [*notes, said_of_priors(data)])]))
    click.echo("\n".join([f"{folder}-pgc:", *(f"  {note}" for note in pgc_notes)]))
    click.echo(next_run(data, out, name))
