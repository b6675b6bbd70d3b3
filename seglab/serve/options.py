"""What `seglab serve` may be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import model_validator

from seglab.bundle.options import BundleName
from seglab.core.options import (
    Name,
    NotNegativeFloat,
    OnDisk,
    Options,
    Positive,
    PositiveFloat,
    broken_rule,
)
from seglab.monitor.options import LogOptions

Port = Annotated[int, Interval(ge=0, le=65535)]
BYTES_PER_PIXEL = 4


class ServeOptions(Options):
    """A bundle as an HTTP service; limits hold for each worker process."""

    bundle: BundleName
    """The bundle, a folder or a zip, or REGISTRY@champion; read again from there at a reload."""
    follow: NotNegativeFloat = 5.0
    """Seconds between looks at what REGISTRY@champion stands for; a change is a reload. 0: none by itself."""
    variant: Name | None = None
    """Which of the bundle's networks, such as int8; null: the one that the bundle recommends."""
    host: Name = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every address of this machine."""
    port: Port = 8000
    """Port to listen on; 0: any that is free, named in the first line of the log."""
    workers: Positive = 1
    """Processes; more than one pays where the machine has many cores."""
    threads: Positive | None = None
    """Threads of the network in each worker; null: the cores divided among the workers."""
    max_batch: Positive = 8
    """Images of one size that go through the network together at most."""
    batch_pixels: Positive = 4_000_000
    """Pixels of a batch at most; a larger image goes alone."""
    batch_wait: NotNegativeFloat = 0.002
    """Seconds that a batch waits for images that are being decoded."""
    queue: Positive = 64
    """Images that may wait for the network; further ones are answered 503."""
    max_wait: PositiveFloat = 2.0
    """Seconds that an image may be expected to wait for others; else it is answered 503 at once."""
    deadline: PositiveFloat = 30.0
    """Seconds for a request, from its headers to its answer: reading, decoding and predicting."""
    drain: PositiveFloat = 30.0
    """Seconds that requests under way have after SIGTERM."""
    max_bytes: Positive = 32 * 2**20
    """Bytes of a request's body at most."""
    max_pixels: Positive = 16_000_000
    """Pixels of an image at most; the bundle's own limit holds too."""
    max_side: Positive = 16_384
    """Height and width of an image at most, pixels."""
    max_images: Positive = 16
    """Images of a request at most."""
    memory: Positive = 512
    """MiB of bodies and decoded images at once at most; further ones are answered 503."""
    connections: Positive = 512
    """Connections at once at most; beyond it one that waits without a request is closed."""
    header_seconds: PositiveFloat = 10.0
    """Seconds for the headers of a request, and for each part of an answer to be taken."""
    keep_alive: PositiveFloat = 75.0
    """Seconds after which a connection without a request is closed."""
    keys: Annotated[Name, OnDisk("file")] | None = None
    """File of API keys, a line each: NAME SHA256 [admin]; or the same in the variable SEGLAB_SERVE_KEYS."""
    rate: NotNegativeFloat = 0.0
    """Requests a second for a key, or an address without keys, over all workers; 0: no limit."""
    burst: Positive = 20
    """Requests that may come at once before `rate` holds."""
    protect_metrics: bool = False
    """Whether /metrics asks for a key too."""
    proxies: Name = ""
    """Addresses of proxies whose X-Forwarded-For is believed, with commas between."""
    log: LogOptions | None = None
    """Log of the requests for `seglab monitor`; null: there is none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity of what is logged, as JSON lines on the standard output."""

    @model_validator(mode="after")
    def _limits_go_together(self) -> Self:
        least = -(-(self.max_bytes + BYTES_PER_PIXEL * self.max_pixels) // 2**20)
        if self.memory < least:
            raise broken_rule(
                f"memory: expected at least {least} (MiB: one body of max_bytes and one image of "
                f"max_pixels at {BYTES_PER_PIXEL} bytes a pixel), got {self.memory}"
            )
        return self
