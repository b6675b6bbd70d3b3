"""POST /v1/predict: images in, masks out, within a deadline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from seglab.serve.api.callers import service_of, within_rate
from seglab.serve.api.documented import ANSWERS, IMAGES_IN, STREAM_IN
from seglab.serve.api.reading import read_uploads
from seglab.serve.errors import Refused
from seglab.serve.limits import Hold
from seglab.serve.pipeline.images import shown
from seglab.serve.pipeline.service import Clock, Service, Upload, Wanted, describe
from seglab.serve.schema import Output, PredictAnswer

PNG = "image/png"
_JSON = "application/json"
_STREAM = re.compile(str(STREAM_IN["schema"]["pattern"]))
_DEFAULT: tuple[Output, ...] = ("mask", "areas")
_Result = TypeVar("_Result")

router = APIRouter()


class PredictQuery(BaseModel):
    """How the answer is wanted."""

    model_config = ConfigDict(extra="forbid")

    output: list[Output] | None = Field(
        None, description="What to answer, one or many; `mask` and `areas` where nothing is said."
    )
    tolerance: float = Field(
        0.0, ge=0, le=100, description="How far outlines of `polygons` may move, in pixels."
    )


@router.post(
    "/v1/predict",
    summary="Predict images",
    response_model=PredictAnswer,
    responses=ANSWERS,
    openapi_extra={"requestBody": IMAGES_IN, "parameters": [STREAM_IN]},
    dependencies=[Depends(within_rate)],
)
async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
    """Return what the model sees on one image (the body) or many (files of a form).

    With `Accept: image/png` the answer to one image is its mask alone, as a PNG with a palette.
    """
    service, clock = service_of(request), Clock()
    request.state.stream = _stream(request)
    png = _wants_png(request)
    if png and query.output not in (None, ["mask"]):
        raise Refused("not_acceptable", f"{PNG} answers output=mask alone; ask for {_JSON}")
    wanted = Wanted(query.output or _DEFAULT, query.tolerance)
    hold, uploads = Hold(service.budget), None
    try:
        async with asyncio.timeout(service.options.deadline):
            uploads = await _read(request, service, hold, clock)
            if png and len(uploads) > 1:
                raise Refused("not_acceptable", f"{PNG} answers one image, got {len(uploads)}")
            work = _png if png else _json
            return await _while_there(request, work(request, uploads, wanted, hold, clock))
    except TimeoutError:
        seconds = service.options.deadline
        code = "slow" if uploads is None else "deadline"
        raise Refused(code, f"no answer within the deadline of {seconds:g} s") from None
    finally:
        hold.close()
        _note(request, service, clock)


def _wants_png(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    types = {part.split(";")[0].strip().lower() for part in accepted.split(",")}
    return PNG in types and _JSON not in types


def _stream(request: Request) -> str | None:
    stream: str | None = request.headers.get("x-stream-id")
    if stream is not None and not _STREAM.fullmatch(stream):
        raise Refused(
            "invalid",
            "X-Stream-ID: expected a camera or sequence, up to 64 letters, digits and . _ : / @ + -, got "
            f"'{shown(stream)}'",
        )
    return stream


async def _read(request: Request, service: Service, hold: Hold, clock: Clock) -> list[Upload]:
    service.batcher.check_room()  # refused before the body comes
    with clock.stage("read"):
        uploads = await read_uploads(request, service.options, hold)
    request.state.seen.update(images=len(uploads), bytes=sum(len(one.content) for one in uploads))
    for one in uploads:
        one.is_logged = request.state.is_logged
    request.state.uploads = uploads
    return uploads


async def _json(
    request: Request, uploads: list[Upload], wanted: Wanted, hold: Hold, clock: Clock
) -> Response:
    service = service_of(request)
    model = describe(service.bundle)
    images = await service.predict(uploads, wanted, hold, clock)
    answer = PredictAnswer(
        request_id=request.state.request_id, model=model, images=images, milliseconds=clock.timing()
    )
    return Response(answer.model_dump_json(exclude_none=True), media_type=_JSON)


async def _png(
    request: Request, uploads: list[Upload], wanted: Wanted, hold: Hold, clock: Clock
) -> Response:
    service = service_of(request)
    headers = {"X-Model": service.bundle.id}
    content = await service.predict_png(uploads[0], hold, clock)
    return Response(content, media_type=PNG, headers=headers)


async def _while_there(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do work for as long as its caller is connected."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


def _note(request: Request, service: Service, clock: Clock) -> None:
    request.state.seen.update(
        bundle=service.bundle.id,
        stages={name: round(1000 * seconds, 2) for name, seconds in clock.seconds.items()},
    )
    for name in ("read", "decode", "encode"):
        if name in clock.seconds:
            service.metrics.stage_seconds.labels(name).observe(clock.seconds[name])
