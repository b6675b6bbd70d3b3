"""The loop of the watch: evaluate, keep the book, tell people, wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from seglab.bundle.aliases import locate_bundle
from seglab.core.errors import ConfigError, SeglabError
from seglab.monitor.alerts.book import BOOK, AlertBook, Silence, read_silences, write_silences
from seglab.monitor.alerts.channels import deliver, open_channels
from seglab.monitor.alerts.findings import SERVICE, SEVERITIES, Finding, Judged
from seglab.monitor.alerts.options import LogChannelOptions
from seglab.monitor.watch.evaluation import Evaluation, Evaluator
from seglab.monitor.watch.gauges import Gauges
from seglab.monitor.watch.known import Known
from seglab.monitor.watch.options import SilenceOptions, WatchOptions

SILENCES, LOCK = "silences.json", ".watch.lock"


class Watch:
    """The watch over one log.

    Args:
        options: What is watched, and who is told.
        tell: Gets what is not an alert: notes, and messages that could not be delivered.

    Raises:
        ConfigError: A channel cannot be used.
        DataError: The bundle has no reference, or the book is damaged.
    """

    def __init__(self, options: WatchOptions, tell: Callable[[str], None]) -> None:
        self.options, self._tell = options, tell
        self.folder = Path(options.log).expanduser()
        self._channels = open_channels(
            {
                "log": LogChannelOptions(),
                "webhook": options.webhook,
                "email": options.email,
                "wandb": options.wandb,
            }
        )
        self._stamp, self._known = self._look(), self._read()
        self.book = AlertBook.read(self.folder / BOOK)
        self._evaluator, self._gauges = (
            Evaluator(options, tell),
            Gauges(options.textfile, options.metrics_port, options.metrics_host),
        )

    def step(self, now: float | None = None) -> Evaluation:
        """Evaluate once, and tell who is to be told."""
        now = time.time() if now is None else now
        try:
            self._follow_bundle()
            found = self._evaluator.evaluate(self._known, now)
        except (SeglabError, OSError) as error:
            finding = Finding("watch_failed", "page", SERVICE, str(error), 1.0, 0.0)
            found = Evaluation(Judged([finding], frozenset({"watch_failed"})))
        messages = self.book.take(
            found.judged,
            now,
            read_silences(self.folder / SILENCES),
            self.options.recovers_after,
            3600 * self.options.repeat_hours,
        )
        # Kept before they are sent: told twice after a crash is better than never.
        self.book.write()
        deliver(self.book, messages, self._channels, self._tell)
        self.book.write()
        self._gauges.show(self._known.bundle, found, self.book, now)
        return found

    @property
    def is_wrong(self) -> bool:
        """Whether an alert lasts that `fail_on` is about, or a message was not delivered."""
        if self.book.outbox:
            return True
        if self.options.fail_on == "never":
            return False
        least = SEVERITIES.index(self.options.fail_on)
        lasting = [one for one in self.book.alerts.values() if not one.silenced]
        return any(SEVERITIES.index(one.severity) >= least for one in lasting)

    def _look(self) -> tuple[Path, int, int]:
        """Return what changes where another bundle is meant, or is at its place."""
        bundle = locate_bundle(self.options.bundle)
        found = (bundle / "bundle.json" if bundle.is_dir() else bundle).stat()
        return bundle, found.st_mtime_ns, found.st_ino

    def _follow_bundle(self) -> None:
        """Read the bundle again where another is at its place."""
        if (stamp := self._look()) != self._stamp:
            self._known, self._stamp = self._read(), stamp

    def _read(self) -> Known:
        known = Known.read(locate_bundle(self.options.bundle), self.options.drift)
        for note in known.notes:
            self._tell(note)
        return known


def watch(options: WatchOptions, tell: Callable[[str], None], ending: threading.Event) -> int:
    """Evaluate at every interval until told to end; with `once` only once.

    Returns:
        The exit code: 1 where `once` found something wrong, else 0.

    Raises:
        ConfigError: Another process watches this log, or a channel cannot be used.
        DataError: The bundle has no reference.
    """
    lock = FileLock(Path(options.log).expanduser() / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"log: another process watches {options.log} already") from None
    with lock:
        one = Watch(options, tell)
        if options.once:
            found = one.step()
            tell(f"{found.rows} rows judged, {len(one.book.alerts)} alerts last")
            return int(one.is_wrong)
        while not ending.is_set():
            start = time.monotonic()
            one.step()
            ending.wait(max(0.0, options.interval - (time.monotonic() - start)))
    return 0


def silence(options: SilenceOptions, now: float) -> list[Silence]:
    """Begin or end a silence; return those that last.

    Raises:
        ConfigError: There is none to end.
    """
    path = Path(options.log).expanduser() / SILENCES
    lasting = [one for one in read_silences(path) if one.until > now]
    others = [one for one in lasting if one.alert != options.alert]
    if options.end and others == lasting:
        named = ", ".join(one.alert for one in lasting) or "none lasts"
        raise ConfigError(f"alert: no silence of '{options.alert}'; those that last: {named}")
    if not options.end:
        others.append(Silence(options.alert, now + 3600 * options.hours, options.why))
    write_silences(path, others)
    return others
