"""``recbole-decm publish``: an artefact becomes a version of a catalogue that is served."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command("publish")
@click.argument("artefact", type=click.Path(path_type=Path))
@click.option("--to", "url", required=True, metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/DATABASE.")
@click.option("--activate/--no-activate", default=True, show_default=True, help="Whether it answers from now on.")
@click.option("--replace", is_flag=True, help="Its tracks become the catalogue; others are removed.")
def publish_command(artefact: Path, url: str, activate: bool, replace: bool) -> None:
    """Make ARTEFACT, a folder that `export` wrote, a version of the catalogue at a URL.

    Its tracks that the catalogue never held are added; those that are there stay as they are, and those that were
    deleted stay away. All tracks are encoded with it from their features before it answers. Servers of the catalogue
    take it over while they run. To go back, publish the earlier artefact again.
    """
    from tqdm import tqdm

    from recbole_decm.serving.artefact import open_artefact
    from recbole_decm.serving.store import open_store
    from recbole_decm.serving.store.encoding import encode_all

    given = open_artefact(artefact)
    version = given.manifest.id
    store = open_store(url)
    try:
        store.publish(given, replace)
        with tqdm(total=store.count(), unit="track", desc="Encode", file=sys.stderr, disable=None) as bar:
            encode_all(store, given, bar.update)
        if activate:
            store.activate(version)
        count, answers = store.count(), "answers" if store.active() == version else "does not answer yet"
    finally:
        store.close()
    click.echo(f"Published {version}, which {answers}: {count} tracks")
