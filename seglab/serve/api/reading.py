"""What a request brings: images as its whole body, or as the files of a form."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from seglab.serve.errors import Refused
from seglab.serve.limits import Hold
from seglab.serve.options import ServeOptions
from seglab.serve.pipeline.images import safe_name, shown
from seglab.serve.pipeline.service import Upload

FORM = "multipart/form-data"
RAW = "application/octet-stream"
_EXPECTED = f"expected an image (image/* or {RAW}) or a form of files ({FORM})"


class _InMemory(MultiPartParser):
    """Writes nothing to the disk; the size of the whole body has a bound already."""

    spool_max_size = 2**62


async def read_uploads(request: Request, options: ServeOptions, hold: Hold) -> list[Upload]:
    """Return the images of a request.

    Raises:
        Refused: It is too large, of another type, or holds no image.
    """
    kind = parse_options_header(request.headers.get("content-type"))[0].decode("latin-1").lower()
    if kind == FORM:
        return await _form(request, options, hold)
    if kind and kind != RAW and not kind.startswith("image/"):
        raise Refused("content_type", f"{_EXPECTED}, got {shown(kind)}")
    content = b"".join([chunk async for chunk in _bounded(request, options, hold)])
    if not content:
        raise Refused("invalid", f"{_EXPECTED}, got an empty body")
    return [Upload(None, content)]


async def _bounded(
    request: Request, options: ServeOptions, hold: Hold
) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes; what it says of its length is not believed."""
    text = request.headers.get("content-length", "")
    if text.isdecimal() and int(text[:20]) > options.max_bytes:
        raise _too_large(options)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > options.max_bytes:
            raise _too_large(options)
        hold.take(len(chunk))
        yield chunk


def _too_large(options: ServeOptions) -> Refused:
    return Refused("too_large", f"expected a body of at most {options.max_bytes} bytes")


async def _form(request: Request, options: ServeOptions, hold: Hold) -> list[Upload]:
    parser = _InMemory(
        request.headers,
        _bounded(request, options, hold),
        max_files=options.max_images,
        max_fields=0,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused("invalid", f"expected a form of files alone: {error.message}") from error
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise Refused("invalid", "expected a form with an image file or more, got none")
    uploads = [Upload(safe_name(file.filename), await file.read()) for file in files]
    await form.close()
    return uploads
