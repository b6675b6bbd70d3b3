"""The service as an AWS Lambda function: events of a function URL, an API Gateway or a load balancer.

`python -m awslambdaric seglab.serve.process.awslambda.handler` is the command of its image. The variable
SEGLAB_SERVE_OPTIONS has options of `seglab serve` as JSON, such as {"bundle": "/bundle"}.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
from typing import Any

from seglab.core.errors import ConfigError
from seglab.serve.api.app import create_app
from seglab.serve.errors import Refused
from seglab.serve.keys import read_keys
from seglab.serve.logs import log_as_json
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions
from seglab.serve.pipeline.service import Service, open_bundle
from seglab.serve.schema import ErrorAnswer, ErrorDetail, ReloadAnswer

VARIABLE = "SEGLAB_SERVE_OPTIONS"
MOST_BYTES = 6 * 2**20  # of an answer, Lambda's limit
# What the platform does itself, or what could not hold over the many instances of a function.
_OF_A_SERVER = {"host", "port", "workers", "drain", "connections", "header_seconds", "keep_alive"}
_OF_A_SERVER |= {"rate", "burst", "proxies", "log"}
Event = dict[str, Any]


class Function:
    """One instance of the function; its loop, batcher and network live on between events.

    Args:
        options: As for the server.

    Raises:
        BundleError: The bundle is damaged.
        ConfigError: The keys cannot be used.
    """

    def __init__(self, options: ServeOptions) -> None:
        from mangum import Mangum  # in the function's image alone

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)  # the one that Mangum runs
        service = loop.run_until_complete(_start(options))
        self._answer = Mangum(create_app(service, _reload), lifespan="off")

    def __call__(self, event: Any, context: Any) -> Event:
        """Answer an event of HTTP.

        Raises:
            ConfigError: It is an event of something else.
        """
        if not isinstance(event, dict) or "requestContext" not in event:
            came = sorted(event) if isinstance(event, dict) else type(event).__name__
            raise ConfigError(
                "expected an event of a function URL, an API Gateway or a load balancer, whose body is the "
                f"image, got {came}"
            )
        answer: Event = self._answer(event, context)
        size = len(json.dumps(answer))
        return answer if size <= MOST_BYTES else _too_large(answer, size)


async def _start(options: ServeOptions) -> Service:
    return Service(open_bundle(options), options, Metrics(), read_keys(options.keys))


async def _reload() -> ReloadAnswer:
    raise Refused("forbidden", "a function has the bundle of its image; deploy one with another")


def _too_large(answer: Event, size: int) -> Event:
    """Return what is answered in the place of what Lambda would throw away."""
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    detail = ErrorDetail(
        code="too_large",
        message=f"the answer has {size} bytes, a function may answer {MOST_BYTES}; send fewer images, or "
        "ask for output=areas, or with Accept: image/png for a mask alone",
        request_id=headers["x-request-id"],
    )
    kept = {"content-type": "application/json", "x-request-id": headers["x-request-id"]}
    found: Event = {"statusCode": 413, "headers": kept, "isBase64Encoded": False}
    if "multiValueHeaders" in answer:
        found["multiValueHeaders"] = {name: [value] for name, value in kept.items()}
    return {**found, "body": ErrorAnswer(error=detail).model_dump_json()}


def read_options(text: str) -> ServeOptions:
    """Return the options that the variable holds.

    Raises:
        ConfigError: With every mistake; options that say nothing to a function are refused.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        example = '{"bundle": "/bundle"}'
        raise ConfigError(f"{VARIABLE}: expected JSON such as {example}: {error}") from error
    found = ServeOptions.problems(given)
    if isinstance(given, dict):
        found += [
            f"{name}: a function has no such option; set it where the function is called from"
            for name in sorted(_OF_A_SERVER & given.keys())
        ]
    if found:
        raise ConfigError([f"{VARIABLE}: {problem}" for problem in found])
    return ServeOptions.read(given)


@functools.cache
def _function() -> Function:
    options = read_options(os.environ.get(VARIABLE, "{}"))
    log_as_json(options.log_level)
    return Function(options)


def __getattr__(name: str) -> Function:
    """Make `handler` when Lambda's client asks for it: while the function starts, before any event."""
    if name == "handler":
        return _function()
    raise AttributeError(name)
