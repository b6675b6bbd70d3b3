"""Every number that /metrics shows, each declared once; alert rules and dashboards use these names.

Several workers write to files of one folder (`PROMETHEUS_MULTIPROC_DIR`), of which any of them shows the
sum. A worker's files stay when it ends, so that no counter ever falls.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

disable_created_metrics()  # several workers have none, and no query here needs them
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_IMAGES = (1, 2, 4, 8, 16, 32)
STAGES = ("read", "decode", "wait", "predict", "encode")
REFUSALS = ("queue", "wait", "memory", "connections", "rate", "key", "slow", "deadline")


class Metrics:
    """The service's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "seglab_requests", "Answers by route and status.", ("route", "status"), registry=own
        )
        self.request_seconds = Histogram(
            "seglab_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            registry=own,
            buckets=_SECONDS,
        )
        self.stage_seconds = Histogram(
            "seglab_stage_seconds",
            "Where a prediction's time goes.",
            ("stage",),
            registry=own,
            buckets=_SECONDS,
        )
        self.images = Counter("seglab_images", "Images predicted.", registry=own)
        self.pixels = Counter("seglab_pixels", "Pixels predicted.", registry=own)
        self.class_pixels = Counter(
            "seglab_class_pixels", "Pixels predicted as a class.", ("class_name",), registry=own
        )
        self.batch_images = Histogram(
            "seglab_batch_images",
            "Images that went through the network together.",
            registry=own,
            buckets=_IMAGES,
        )
        self.refused = Counter(
            "seglab_refused", "Requests not served, by reason.", ("reason",), registry=own
        )
        self.reloads = Counter(
            "seglab_reloads", "Reloads of the bundle in a worker.", ("outcome",), registry=own
        )
        self.log_rows = Counter(
            "seglab_log_rows", "Rows written to the log of requests.", registry=own
        )
        self.log_rows_lost = Counter(
            "seglab_log_rows_lost", "Rows that could not be measured or written.", registry=own
        )
        self.log_images_lost = Counter(
            "seglab_log_images_lost", "Images that could not be stored.", registry=own
        )
        self.log_seconds = Counter(
            "seglab_log_processor_seconds", "What the log costs of the processor.", registry=own
        )
        self.worker_starts = Counter("seglab_worker_starts", "Workers started.", registry=own)
        self.queue_images = self._sum("seglab_queue_images", "Images waiting for the network.")
        self.in_flight = self._sum("seglab_in_flight_requests", "Requests being answered.")
        self.held_bytes = self._sum("seglab_held_bytes", "Bytes of bodies and images held.")
        self.connections = self._sum("seglab_connections", "Open connections.")
        self.resident_bytes = self._sum("seglab_resident_bytes", "Resident memory of the workers.")
        self.workers = self._sum("seglab_workers", "Workers that serve.")
        self.bundle = Gauge(
            "seglab_bundle_info",
            "1 for the bundle in use.",
            ("bundle", "name", "variant"),
            registry=own,
            multiprocess_mode="livemax",
        )
        for reason in REFUSALS:  # shown from the start: an alert's rate needs the first increase
            self.refused.labels(reason)

    def _sum(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode="livesum")

    def page(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)

    def watch_memory(self) -> None:
        """Note how much memory this process holds."""
        try:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        except OSError:
            return  # only Linux tells it there
        self.resident_bytes.set(pages * os.sysconf("SC_PAGE_SIZE"))
