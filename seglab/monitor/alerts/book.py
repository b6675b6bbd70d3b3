"""What is wrong since when, who was told, and what is kept quiet: a file between evaluations."""

from __future__ import annotations

import datetime
import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError
from seglab.monitor.alerts.findings import SEVERITIES, Finding, Judged, Severity

What = Literal["fired", "worse", "still", "recovered"]
BOOK = "alerts.json"  # in the folder of the log
_VERSION = 1
_MOST_PAST = 500  # alerts that are over: the file is written anew at every evaluation


@dataclass
class Alert:
    """A finding that lasts, or lasted.

    Attributes:
        key: Of the finding.
        since: When it was found first, seconds since 1970.
        seen: When it was found last.
        missed: Evaluations since then that did not find it.
        told: When a message about it was last given out; None: never, for it was silenced.
        silenced: Whether it is kept quiet now.
        over: When it ended; None: it lasts.
    """

    key: str
    kind: str
    severity: Severity
    subject: str
    message: str
    value: float | None
    threshold: float | None
    runbook: str
    since: float
    seen: float
    missed: int = 0
    told: float | None = None
    silenced: bool = False
    over: float | None = None

    def take(self, finding: Finding, now: float) -> None:
        """Have the numbers of now."""
        self.severity, self.message = finding.severity, finding.message
        # Rules count with NumPy, whose numbers JSON does not take.
        self.value, self.threshold = float(finding.value), float(finding.threshold)
        self.seen, self.missed = now, 0


class Message(NamedTuple):
    """What people are told of an alert."""

    what: What
    time: float
    alert: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain content."""
        return {"what": self.what, "time": _when(self.time)} | {
            name: _when(value) if name in ("since", "seen") else value
            for name, value in self.alert.items()
            if name not in ("missed", "told", "silenced", "over")
        }

    @property
    def title(self) -> str:
        """A line."""
        alert = self.alert
        return f"[{self.what}] {alert['severity']}: {alert['kind']} ({alert['subject']})"

    @property
    def text(self) -> str:
        """All of it, for people."""
        alert = self.alert
        lines = [self.title, alert["message"], f"since {_when(alert['since'])}"]
        if self.what == "recovered":
            lines[1:2] = [f"it was: {alert['message']}", f"over at {_when(self.time)}"]
        else:
            lines.append(f"What to do: {alert['runbook']}")
        return "\n".join(lines)


class Silence(NamedTuple):
    """Alerts that nobody is told of for some time."""

    alert: str
    """Pattern of their keys, such as `drift/*`."""
    until: float
    why: str


@dataclass
class AlertBook:
    """The alerts of one log.

    Attributes:
        alerts: Those that last, by key.
        outbox: Messages that a channel has not taken yet: {"channel", "message", "tries"}.
        past: The latest of those that are over, the first to end first.
    """

    path: Path
    alerts: dict[str, Alert] = field(default_factory=dict)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    past: list[Alert] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> AlertBook:
        """Read the file; there need be none.

        Raises:
            DataError: It is damaged, or of a later version.
        """
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                raise ValueError(f"version {content['version']}")
            alerts = {one["key"]: Alert(**one) for one in content["alerts"]}
            past = [Alert(**one) for one in content.get("past", ())]  # older files have none
            return cls(path, alerts, list(content["outbox"]), past)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: expected alerts as this version keeps them ({error}); move it away to begin anew"
            ) from error

    def write(self) -> None:
        """Write the file: a reader sees the former or this."""
        content = {"version": _VERSION, "alerts": [asdict(one) for one in self.alerts.values()]}
        past = [asdict(one) for one in self.past[-_MOST_PAST:]]
        write_json(self.path, {**content, "outbox": self.outbox, "past": past})

    def take(
        self,
        judged: Judged,
        now: float,
        silences: Sequence[Silence] = (),
        recovers_after: int = 2,
        repeat: float = 86_400.0,
    ) -> list[Message]:
        """Take what an evaluation found, and return what is to be told of it.

        Args:
            judged: Findings, and the kinds that could be told; alerts of other kinds stay as they are.
            now: Seconds since 1970.
            silences: What to keep quiet.
            recovers_after: Evaluations without a finding after which its alert is over.
            repeat: Seconds after which an alert that lasts is told again.
        """
        found = {one.key: one for one in judged.findings}
        for alert in self.alerts.values():
            alert.silenced = _is_silenced(alert.key, now, silences)
        messages = [
            message
            for finding in found.values()
            if (message := self._found(finding, now, silences, repeat)) is not None
        ]
        for alert in list(self.alerts.values()):
            if alert.key in found or alert.kind not in judged.kinds:
                continue
            alert.missed += 1
            if alert.missed >= recovers_after:
                alert.over = now
                self.past.append(self.alerts.pop(alert.key))
                if alert.told is not None and not alert.silenced:
                    messages.append(Message("recovered", now, asdict(alert)))
        return messages

    def _found(
        self, finding: Finding, now: float, silences: Sequence[Silence], repeat: float
    ) -> Message | None:
        known = self.alerts.get(finding.key)
        alert = known or Alert(finding.key, *finding, runbook=finding.runbook, since=now, seen=now)
        is_worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(alert.severity)
        alert.take(finding, now)
        self.alerts[alert.key] = alert
        alert.silenced = _is_silenced(alert.key, now, silences)
        if alert.silenced:
            return None
        what: What = "still"
        if alert.told is None:
            what = "fired"
        elif is_worse:
            what = "worse"
        elif now < alert.told + repeat:
            return None
        alert.told = now
        return Message(what, now, asdict(alert))


def _is_silenced(key: str, now: float, silences: Sequence[Silence]) -> bool:
    return any(now < one.until and fnmatch.fnmatchcase(key, one.alert) for one in silences)


def read_silences(path: Path) -> list[Silence]:
    """Return the silences of a file; there need be none.

    Raises:
        DataError: It is damaged.
    """
    if not path.exists():
        return []
    try:
        return [Silence(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: expected a list of silences ({error}); remove it") from error


def write_silences(path: Path, silences: Sequence[Silence]) -> None:
    """Write the silences that last."""
    write_json(path, [one._asdict() for one in silences])


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
