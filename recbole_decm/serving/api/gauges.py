"""What Prometheus reads: how the server does, and what it has served of late."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from recbole_decm.serving.api.window import Measures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_GAUGES = {
    "lists": "Lists in the window that the gauges below look at.",
    "majority_share": "Share of the tracks in the lists that belong to the watched genre.",
    "calibration": "KL divergence of the lists' genres from the uploaders' habits, in nats, where the habit is known.",
    "calibrated": "Lists in the window whose uploader's habit is known.",
    "coverage": "Share of the catalogue's tracks that are in a list of the window.",
    "popularity": "Mean popularity of the tracks in the lists.",
}


class Gauges:
    """Counters of requests, and gauges that are measured when they are asked for.

    Args:
        measure: measures the window.
        tracks: tracks of the catalogue now.
        artefact: id of what answers.
        lost: lines of the log that could not be written.
    """

    def __init__(
        self,
        measure: Callable[[], Measures],
        tracks: Callable[[], int],
        artefact: Callable[[], str],
        lost: Callable[[], int],
    ) -> None:
        self._registry = CollectorRegistry()
        self._measure, self._tracks, self._artefact, self._lost = measure, tracks, artefact, lost
        self._requests = Counter(
            "decm_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "decm_request_seconds", "Seconds to answer, by route.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._kept: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._registry.register(self)  # type: ignore[arg-type]

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        pair = self._kept.get((route, status))
        if pair is None:
            pair = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._kept[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        found = self._measure()
        for name, help_text in _GAUGES.items():
            yield GaugeMetricFamily(f"decm_served_{name}", help_text, value=float(getattr(found, name)))
        yield GaugeMetricFamily("decm_tracks", "Tracks of the catalogue.", value=self._tracks())
        yield CounterMetricFamily("decm_log_lost", "Lines of the log that could not be written.", value=self._lost())
        info = GaugeMetricFamily("decm_artefact", "What answers.", labels=["artefact"])
        info.add_metric([self._artefact()], 1)
        yield info

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
