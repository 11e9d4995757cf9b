"""``recbole-decm serve`` and ``recbole-decm api-key``: the service, and the keys of its callers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from recbole_decm.serving.api.options import Limits, ServeOptions

_LIMITS = {
    "rate": "Requests a second of each caller; 0 for any number.",
    "body": "Bytes of a request without files.",
    "upload": "Bytes of a request with files.",
    "k": "Tracks of a list.",
    "tracks": "Tracks of all lists of a request.",
    "explained": "Videos of a request with explanations.",
    "batch": "Videos of a request, tracks of a change.",
    "uploads": "Files of a request.",
    "seconds": "Seconds until a request has come, and until it is answered.",
    "waiting": "Requests that wait for an answer.",
    "decodes": "Files that are decoded at a time.",
    "clip_seconds": "Length of an uploaded file.",
    "decode_seconds": "Seconds of work on an uploaded file.",
    "decode_memory": "Bytes that a decoder may take.",
}


def _limits(command: Any) -> Any:
    usual = Limits()
    for name, help_text in reversed(_LIMITS.items()):
        default = getattr(usual, name)
        settings: dict[str, Any] = {"default": default, "type": type(default), "show_default": True}
        command = click.option(Limits.option(name), name, help=help_text, **settings)(command)
    return command


@click.command("serve")
@click.argument("artefact", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; another than loopback needs --api-keys.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 for any that is free.")
@click.option("--store", help="sqlite:///FILE or postgresql://...  [default: ARTEFACT.db beside the folder]")
@click.option("--api-keys", type=click.Path(path_type=Path), help="File of the keys, as api-key writes it.")
@click.option("--allowed-host", multiple=True, metavar="NAME", help="Name that the server is reached by; repeatable.")
@click.option(
    "--media", type=click.Path(path_type=Path), help="Folder of files to play: music/ID.mp3, videos/NAME.mp4."
)
@click.option("--media-origin", multiple=True, metavar="URL", help="From where the page may play preview_url.")
@click.option("--log", type=click.Path(path_type=Path, dir_okay=False), help="Log what is served, as JSON lines.")
@click.option("--window", default=3600.0, show_default=True, help="Seconds that the gauges of /metrics look back.")
@click.option("--majority", metavar="GENRE", help="Genre whose share is watched.  [default: the largest]")
@click.option("--popularity", default="popularity", show_default=True, help="Column with the tracks' popularity.")
@click.option(
    "--index",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "hnsw", "ivf"]),
    help="For more than 200,000 tracks: an index that is built in the background, once it reaches a recall of 0.95.",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Of a product of matrices.")
@_limits
def serve_command(
    artefact: Path,
    host: str,
    port: int,
    store: str | None,
    api_keys: Path | None,
    allowed_host: tuple[str, ...],
    media: Path | None,
    media_origin: tuple[str, ...],
    log: Path | None,
    window: float,
    majority: str | None,
    popularity: str,
    threads: int,
    index: str,
    **limits: Any,
) -> None:
    """Serve ARTEFACT, a folder that `export` wrote: an API, its description at /docs, and a page to try it.

    Tracks can be added, replaced and removed while it serves; they are kept in --store. SIGTERM ends the server when
    what is being answered has been answered.
    """
    from recbole_decm.cli.extras import require_serve

    require_serve()
    from recbole_decm.serving.api.running import serve

    options = ServeOptions(
        host=host,
        port=port,
        hosts=allowed_host,
        media=media,
        media_origins=media_origin,
        log=log,
        window=window,
        majority=majority,
        popularity=popularity,
        limits=Limits(**{field.name: limits[field.name] for field in fields(Limits)}),
    )
    serve(artefact, options, store, api_keys, threads, index, lambda line: click.echo(line, err=True))


@click.command("api-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="Whose key it is.")
@click.option("--role", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@click.option("--remove", is_flag=True, help="Take the key of --name out instead.")
def api_key_command(file: Path, name: str | None, role: str, remove: bool) -> None:
    """Add a key to FILE and print it, this once: FILE holds its digest. Without --name, list who has one.

    A server that runs takes the change up within a second.
    """
    from recbole_decm.serving.api.keys import add_key, read_keys, remove_key

    if name is None:
        for entry in read_keys(file):
            click.echo(f"{entry.role}\t{entry.name}")
    elif remove:
        remove_key(file, name)
    else:
        click.echo(add_key(file, name, role))  # type: ignore[arg-type]
