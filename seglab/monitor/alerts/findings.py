"""What a rule finds wrong, and what to do about each kind."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["info", "warn", "page"]
SEVERITIES: tuple[Severity, ...] = ("info", "warn", "page")
SERVICE = "service"  # the subject of what is not about one stream, class or bundle

# A line each: what to do. docs/production.md says more under the same names.
RUNBOOK = {
    "no_requests": "Look whether callers still reach the service, and it logs (seglab_log_rows_total).",
    "errors": "Find the request ids in the service's log at level error; a traceback stands beside each.",
    "saturated": "Add replicas or cores, or let callers slow down by Retry-After.",
    "slow": "See seglab_stage_seconds: waiting asks for replicas, predicting for cores or int8.",
    "unreadable": "Ask the caller what it sends; the log has the names, the answers say what was expected.",
    "blank_frames": "Look at the camera: covered, unplugged, without light, or a decoder that fails.",
    "frozen_camera": "Restart the camera or the process that grabs its frames; it repeats one image.",
    "class_vanished": "Look at images of the stream: is the class gone from the world, or no longer found?",
    "class_flooded": "Look at images of the stream: a dirty, blinded or turned lens floods one class.",
    "confidence": "Send images to review (seglab review): the model meets what it does not know.",
    "drift": "Compare images of now and of the reference (seglab monitor report), then review and retrain.",
    "quality_estimated": "Label a random share (seglab review); roll back a release that began it.",
    "quality_unknown": "Label a random share: the images are too unlike the known ones to estimate quality.",
    "quality_measured": "Roll back a release that began it (seglab registry rollback); else retrain.",
    "watch_failed": "Read the message: the watch itself failed, so nothing else is being watched.",
}


class Finding(NamedTuple):
    """Something that is wrong now."""

    kind: str
    """A key of `RUNBOOK`."""
    severity: Severity
    subject: str
    """What it is about: the service, a stream, a class, a bundle."""
    message: str
    """One sentence with the numbers."""
    value: float
    threshold: float

    @property
    def key(self) -> str:
        """Under which it is one alert, however often it is found."""
        return f"{self.kind}/{self.subject}"

    @property
    def runbook(self) -> str:
        """What to do."""
        return RUNBOOK[self.kind]


class Judged(NamedTuple):
    """What rules found, and of what they could tell."""

    findings: list[Finding]
    kinds: frozenset[str]
    """Kinds of alerts that were judged: only these may end."""
