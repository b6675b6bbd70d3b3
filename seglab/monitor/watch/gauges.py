"""What the watch tells Prometheus, by a port or a file; alert rules and dashboards use these names."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, start_http_server, write_to_textfile

from seglab.core.disk.places import placing
from seglab.core.errors import PlaceError
from seglab.monitor.alerts.book import AlertBook
from seglab.monitor.watch.evaluation import Evaluation

FIGURES = {
    "drift_score": "How far the latest images are from the reference; 1 is usual.",
    "drift_threshold": "Score above which they have drifted.",
    "miou_known": "mIoU of the bundle on its reference.",
    "miou_estimated": "mIoU of the latest images, estimated without labels.",
    "miou_estimated_low": "Start of its 95 % interval.",
    "miou_estimated_high": "End of its 95 % interval.",
    "miou_estimate_holds": "1 where the estimate may be believed, 0 where not.",
    "miou_measured": "mIoU of the latest images that have labels.",
    "miou_measured_low": "Start of its 95 % interval.",
    "miou_measured_high": "End of its 95 % interval.",
}


class Gauges:
    """The watch's metrics, in a registry of their own.

    Args:
        textfile: Where they are written at each evaluation; None: nowhere.
        port: On which they are read; None: none.
        host: Address that the port listens on.

    Raises:
        PlaceError: The port is taken.
    """

    def __init__(
        self, textfile: str | None = None, port: int | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._textfile = None if textfile is None else Path(textfile).expanduser()
        self.registry = CollectorRegistry()
        own = self.registry
        self._figures = {
            name: Gauge(f"seglab_{name}", text, ("bundle",), registry=own)
            for name, text in FIGURES.items()
        }
        self._alerts = Gauge(
            "seglab_alert_firing",
            "1 for each alert that lasts.",
            ("kind", "severity", "subject"),
            registry=own,
        )
        self._rows = Gauge("seglab_watch_rows", "Rows that were judged last.", registry=own)
        self._undelivered = Gauge(
            "seglab_alerts_undelivered", "Messages that no channel has taken yet.", registry=own
        )
        self._time = Gauge(
            "seglab_watch_timestamp_seconds", "When the watch last evaluated.", registry=own
        )
        self._time.set(float("nan"))  # not in 1970, which were an alert until thresholds are set
        if port is not None:
            try:
                start_http_server(port, host, own)
            except OSError as error:
                text = f"metrics_port: cannot listen on {host}:{port}: {error.strerror}"
                raise PlaceError(text) from error

    def show(self, bundle: str, found: Evaluation, book: AlertBook, now: float) -> None:
        """Show what an evaluation found; figures that it could not tell are taken away.

        Raises:
            PlaceError: The file cannot be written.
        """
        for name, gauge in self._figures.items():
            gauge.clear()
            if name in found.figures:
                gauge.labels(bundle).set(found.figures[name])
        self._alerts.clear()
        for alert in book.alerts.values():
            if not alert.silenced:
                self._alerts.labels(alert.kind, alert.severity, alert.subject).set(1)
        self._rows.set(found.rows)
        self._undelivered.set(len(book.outbox))
        self._time.set(now)
        if self._textfile is not None:
            with placing(self._textfile):
                write_to_textfile(str(self._textfile), self.registry)
