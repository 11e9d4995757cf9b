"""What a running server holds, and what its routes do, apart from HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pandas as pd

from recbole_decm.errors import ConfigError
from recbole_decm.media.cards import Card, from_values
from recbole_decm.serving.api.answers import encode, named
from recbole_decm.serving.api.asked import Asked, stack
from recbole_decm.serving.api.batching import Batcher
from recbole_decm.serving.api.forms import NamedTrack, Options, Recommendations, UploadOptions
from recbole_decm.serving.api.gauges import Gauges
from recbole_decm.serving.api.options import Limits, ServeOptions
from recbole_decm.serving.api.players import Players, open_players
from recbole_decm.serving.api.problems import Problem, of_error
from recbole_decm.serving.api.ranking import Lists, rank
from recbole_decm.serving.api.served_log import ServedLog
from recbole_decm.serving.api.uploads import Decoders, open_extractors
from recbole_decm.serving.api.window import Measures, Served, Window
from recbole_decm.serving.artefact import Artefact, Tracks, open_artefact
from recbole_decm.serving.artefact.neighbours import Neighbours, open_neighbours
from recbole_decm.serving.filters import Filter

if TYPE_CHECKING:
    from recbole_decm.serving.store.live import Live, View

_TOGETHER = 64  # requests that are answered by one product


class Service:
    """A catalogue in memory, and what serves it. Close it after use.

    Args:
        live: the catalogue; closed with the service.
        folder: of the artefact, which is read again when it is asked to.
        options: as the command line has them.
    """

    def __init__(self, live: Live, folder: Path, options: ServeOptions) -> None:
        self.live, self.folder, self.options = live, folder, options
        self.players = open_players(options.media) if options.media else Players()
        self.window = Window(options.window, options.popularity)
        self.log = ServedLog(options.log) if options.log else None
        self.gauges = Gauges(self.measures, lambda: live.size, lambda: live.artefact.manifest.id, self._lost)
        self._batcher: Batcher[Asked, Lists] = Batcher(
            lambda batch: rank(live, batch, self._neighbours), _TOGETHER, options.limits.waiting
        )
        self._changes = ThreadPoolExecutor(1, "changes")
        self._decoders: Decoders | None = None
        self._extractors: dict[tuple[str, str], Any] = {}
        self._reloading = threading.Lock()
        self._neighbours = _neighbours(folder, live.artefact)
        self._largest: tuple[str, str | None] | None = None

    @property
    def limits(self) -> Limits:
        return self.options.limits

    def warm(self) -> None:
        """Start what the first requests would wait for."""
        try:
            self.extractors("video")
        except ConfigError:
            return  # uploads are refused with this reason
        self._decoders = Decoders(self.limits)

    def close(self) -> None:
        """Finish what is at work, then let go of all."""
        self._batcher.close()
        self._changes.shutdown(wait=True)
        if self._decoders is not None:
            self._decoders.close()
        if self.log is not None:
            self.log.close()
        self.live.close()

    # --- lists --------------------------------------------------------------------------------------------------------
    async def recommend(self, form: Recommendations, request_id: str) -> bytes:
        """The answer to a request with features."""
        self._check_size(form, len(form.videos))
        fields = self.live.artefact.manifest.video_fields
        features = stack([video.features for video in form.videos], fields, "videos")
        return await self._lists(form, features, [video.uploader_prior for video in form.videos], request_id)

    async def recommend_for(self, files: Sequence[BinaryIO], form: UploadOptions, request_id: str) -> bytes:
        """The answer to a request with videos."""
        self._check_size(form, len(files))
        given = form.videos or []
        if given and len(given) != len(files):
            raise Problem(422, f"videos: expected {len(files)} entries, one for each file, found {len(given)}.")
        features = await self._decoded(files, "video")
        preferences = [video.uploader_prior for video in given] or [None] * len(files)
        return await self._lists(form, features, preferences, request_id)

    async def features(self, files: Sequence[BinaryIO]) -> dict[str, Any]:
        """Features of videos, as a request for lists takes them."""
        artefact = self.live.artefact.manifest.id
        found = await self._decoded(files, "video")
        videos = [
            {name: rows[at].tolist() for name, rows in found.items() if np.isfinite(rows[at]).all()}
            for at in range(len(files))
        ]
        return {"artefact": artefact, "videos": [{"features": video} for video in videos]}

    def _check_size(self, options: Options, videos: int) -> None:
        if options.k > self.limits.k:
            raise Problem(422, f"k: expected a whole number from 1 to {self.limits.k}, found {options.k}.")
        if videos > self.limits.batch:
            raise Problem(422, f"videos: expected at most {self.limits.batch}, found {videos}.")
        if options.explain and videos > self.limits.explained:
            raise Problem(422, f"videos: expected at most {self.limits.explained} with explain, found {videos}.")
        if videos * options.k > self.limits.tracks:
            raise Problem(
                422,
                f"k: expected at most {self.limits.tracks} tracks in all lists together, found {videos} lists of "
                f"{options.k}. Ask for fewer at a time.",
            )

    async def _lists(
        self, options: Options, features: Mapping[str, np.ndarray], preferences: Sequence[Any], request_id: str
    ) -> bytes:
        try:
            asked = Asked.of(options, features, preferences)
        except ConfigError as error:
            raise of_error(error) from error
        lists = await self._batcher.ask(asked, self.limits.seconds)
        self._watch(lists, options, request_id)
        return encode(lists, options.explain)

    def _watch(self, lists: Lists, options: Options, request_id: str) -> None:
        """Count what is served, and log it."""
        for video in lists.videos:
            self.window.add(Served(video.ids, video.metadata, video.habit))
            if self.log is not None:
                self.log.add(
                    request=request_id,
                    time=time.time(),
                    artefact=lists.artefact,
                    prior={"kind": video.kind, "probabilities": named(video.prior, lists.genres)},
                    options=options.model_dump(include={"k", "filter", "exclude", "diversity", "max_per"}),
                    tracks=video.ids,
                    scores=video.scores,
                )

    def measures(self) -> Measures:
        """Of what was served of late."""
        view = self.live.view()
        majority = self.options.majority or self._majority(view)
        return self.window.measures(view.artefact.manifest.genres, majority, view.size)

    def _majority(self, view: View) -> str | None:
        """The genre of most tracks, counted once for each artefact: what is watched should not change its meaning."""
        if self._largest is None or self._largest[0] != view.version:
            with view.table.reading() as now:
                counts = {}
                if "genre" in now.columns:
                    for genre in view.artefact.manifest.genres:
                        text = genre.replace("\\", "\\\\").replace("'", "\\'")
                        counts[genre] = int(now.mask(Filter.parse(f"genre = '{text}'")).sum())
            self._largest = view.version, max(counts, key=lambda genre: counts[genre], default=None)
        return self._largest[1]

    def _lost(self) -> int:
        return 0 if self.log is None else self.log.lost

    # --- files --------------------------------------------------------------------------------------------------------
    def extractors(self, side: str) -> dict[str, Any]:
        """The extractors of a side of the artefact, ``video`` or ``track``.

        Raises:
            ConfigError: the artefact does not say how its features were made.
        """
        manifest = self.live.artefact.manifest
        key = manifest.id, side
        if key not in self._extractors:
            fields = manifest.video_fields if side == "video" else manifest.track_fields
            self._extractors = {key: open_extractors(_cards(manifest.features), fields, side)} | {
                other: found for other, found in self._extractors.items() if other[0] == manifest.id
            }
        return self._extractors[key]

    async def _decoded(self, files: Sequence[BinaryIO], side: str) -> dict[str, np.ndarray]:
        """Features of files; 503 where it takes more than the seconds of a request."""
        try:
            extractors = self.extractors(side)
        except ConfigError as error:
            raise of_error(error) from error
        if self._decoders is None:
            self._decoders = Decoders(self.limits)
        return await self._in_time(self._decoders.features(files, extractors), "files decoded")

    # --- tracks -------------------------------------------------------------------------------------------------------
    async def put(self, tracks: Sequence[NamedTrack]) -> None:
        """Add or replace tracks; durable and in all answers when this returns."""
        fields = self.live.artefact.manifest.track_fields
        features = stack([track.features for track in tracks], fields, "tracks")
        await self._put([track.track_id for track in tracks], features, [track.metadata for track in tracks])

    async def put_file(self, track_id: str, file: BinaryIO, metadata: Mapping[str, Any]) -> None:
        """Add or replace a track by its sound."""
        await self._put([track_id], await self._decoded([file], "track"), [metadata])

    async def _put(
        self, ids: Sequence[str], features: dict[str, np.ndarray], metadata: Sequence[Mapping[str, Any]]
    ) -> None:
        table = pd.DataFrame(list(metadata), index=range(len(ids)), dtype=object)
        await self.change(self.live.put, Tracks(np.array(ids, dtype=object), features, table))

    async def change(self, work: Any, *given: Any) -> Any:
        """Do something with the store, in a thread: one change after another.

        Raises:
            Problem: 503, the store does not answer in time.
        """

        threads: list[int] = []

        def working() -> Any:
            threads.append(threading.get_ident())
            return work(*given)

        loop = asyncio.get_running_loop()
        try:
            return await self._in_time(loop.run_in_executor(self._changes, working), "an answer of the store")
        except Problem:
            for thread in threads:  # where it waited for an earlier change, that one has its own limit
                self.live.store.interrupt(thread)
            raise

    async def _in_time(self, work: Awaitable[Any], what: str) -> Any:
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except asyncio.TimeoutError:
            seconds = self.limits.seconds
            raise Problem(503, f"expected {what} within {seconds:g} s, found none. Come again.", 1) from None

    # --- the artefact -------------------------------------------------------------------------------------------------
    def describe(self) -> dict[str, Any]:
        """What clients need to know of the artefact."""
        manifest = self.live.artefact.manifest
        try:
            self.extractors("video")
            why_no_uploads = None
        except ConfigError as error:
            why_no_uploads = str(error)
        return {
            "artefact": manifest.id,
            "model": manifest.model,
            "format_version": manifest.format_version,
            "genres": list(manifest.genres),
            "video_fields": dict(manifest.video_fields),
            "track_fields": dict(manifest.track_fields),
            "tracks": self.live.size,
            "ranks_by_uploader": manifest.ranks_by_uploader,
            "why_no_prior_changes": manifest.why_no_prior_changes,
            "why_no_uploads": why_no_uploads,
            "limits": {"k": self.limits.k, "batch": self.limits.batch, "uploads": self.limits.uploads},
        }

    def reload(self) -> dict[str, Any]:
        """Open the folder again, and let what is in it answer, without a request that waits or fails.

        Raises:
            Problem: 409, the folder cannot be used, or somebody else reloads.
        """
        if not self._reloading.acquire(blocking=False):
            raise Problem(409, "artefact: expected one reload at a time, found one at work.")
        try:
            before = self.live.artefact.manifest.id
            found = open_artefact(self.folder)
            near = _neighbours(self.folder, found)
            if found.manifest.id != before:
                self.live.store.publish(found)
                self.live.switch(found.manifest.id)
            self._neighbours = near
            return {"artefact": found.manifest.id, "before": before, "changed": found.manifest.id != before}
        finally:
            self._reloading.release()


def _cards(values: Any) -> dict[str, Card]:
    """How features are made, as the artefact says it."""
    return {} if values is None else from_values(values, "features.json of the artefact")


def _neighbours(folder: Path, artefact: Artefact) -> tuple[str, Neighbours] | None:
    """Whose they are, and the training videos of an artefact, where its folder has them."""
    found = open_neighbours(folder, artefact)
    return None if found is None else (artefact.manifest.id, found)
