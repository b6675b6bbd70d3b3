"""A client of the service: what it answers as typed objects, and another try where it asks for one.

    with Client("http://localhost:8000", key=KEY) as client:
        answer = client.predict("street.jpg", output=["mask", "areas"])
        mask = mask_of(answer.images[0])

A prediction changes nothing in the service, so a request whose answer got lost is sent again, too. Needs
httpx and pydantic; `mask_of` numpy and Pillow besides.
"""

from __future__ import annotations

import asyncio
import base64
import io
import random
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from seglab.serve.schema import (
    ErrorAnswer,
    ImageAnswer,
    InfoAnswer,
    Output,
    PredictAnswer,
    ReloadAnswer,
)

if TYPE_CHECKING:
    import numpy as np

Image = bytes | str | PathLike[str]
_AGAIN = frozenset({429, 502, 503})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_Answer = TypeVar("_Answer", bound=BaseModel)


class ServiceError(Exception):
    """The service refused, or could not be reached.

    Attributes:
        message: Why.
        status: HTTP status; 0: there was no answer.
        code: The reason in one word, as the service says it.
        request_id: Under which the service's log has it.
        retry_after: Seconds after which the service asks to try again.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str = "unreachable",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status or 'no answer'}: {message}")
        self.message, self.status, self.code = message, status, code
        self.request_id, self.retry_after = request_id, retry_after


class _Call(NamedTuple):
    """A request, ready to be sent any number of times."""

    method: str
    path: str
    more: dict[str, Any]

    @classmethod
    def predict(
        cls, images: Sequence[Image], output: Sequence[Output], tolerance: float, stream: str | None
    ) -> _Call:
        files = [("image", _named(image)) for image in images]
        query = {"output": list(output), "tolerance": tolerance}
        headers = {} if stream is None else {"X-Stream-ID": stream}
        return cls("POST", "/v1/predict", {"files": files, "params": query, "headers": headers})


class _Patience:
    """When to try again, and for how long."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    def pause(self, error: ServiceError) -> float:
        """Return the seconds to wait before the next try; raises the error where there is none."""
        if error.status and error.status not in _AGAIN:
            raise error
        # Spread, so that callers refused together do not come back together.
        seconds = self._pause * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        if error.retry_after is not None:
            seconds = error.retry_after + min(seconds, 1.0)
        if time.monotonic() + seconds > self._end:
            raise error
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return seconds


class Client:
    """Calls the service, one request after the other.

    Args:
        url: Of the service.
        key: API key, where it asks for one.
        timeout: Seconds for one try.
        patience: Seconds for all tries of a request: those that were refused with 429, 502 or 503, or
            found no connection, are sent again after the pause that the service asks for.
        transport: Of httpx, for tests and proxies.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 60.0,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.Client(
            base_url=url, headers=_headers(key), timeout=timeout, transport=transport
        )

    def predict(
        self,
        image: Image,
        output: Sequence[Output] = ("mask", "areas"),
        tolerance: float = 0.0,
        stream: str | None = None,
    ) -> PredictAnswer:
        """Predict one image.

        Args:
            image: A file's path, or its bytes.
            output: What to answer: mask, areas, rle, polygons.
            tolerance: How far outlines of polygons may move, pixels.
            stream: Camera or sequence that the image is of, for the service's log.

        Raises:
            ServiceError: It was refused, or there was no answer.
        """
        return self.predict_many([image], output, tolerance, stream)

    def predict_many(
        self,
        images: Sequence[Image],
        output: Sequence[Output] = ("mask", "areas"),
        tolerance: float = 0.0,
        stream: str | None = None,
    ) -> PredictAnswer:
        """Predict several images with one request; arguments and errors as for `predict`."""
        return self._call(_Call.predict(images, output, tolerance, stream), PredictAnswer)

    def info(self) -> InfoAnswer:
        """Return the model, its classes and the limits."""
        return self._call(_Call("GET", "/info", {}), InfoAnswer)

    def reload(self) -> ReloadAnswer:
        """Have every worker use the bundle that is there now; needs an administrator's key."""
        return self._call(_Call("POST", "/v1/reload", {}), ReloadAnswer)

    def _call(self, call: _Call, kind: type[_Answer]) -> _Answer:
        patience = _Patience(self._patience)
        while True:
            try:
                response = self._http.request(call.method, call.path, **call.more)
                return _read(response, kind)
            except httpx.TransportError as error:
                pause = patience.pause(ServiceError(f"{type(error).__name__}: {error}"))
            except ServiceError as error:
                pause = patience.pause(error)
            time.sleep(pause)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for `await`; any number of requests at once."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 60.0,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key), timeout=timeout, transport=transport
        )

    async def predict(
        self,
        image: Image,
        output: Sequence[Output] = ("mask", "areas"),
        tolerance: float = 0.0,
        stream: str | None = None,
    ) -> PredictAnswer:
        """Predict one image; arguments and errors as for `Client.predict`."""
        return await self.predict_many([image], output, tolerance, stream)

    async def predict_many(
        self,
        images: Sequence[Image],
        output: Sequence[Output] = ("mask", "areas"),
        tolerance: float = 0.0,
        stream: str | None = None,
    ) -> PredictAnswer:
        """Predict several images with one request; arguments and errors as for `Client.predict`."""
        call = await asyncio.to_thread(_Call.predict, images, output, tolerance, stream)
        return await self._call(call, PredictAnswer)

    async def info(self) -> InfoAnswer:
        """Return the model, its classes and the limits."""
        return await self._call(_Call("GET", "/info", {}), InfoAnswer)

    async def reload(self) -> ReloadAnswer:
        """Have every worker use the bundle that is there now; needs an administrator's key."""
        return await self._call(_Call("POST", "/v1/reload", {}), ReloadAnswer)

    async def _call(self, call: _Call, kind: type[_Answer]) -> _Answer:
        patience = _Patience(self._patience)
        while True:
            try:
                response = await self._http.request(call.method, call.path, **call.more)
                return _read(response, kind)
            except httpx.TransportError as error:
                pause = patience.pause(ServiceError(f"{type(error).__name__}: {error}"))
            except ServiceError as error:
                pause = patience.pause(error)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


def mask_of(image: ImageAnswer) -> np.ndarray:
    """Return the class indices of an answer, uint8 `(H, W)`.

    Raises:
        ValueError: No mask was asked for.
    """
    import numpy as np
    from PIL import Image as Pillow

    if image.mask is None:
        raise ValueError("the answer has no mask; ask for output=['mask']")
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(image.mask))))


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _named(image: Image) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return "image", image
    path = Path(image)
    return path.name, path.read_bytes()


def _read(response: httpx.Response, kind: type[_Answer]) -> _Answer:
    if response.is_success:
        return kind.model_validate_json(response.content)
    after = response.headers.get("retry-after", "")
    seconds = float(after) if after.isdecimal() else None
    try:
        found = ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:  # of something between, such as a proxy
        text = response.reason_phrase
        raise ServiceError(text, response.status_code, "http", retry_after=seconds) from None
    raise ServiceError(found.message, response.status_code, found.code, found.request_id, seconds)
