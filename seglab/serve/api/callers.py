"""Who calls: the key that came with a request, and how often its owner may."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from seglab.serve.errors import Refused
from seglab.serve.keys import Key
from seglab.serve.pipeline.service import Service

_bearer = HTTPBearer(auto_error=False, description="An API key, where the service asks for keys.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, as a header.")


def service_of(request: Request) -> Service:
    """Return the service that answers a request."""
    service: Service = request.app.state.service
    return service


async def known_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Key | None:
    """Return the caller's key; None where the service has no keys.

    Raises:
        Refused: There are keys, and the caller has none of them.
    """
    keys = service_of(request).keys
    given = bearer.credentials if bearer else header
    found = keys.find(given) if given else None
    if keys.known and found is None:
        came = "a key that is not known" if given else "none"
        raise Refused("key", f"expected an API key (Authorization: Bearer KEY), got {came}")
    if found is not None:
        request.state.seen["caller"] = found.name
    return found


async def within_rate(request: Request, key: Annotated[Key | None, Depends(known_key)]) -> None:
    """Count a request of its caller: the owner of a key, else an address.

    Raises:
        Refused: There were too many lately.
    """
    rate = service_of(request).rate
    if rate is not None:
        address = request.client.host if request.client else ""
        rate.take(f"key {key.name}" if key else f"address {address}")


async def admin(request: Request, key: Annotated[Key | None, Depends(known_key)]) -> None:
    """Let through only who has a key of an administrator.

    Raises:
        Refused: It is another key, or there are no keys.
    """
    if key is None or not key.admin:
        raise Refused("forbidden", "expected an API key that is marked `admin` in the keys file")


async def reader_of_metrics(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> None:
    """Ask for a key where the metrics are protected; raises as `known_key`."""
    if service_of(request).options.protect_metrics:
        await known_key(request, bearer, header)
