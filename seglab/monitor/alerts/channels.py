"""Channels that carry messages: each has `send`, which raises `UndeliveredError` where it could not."""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Protocol

from seglab.core.errors import ConfigError, SeglabError
from seglab.core.options import Options
from seglab.core.parts.components import load_component
from seglab.monitor.alerts.book import AlertBook, Message
from seglab.monitor.alerts.options import CHANNEL, LogChannelOptions, WebhookOptions

_PAUSES = (
    0.5,
    2.0,
)  # seconds before further tries at once; after them it waits for the next evaluation
_MOST_TRIES = 1000  # evaluations, after which a message is given up
_LOG = logging.getLogger("seglab.monitor")


class UndeliveredError(SeglabError):
    """A message was not taken; `again` tells whether another try may help at once."""

    def __init__(self, message: str, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


class Channel(Protocol):
    """What carries messages."""

    def send(self, message: Message) -> None:
        """Send one; raises UndeliveredError where it was not taken."""


class LogChannel:
    """A line of the log for each message, with its fields."""

    def __init__(self, options: LogChannelOptions) -> None:
        self.options = options

    def send(self, message: Message) -> None:
        """Log it."""
        level = logging.INFO if message.what == "recovered" else logging.WARNING
        _LOG.log(level, message.text.replace("\n", " | "), extra={"alert": message.to_dict()})


class Webhook:
    """Posts messages as JSON; redirects are not followed, for they could lead the token elsewhere."""

    def __init__(self, options: WebhookOptions) -> None:
        self.options = options
        self._token = secret(options.token, "webhook.token")
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, message: Message) -> None:
        """Post it; an answer of 2xx is a receipt."""
        content = {"text": message.text}
        if self.options.form == "alert":
            content |= {"title": message.title, **message.to_dict()}
        headers = {"Content-Type": "application/json", "User-Agent": "seglab-monitor"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = json.dumps(content).encode()
        request = urllib.request.Request(self.options.url, body, headers)  # noqa: S310 - http alone
        try:
            self._opener.open(request, timeout=self.options.timeout).close()
        except urllib.error.HTTPError as error:
            again = error.code == 429 or error.code >= 500
            raise UndeliveredError(f"the server answers {error.code}", again) from error
        except OSError as error:
            raise UndeliveredError(str(getattr(error, "reason", error))) from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: object) -> None:  # type: ignore[override]
        return None


def secret(variable: str | None, key: str) -> str | None:
    """Return what an environment variable holds; secrets stand in no file and no command line.

    Raises:
        ConfigError: There is no such variable.
    """
    if variable is None:
        return None
    if variable not in os.environ:
        raise ConfigError(f"{key}: expected an environment variable {variable}, there is none")
    return os.environ[variable]


def open_channels(chosen: Mapping[str, Options | None]) -> dict[str, Channel]:
    """Return the channels that were chosen, by name.

    Args:
        chosen: Options by the channel's name; None: it is not used.

    Raises:
        ConfigError: One cannot be used; all such mistakes together.
    """
    found, problems = dict[str, Channel](), list[str]()
    for name, options in chosen.items():
        if options is not None:
            try:
                found[name] = load_component(CHANNEL, name)(options)
            except ConfigError as error:
                problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def deliver(
    book: AlertBook,
    messages: list[Message],
    channels: Mapping[str, Channel],
    tell: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Send messages, and those of former evaluations that were not taken.

    Args:
        book: Keeps what is not taken.
        messages: New ones.
        channels: By name.
        tell: Gets a line for each channel that does not take its messages.
        pause: Waits between tries.

    Returns:
        How many are still to be delivered.
    """
    waiting = book.outbox + [
        {"channel": name, "message": [*message[:2], dict(message.alert)], "tries": 0}
        for message in messages
        for name in channels
    ]
    book.outbox, dead = [], dict[str, str]()
    for one in waiting:
        name = one["channel"]
        if name not in channels:
            tell(f"{name}: a message is given up, the channel is no longer there")
            continue
        if name not in dead:  # else every message would wait for what does not answer
            fault = _send(channels[name], Message(*one["message"]), pause)
            if fault is None:
                continue
            dead[name] = fault
        one["tries"] += 1
        if one["tries"] < _MOST_TRIES:
            book.outbox.append(one)
    for name, fault in dead.items():
        count = sum(one["channel"] == name for one in book.outbox)
        tell(f"{name}: {count} messages could not be delivered and are tried again: {fault}")
    return len(book.outbox)


def _send(channel: Channel, message: Message, pause: Callable[[float], None]) -> str | None:
    """Return why a message was not taken; None where it was."""
    for seconds in (*_PAUSES, None):
        try:
            channel.send(message)
        except UndeliveredError as error:
            if seconds is None or not error.again:
                return str(error)
            pause(seconds)
        else:
            return None
    return None
