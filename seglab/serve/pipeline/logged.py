"""Requests as rows of their log; imported only where there is one, for it needs pyarrow."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import softmax
from seglab.monitor.log.schema import OK
from seglab.monitor.log.writer import Entry, Event, RequestLog
from seglab.monitor.options import LogOptions
from seglab.serve.metrics import Metrics
from seglab.serve.pipeline.service import Seen, Service, Upload

_LOG = logging.getLogger("seglab.serve")


def open_log(options: LogOptions, metrics: Metrics) -> RequestLog:
    """Return a log that counts in the service's metrics what it writes and loses."""
    # Arrow's own pool keeps what it once had: after files were joined, 10 MB more of each worker.
    pa.set_memory_pool(pa.system_memory_pool())
    counters = {
        "rows": metrics.log_rows,
        "rows_lost": metrics.log_rows_lost,
        "images_lost": metrics.log_images_lost,
        "seconds": metrics.log_seconds,
    }

    def count(event: Event, number: float) -> None:
        counters[event].inc(number)

    return RequestLog(options, _LOG.warning, count)


def log_request(
    service: Service, state: Mapping[str, Any], status: int, code: str, seconds: float
) -> None:
    """Log a request that is over: a row an image, or one where it was refused.

    Args:
        service: Has the log.
        state: Of the request.
        status: Of HTTP.
        code: Why it was refused, in one word.
        seconds: It took.
    """
    log = service.log
    if log is None:
        return
    told: dict[str, Any] = {
        "time": time.time(),
        "request_id": state["request_id"],
        "stream": state.get("stream"),
        "latency": seconds,
    }
    uploads: Sequence[Upload] = state.get("uploads", ())
    if status >= 400:
        bundle = service.bundle
        name = uploads[0].name if len(uploads) == 1 else None
        told |= {"status": code, "bundle": bundle.id, "variant": bundle.variant}
        log.add(Entry(**told, name=name))
        return
    for number, upload in enumerate(uploads):
        if upload.seen is not None:
            log.add(_entry(told, number, upload.name, upload.seen))


def _entry(told: dict[str, Any], number: int, name: str | None, seen: Seen) -> Entry:
    found, pixels = seen.found, seen.pixels
    return Entry(
        **told,
        image=number,
        status=OK,
        name=name,
        bundle=seen.bundle.id,
        variant=seen.bundle.variant,
        queue=seen.queue,
        predict=seen.predict,
        measure=functools.partial(_measure, seen),
        pixels=pixels,
        held=pixels.nbytes + found.mask.nbytes + found.probabilities.nbytes,
    )


def _measure(seen: Seen) -> dict[str, Any]:
    logits = seen.found.probabilities[None] / np.float32(seen.bundle.info["temperature"])
    shares = softmax(logits)[0]
    numbers = output_statistics(seen.found._replace(probabilities=shares), seen.counts)
    return {**input_statistics(seen.pixels), **numbers, "features": seen.found.features}
