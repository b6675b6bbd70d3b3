"""What the rules of alerts, and the channels that carry them, may be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import model_validator

from seglab.core.options import (
    Fraction,
    Name,
    NotNegative,
    Options,
    Positive,
    PositiveFloat,
    broken_rule,
)
from seglab.core.parts.components import component

CHANNEL = "alert_channel"
Port = Annotated[int, Interval(ge=1, le=65535)]
AtLeastOne = Annotated[float, Interval(ge=1)]


class RuleOptions(Options):
    """When the latest requests are worth an alert; shares are of the requests of the window."""

    least_rows: Positive = 20
    """Rows below which nothing is judged, and no alert ends."""
    expected_rows: NotNegative = 0
    """Rows below which the silence itself is an alert; 0: none is expected."""
    latency_p95: PositiveFloat = 2.0
    """Seconds that 95 of 100 requests should stay below."""
    errors: Fraction = 0.01
    """Share of requests that may fail by a fault of the service, or by its deadline."""
    refused: Fraction = 0.05
    """Share that may be refused because too much is under way."""
    unreadable: Fraction = 0.2
    """Share whose images may not be readable."""
    blank: Fraction = 0.05
    """Share of a stream's images that may be black or of one colour."""
    frozen: Positive = 10
    """Images of a stream in a row that are the same to the last bit: the camera hangs."""
    vanished: Fraction = 0.1
    """Part of a class's least usual share below which it has vanished."""
    flooded: Fraction = 0.05
    """Share above which a class floods the images, where it has half as much again as on any known image."""
    doubt: AtLeastOne = 2.0
    """How many times the largest usual doubt (1 minus confidence) is a collapse of confidence."""
    quality_drop: Fraction = 0.05
    """By how much mIoU, estimated or measured, may surely be below that of the known images."""


@component(CHANNEL, "seglab.monitor.alerts.channels.LogChannel", "log")
class LogChannelOptions(Options):
    """A line of the standard output for each message."""


@component(CHANNEL, "seglab.monitor.alerts.channels.Webhook", "webhook")
class WebhookOptions(Options):
    """A message as JSON, posted to an address; chat rooms and pagers take them."""

    url: Name
    """Where to; http or https."""
    form: Literal["alert", "text"] = "alert"
    """`alert`: every field; `text`: {"text": ...} alone, as Slack, Mattermost and Teams read it."""
    token: Name | None = None
    """Environment variable with a token, sent as `Authorization: Bearer`."""
    timeout: PositiveFloat = 10.0
    """Seconds for an answer."""

    @model_validator(mode="after")
    def _is_http(self) -> Self:
        if not self.url.startswith(("http://", "https://")):
            raise broken_rule(f"url: expected http:// or https://, got '{self.url}'")
        return self


@component(CHANNEL, "seglab.monitor.alerts.mail.Email", "email")
class EmailOptions(Options):
    """A message as e-mail through an SMTP server."""

    host: Name
    """Of the server."""
    to: Name
    """Addresses, with commas between."""
    sender: Name = "seglab@localhost"
    """Address it comes from."""
    port: Port = 587
    """Of the server: 587, 465, or 25."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is kept from others; none only on this machine."""
    user: Name | None = None
    """Name to log in with."""
    password: Name | None = None
    """Environment variable with the password."""
    timeout: PositiveFloat = 10.0
    """Seconds for each step."""


@component(CHANNEL, "seglab.monitor.alerts.wandb_channel.WandbChannel", "wandb")
class WandbOptions(Options):
    """A message as an alert of Weights & Biases, which sends it on."""

    project: Name = "seglab"
    """Project of the run that has the alerts."""
    entity: Name | None = None
    """Team or user; null: that of the key."""
