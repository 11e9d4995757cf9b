"""``recbole-decm extract``: videos and music to a data set, new videos to the features of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbole_decm.cli.options import (
    DEFAULT_SHARES,
    PGC_SHARES,
    fields_option,
    plain_name,
    preferences_option,
    shares_option,
)
from recbole_decm.errors import ConfigError, suggest

if TYPE_CHECKING:
    from recbole_decm.cli.extracting import Reading
    from recbole_decm.data.importers.assemble import Parts
    from recbole_decm.media.extractor import Extractor, Sampling

_PATH = click.Path(path_type=Path)
_AT_LEAST_ONE = click.IntRange(min=1)


@click.command("extract")
@click.option("--pairs", type=_PATH, help="CSV or Parquet: video, music (paths), [ids], [uploader_id], [genre] ...")
@click.option("--name", callback=lambda *given: given[2] and plain_name(*given), help="Writes OUT/NAME, OUT/NAME-pgc.")
@fields_option("--video", "FIELD=EXTRACTOR of the videos.  [default: visual=appearance-motion]")
@fields_option("--music", "FIELD=EXTRACTOR of the tracks.  [default: acoustic=descriptors]")
@click.option("--pgc-pairs", type=_PATH, help="The same of professional videos, for the teacher.")
@preferences_option
@shares_option
@click.option("--group", help="A column; rows that share its value share a part, such as uploader_id.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Of the split.")
@click.option("--fps", type=float, help="Frames a second.  [default: 1]")
@click.option("--frames", type=int, help="So many frames of each video instead.")
@click.option("--videos", type=_PATH, help="New videos instead: a folder, or CSV: video, [video_id].")
@click.option("--fields-of", type=_PATH, help="Checkpoint or data set (its folder) that new videos are for.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@click.option(
    "--workers", type=_AT_LEAST_ONE, help="Processes here.  [default: one a core, with recbole-decm[cluster]]"
)
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Of a Dask cluster whose workers read instead.")
@click.option("--device", default="cpu", show_default=True, help="Where networks compute, such as cuda.")
@click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read.")
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
def extract_command(
    pairs: Path | None,
    name: str | None,
    video: dict[str, str],
    music: dict[str, str],
    pgc_pairs: Path | None,
    preferences: Path | None,
    split: tuple[float, ...] | None,
    group: str | None,
    seed: int,
    fps: float | None,
    frames: int | None,
    videos: Path | None,
    fields_of: Path | None,
    out: Path,
    workers: int | None,
    scheduler: str | None,
    device: str,
    strict: bool,
    overwrite: bool,
) -> None:
    """Write a data set from videos and music, or the features of new videos for a model.

    EXTRACTOR is one of pictures for videos, of sound for music, or text:ID_OR_FOLDER@COLUMN of a column of the table,
    such as titles.

    Paths in a table are relative to it. An empty music is the video's own sound. An id that is not given is the file's
    name without its ending. What cannot be read is listed in failures.csv, and the rest goes on. A run that was stopped
    goes on where it was when the command is given again.
    """
    from recbole_decm.cli.extracting import Reading
    from recbole_decm.cli.new_videos import extract_videos, video_cards
    from recbole_decm.data.importers.assemble import Parts
    from recbole_decm.media.extractor import Sampling

    if workers is not None and scheduler is not None:
        raise ConfigError("--workers: expected either --workers or --scheduler, found both.")
    reading = Reading(workers, scheduler, device, strict)
    if videos is not None:
        of_data_sets: dict[str, Any] = {
            "--pairs": pairs,
            "--name": name,
            "--video": video,
            "--music": music,
            "--pgc-pairs": pgc_pairs,
            "--preferences": preferences,
        }
        of_data_sets |= {"--split": split, "--group": group, "--fps": fps, "--frames": frames}
        given = [option for option, value in of_data_sets.items() if value]
        if given or fields_of is None:
            raise ConfigError(
                "--videos: expected --fields-of beside it, which says how their features are made, found "
                f"{', '.join(given) or 'none'}."
            )
        lines = extract_videos(videos, video_cards(fields_of), out, overwrite, reading)
        click.echo("\n".join([f"{out}:", *(f"  {line}" for line in lines)]))
        if fields_of.is_file():
            click.echo(f"Next: recbole-decm recommend {fields_of} --videos {out}")
        return
    if pairs is None or name is None or fields_of is not None:
        raise ConfigError("extract: expected --pairs with --name, or --videos with --fields-of. See --help.")
    parts = Parts(split or DEFAULT_SHARES, seed, split is not None, group)
    lines = _write_data_set(
        [pairs, *([pgc_pairs] if pgc_pairs else [])],
        _extractors("--video", video or {"visual": "appearance-motion"}, Sampling(fps, frames), device, "picture"),
        _extractors("--music", music or {"acoustic": "descriptors"}, Sampling(), device, "sound"),
        parts,
        preferences,
        out,
        name,
        overwrite,
        reading,
    )
    click.echo("\n".join(lines))


def _extractors(option: str, named: dict[str, str], sampling: Sampling, device: str, kind: str) -> dict[str, Extractor]:
    from recbole_decm.cli.extracting import takes
    from recbole_decm.media.extractors import EXTRACTORS, open_extractor

    found = {}
    for field, name in named.items():
        able = [entry for entry in EXTRACTORS if takes(entry) in (kind, "text")]
        if takes(name) not in (kind, "text", ""):
            raise ConfigError(
                f"{option} {field}={name}: expected an extractor of {kind} or text ({', '.join(able)}), found one of "
                f"{takes(name)}.{suggest(name, able)}"
            )
        extractor = open_extractor(name, sampling, device)
        if takes(name) == "text":
            if not extractor.column:
                raise ConfigError(
                    f"{option} {field}={name}: expected {name}@COLUMN, the column of the texts, found none."
                )
            side = {"side": option.removeprefix("--")}
            extractor = replace(extractor, card=extractor.card.model_copy(update=side))
        found[field] = extractor
    return found


def _write_data_set(
    tables: list[Path],
    video: dict[str, Extractor],
    music: dict[str, Extractor],
    parts: Parts,
    preferences: Path | None,
    out: Path,
    name: str,
    overwrite: bool,
    reading: Reading,
) -> list[str]:
    """Write a data set and, of a second table, the teacher's; what was done, in lines for people."""
    import numpy as np

    from recbole_decm.cli.extracting import FAILURES, cards_text, failures_text, told
    from recbole_decm.cli.text_fields import empty_texts, read_texts, rows_of_side
    from recbole_decm.data.importers.assemble import Parts, assemble
    from recbole_decm.data.importers.collection import Rows, next_run, said_of_priors, write_collections
    from recbole_decm.data.importers.files import FILE, read_file_pairs
    from recbole_decm.data.importers.preferences import with_preferences
    from recbole_decm.io.write import require_free
    from recbole_decm.media.cards import FILE as CARDS
    from recbole_decm.media.extract import work_folder

    if both := video.keys() & music.keys():
        raise ConfigError(
            f"--music: expected another name for each field of videos and tracks, found {min(both)} twice."
        )
    folders = [out / f"{name}{ending}" for ending in ("", "-pgc")[: len(tables)]]
    require_free(folders, overwrite)
    splits = [parts, Parts(PGC_SHARES, parts.seed)]
    of_tables = [(read_file_pairs(table), splits[place]) for place, table in enumerate(tables)]
    for pairs, how in of_tables:  # what is wrong in a table is said before hours of reading
        nothing = [Rows(np.zeros((1, 1)), np.zeros(len(side), np.int64)) for side in (pairs.videos, pairs.music)]
        tried, _ = assemble(pairs.frames({"visual": nothing[0]}, {"acoustic": nothing[1]}), how)
        if preferences and how is parts:
            with_preferences(tried, preferences)
    wanted: dict[str, tuple[str, ...]] = {}
    for pairs, _ in of_tables:
        for side, fields in ((pairs.videos, video), (pairs.music, music)):
            for file in side[FILE]:
                read = [field for field, extractor in fields.items() if not extractor.column]
                if read:
                    wanted[file] = tuple(dict.fromkeys([*wanted.get(file, ()), *read]))
    of_sides = (("video_id", video), ("music_id", music))
    texts = [
        [
            {field: pairs.texts(key, each.column, str(table)) for field, each in fields.items() if each.column}
            for key, fields in of_sides
        ]
        for (pairs, _), table in zip(of_tables, tables, strict=True)
    ]
    cards = {field: extractor.card for field, extractor in (video | music).items()}
    collections: list[Any] = []
    lines: list[str] = []
    with work_folder(out / f".extract-{name}") as work:
        of_files = {field: extractor for field, extractor in (video | music).items() if not extractor.column}
        found = reading.read(wanted, of_files, work)
        said = read_texts([side for sides in texts for side in sides], video | music, reading, work)
        for (pairs, how), table, folder, (of_videos, of_music) in zip(of_tables, tables, folders, texts, strict=True):
            own = {*pairs.videos[FILE], *pairs.music[FILE]}
            failures = [failure for failure in found.failures if failure.source in own]
            features = []
            for side, fields, written in ((pairs.videos, video, of_videos), (pairs.music, music, of_music)):
                files = side[FILE].tolist()
                features.append(rows_of_side(files, found, written, said, tuple(fields), str(table)))
                failures += empty_texts(files, written)
            data, notes = assemble(pairs.frames(*features), how)
            data = with_preferences(data, preferences) if preferences and how is parts else data
            beside = {CARDS: cards_text(cards), FAILURES: failures_text(failures, table.parent.absolute())}
            notes += [] if collections else [said_of_priors(data)]
            collections.append(replace(data, texts=beside))
            notes.insert(0, told(len(own), failures, folder / FAILURES))
            lines += [f"{folder}:", *(f"  {note}" for note in notes)]
        professional = collections[1] if len(collections) > 1 else None
        write_collections(collections[0], professional, out, name, "Written by recbole-decm extract.", overwrite)
    if professional is None:
        lines += [f"{out / name}-pgc:", "  no professional pairs: the data set says teacher: none"]
    return [*lines, next_run(collections[0], out, name)]
