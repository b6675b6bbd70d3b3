"""What `seglab monitor report` may be told."""

from __future__ import annotations

from typing import Annotated

from seglab.bundle.options import BundleName
from seglab.core.options import FromList, Name, Options
from seglab.monitor.drift.options import DriftOptions
from seglab.monitor.options import Moment


class ReportOptions(Options):
    """Which log, which period, against which bundles."""

    log: Name
    """Folder of the log that `seglab serve` writes."""
    bundle: Annotated[tuple[BundleName, ...], FromList] = ()
    """Bundles that answered, each a folder, a zip or REGISTRY@ALIAS, such as `bundle=old,new`; images of
    others have no drift and no quality."""
    start: Moment | None = None
    """First time, such as 2026-11-27T08:30, in UTC where no zone is told; null: the log's first."""
    end: Moment | None = None
    """First time after the period; null: the log's last."""
    labels: Name | None = None
    """Folder of masks named by request id, or a manifest whose samples are named so: quality is measured."""
    alerts: Name | None = None
    """File in which `seglab monitor watch` keeps its alerts, which are shown with their beginning and end;
    null: alerts.json in the log's folder, where it is there."""
    output: Name = "monitor.html"
    """Page to write."""
    drift: DriftOptions = DriftOptions()
    """How drift is watched for."""
    title: Name | None = None
    """Heading; null: made of the names of the bundles."""
