"""What `seglab monitor watch`, `silence` and `backfill` may be told."""

from __future__ import annotations

from typing import Annotated, Literal

from seglab.bundle.options import BundleName
from seglab.core.options import Name, OnDisk, Options, Positive, PositiveFloat
from seglab.monitor.alerts.options import (
    EmailOptions,
    Port,
    RuleOptions,
    WandbOptions,
    WebhookOptions,
)
from seglab.monitor.drift.options import DriftOptions


class WatchOptions(Options):
    """The log of a service, watched: rules over the latest requests, and messages about what is wrong."""

    log: Annotated[Name, OnDisk("folder")]
    """Folder of the log of requests."""
    bundle: BundleName
    """The bundle that answers, with its reference, or REGISTRY@champion; read again when it is another."""
    labels: Annotated[Name, OnDisk("folder")] | None = None
    """Folder of masks named by request id, for measured quality; null: quality is estimated alone."""
    label_days: PositiveFloat = 30.0
    """Days back to which labels are looked for rows of."""
    minutes: PositiveFloat = 60.0
    """The latest requests that are judged."""
    interval: PositiveFloat = 60.0
    """Seconds between two evaluations."""
    once: bool = False
    """Whether to evaluate once and end, for cron: with 1 where something is wrong, else with 0."""
    fail_on: Literal["info", "warn", "page", "never"] = "warn"
    """Least severity of an alert that makes `once` end with 1."""
    recovers_after: Positive = 2
    """Evaluations without a finding after which its alert is over."""
    repeat_hours: PositiveFloat = 24.0
    """Hours after which an alert that lasts is told again."""
    textfile: Name | None = None
    """File of metrics for node_exporter's textfile collector (NAME.prom); null: none."""
    metrics_port: Port | None = None
    """Port on which Prometheus reads the same metrics; null: none."""
    metrics_host: Name = "127.0.0.1"
    """Address of that port; 0.0.0.0: for other machines too, as in a container."""
    rules: RuleOptions = RuleOptions()
    """Thresholds."""
    drift: DriftOptions = DriftOptions()
    """The watch for drift."""
    webhook: WebhookOptions | None = None
    """Where messages are posted; null: nowhere."""
    email: EmailOptions | None = None
    """To whom they are sent; null: to nobody."""
    wandb: WandbOptions | None = None
    """Project of Weights & Biases that gets them; null: none."""


class SilenceOptions(Options):
    """Alerts that nobody shall be told of for some time; they are still found and shown."""

    log: Annotated[Name, OnDisk("folder")]
    """Folder of the log of requests."""
    alert: Name
    """Which: kind/subject, such as drift/* or frozen_camera/cam-3; see the messages."""
    hours: PositiveFloat = 4.0
    """For how long."""
    why: Name
    """The reason, for who reads it later."""
    end: bool = False
    """Whether to end such a silence instead."""


class BackfillOptions(Options):
    """Images that were not logged when they were predicted, as rows of a log."""

    bundle: BundleName
    """The bundle (or REGISTRY@champion) whose statistics they get."""
    input: Annotated[Name, OnDisk("folder")]
    """Folder of images, those below it too; the log of another bundle: its stored images."""
    log: Name
    """Folder of the log that gets the rows; made where it is not there."""
    variant: Name | None = None
    """Which of the bundle's networks; null: the one that the bundle recommends."""
    times: Literal["auto", "exif", "file"] = "auto"
    """When an image was taken: `exif` (left out where it has none), `file` (last change), or `auto` (the
    former, else the latter). Those of a log keep theirs."""
    streams: Literal["folder", "none"] = "folder"
    """What is a stream: the folder an image is in, or nothing."""
    privacy: Literal["statistics", "thumbnails", "images"] = "statistics"
    """What is kept of an image."""
    max_bytes: Positive = 2**30
    """Bytes of the log at most."""
