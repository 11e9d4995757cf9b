"""``recbole-decm versions``: the versions of a served catalogue."""

from __future__ import annotations

import time

import click


@click.command("versions")
@click.argument("url")
@click.option("--activate", metavar="ID", help="Let this version answer; servers of the catalogue take it over.")
@click.option("--forget", metavar="ID", help="Remove a version that does not answer, with its vectors.")
def versions_command(url: str, activate: str | None, forget: str | None) -> None:
    """List the versions of the catalogue at URL, as `publish` and `serve` made them: sqlite:///FILE or postgresql://...

    Tracks and their features belong to no version: they stay.
    """
    from recbole_decm.serving.store import open_store

    store = open_store(url, new=False)
    try:
        if activate is not None:
            store.activate(activate)
        if forget is not None:
            store.forget(forget)
        found = store.versions()
    finally:
        store.close()
    for entry in sorted(found, key=lambda one: one.published):
        published = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.published))
        click.echo(f"{entry.id}  published {published}{'  answers' if entry.active else ''}")
