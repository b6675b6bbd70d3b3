"""Whatever is sent: a status of 4xx with a reason, and nothing held afterwards."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.serve.schema import ErrorAnswer
from tests.serve.conftest import Served, pixels, png

Run = Callable[..., None]
GOOD = png(pixels(8, 8))
# A worker says nothing of them.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_bomb(side: int) -> bytes:
    """Return a PNG of a few kB that unpacks to side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 3 * side)
    data = b"".join(packer.compress(row) for _ in range(min(side, 500))) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def array(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, image, allow_pickle=True)
    return stream.getvalue()


def array_bomb() -> bytes:
    """Return an array file that claims 16 GB."""
    content = array(np.zeros((4, 4, 3), np.uint8))
    return content.replace(b"(4, 4, 3), }" + b" " * 12, b"(4000, 4000, 1000), }   ")


def jpeg_of(segments: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(8, 8)).save(stream, "JPEG")
    content = stream.getvalue()
    return content[:2] + b"\xff\xfe\x00\x02" * segments + content[2:]


def png_of(chunks: int) -> bytes:
    return GOOD[:33] + chunk(b"teSt", b"") * chunks + GOOD[33:]


def jpeg_of_scans(count: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(8, 8)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * count + content[-2:]


def bmp_of_runs() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(8, 8)).convert("P").save(stream, "BMP")
    content = bytearray(stream.getvalue())
    content[30] = 1
    return bytes(content)


def tiff_of(frames: int) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels(8, 8))
    image.save(stream, "TIFF", save_all=True, append_images=[image] * (frames - 1))
    return stream.getvalue()


CASES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "text": (422, "image", {"content": b"hello"}),
    "nothing": (400, "invalid", {"content": b""}),
    "truncated": (422, "image", {"content": GOOD[: len(GOOD) // 2]}),
    "header only": (422, "image", {"content": GOOD[:33]}),
    "json": (415, "content_type", {"json": {"image": "x"}}),
    "PNG bomb": (413, "too_large", {"content": png_bomb(60_000)}),
    "PNG bomb of an allowed side": (413, "too_large", {"content": png_bomb(10_000)}),
    "too long": (413, "too_large", {"content": b"\0" * 300_001}),
    "zip": (422, "image", {"content": b"PK\x03\x04" + GOOD}),
    "script": (422, "image", {"content": b"<script>" + GOOD}),
    "a pickle": (422, "image", {"content": array(np.array([{}], object))}),
    "array bomb": (422, "image", {"content": array_bomb()}),
    "array of texts": (422, "image", {"content": array(np.array([["a"]]))}),
    "JPEG of many segments": (422, "image", {"content": jpeg_of(5000)}),
    "PNG of many chunks": (422, "image", {"content": png_of(20_000)}),
    "JPEG of many scans": (422, "image", {"content": jpeg_of_scans(200)}),
    "BMP in runs": (422, "image", {"content": bmp_of_runs()}),
    "TIFF cut short": (422, "image", {"content": tiff_of(1)[:9]}),
    "TIFF of many frames": (422, "image", {"content": tiff_of(3)}),
    "form of a field": (400, "invalid", {"data": {"image": "x"}, "files": {"a": ("", b"")}}),
    "form without files": (
        400,
        "invalid",
        {"content": b"--x--\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ),
    "form without boundary": (
        400,
        "invalid",
        {"content": GOOD, "headers": {"content-type": "multipart/form-data"}},
    ),
    "broken form": (
        400,
        "invalid",
        {"content": GOOD, "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ),
    "too many files": (400, "invalid", {"files": [("i", ("a", GOOD))] * 17}),
    "one bad file": (422, "image", {"files": [("i", ("good.png", GOOD)), ("i", ("b.png", b"x"))]}),
    "wrong query": (422, "query", {"content": GOOD, "params": {"output": "masks", "size": 3}}),
    "PNG of many": (
        406,
        "not_acceptable",
        {"files": [("i", ("a", GOOD))] * 2, "headers": {"accept": "image/png"}},
    ),
    "PNG of areas": (
        406,
        "not_acceptable",
        {"content": GOOD, "params": {"output": "areas"}, "headers": {"accept": "image/png"}},
    ),
}


def test_every_bad_request_is_refused_with_a_reason(run: Run) -> None:
    async def test(served: Served) -> None:
        for name, (status, code, request) in CASES.items():
            response = await served.client.post("/v1/predict", **request)
            error = ErrorAnswer.model_validate_json(response.content).error
            assert (name, response.status_code, error.code) == (name, status, code)
            assert error.request_id == response.headers["x-request-id"]
            # A good file beside a bad one may still be decoded when the answer is out.
            async with asyncio.timeout(10):
                while served.service.budget.held:
                    await asyncio.sleep(0.01)
            assert served.service.batcher.waiting == 0, name
        assert (await served.predict(GOOD)).status_code == 200
        assert served.value("seglab_requests_total", route="/v1/predict", status="500") == 0

    run(test, max_bytes=300_000, max_pixels=16_000_000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_every_format_that_is_promised_is_read(run: Run, kind: str) -> None:
    stream = io.BytesIO()
    more = {"compression": "tiff_lzw"} if kind == "TIFF" else {"quality": 95}
    Image.fromarray(pixels(40, 60)).save(stream, kind, **more)

    async def test(served: Served) -> None:
        assert (await served.predict(stream.getvalue())).status_code == 200

    run(test)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("one bad file", ["image 2 of 2 (b.png)", "PNG, JPEG"]),
        ("wrong query", ["output.0", "'masks'", "size"]),
        ("PNG bomb of an allowed side", ["at most 16000000 pixels", "10000 x 10000"]),
        ("too long", ["300000 bytes"]),
    ],
)
def test_reasons_say_what_was_expected_and_what_came(run: Run, case: str, words: list[str]) -> None:
    async def test(served: Served) -> None:
        response = await served.client.post("/v1/predict", **CASES[case][2])
        message = response.json()["error"]["message"]
        assert all(word in message for word in words), message

    run(test, max_bytes=300_000)


def test_a_mask_of_too_many_outlines_is_no_polygons(run: Run) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)

    async def test(served: Served) -> None:
        response = await served.predict(png(noise), "?output=polygons")
        assert response.status_code == 422
        assert "output=rle" in response.json()["error"]["message"]
        assert (await served.predict(png(noise), "?output=rle")).status_code == 200

    run(test)


def test_unknown_paths_and_methods(run: Run) -> None:
    async def test(served: Served) -> None:
        for path in ("/nothing", "/page/../options.py", "/v1/predict/", "/%2e%2e/etc/passwd"):
            response = await served.client.get(path, follow_redirects=False)
            assert response.status_code == 404, path
            ErrorAnswer.model_validate_json(response.content)
        response = await served.client.delete("/v1/predict")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert served.value("seglab_requests_total", route="other", status="404") == 4

    run(test)
