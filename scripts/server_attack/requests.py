"""Requests, as bytes on a connection: HTTP that is right around hostile files, and HTTP that is not."""

from __future__ import annotations

import random
import urllib.parse
from collections.abc import Callable

from server_attack.files import damaged, encoded, fixed

_HOST = b"Host: service\r\nConnection: close\r\n"
_TYPES = (
    "image/png",
    "image/jpeg",
    "application/octet-stream",
    "application/json",
    "text/html",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "x" * 5000,
    "image/png; charset=\xff",
    "a" * 3000,
    "",
)
_NAMES = (
    "../../../../etc/passwd",
    "..\\..\\windows\\system32\\config",
    "/etc/passwd\0.png",
    "a" * 5000,
    "\u202egnp.exe",
    '"; filename="b.png',
    "%2e%2e%2f",
    "<img src=x onerror=alert(1)>.png",
    "CON",
    "",
)
_TARGETS = (
    "/",
    "/info",
    "/metrics",
    "/v1/predict",
    "/v1/reload",
    "/healthz",
    "/readyz",
    "/page.js",
)


def post(
    body: bytes, target: str = "/v1/predict", kind: str = "image/png", more: bytes = b""
) -> bytes:
    """Return a POST with a right length."""
    head = f"POST {target} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode("latin-1", "replace") + _HOST + more + b"\r\n" + body


def form(files: list[tuple[str, bytes]], boundary: str = "edge") -> bytes:
    """Return a POST of a form of files."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode(
            "utf-8", "replace"
        )
        + content
        + b"\r\n"
        for name, content in files
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return post(body, kind=f"multipart/form-data; boundary={boundary}")


def _damaged(rng: random.Random) -> bytes:
    return post(damaged(rng), kind=rng.choice(_TYPES[:3]))


def _hostile_file(rng: random.Random, files: dict[str, bytes]) -> bytes:
    # The large ones now and then: they are what takes time.
    small = [one for one in files.values() if len(one) < 100_000]
    content = rng.choice(small if rng.random() < 0.9 else list(files.values()))
    return post(content, kind=rng.choice(_TYPES[:3]))


def _wrong_type(rng: random.Random) -> bytes:
    more = rng.choice((b"", b"Content-Encoding: gzip\r\n", b"Accept: image/png\r\n"))
    return post(rng.choice((encoded("PNG"), rng.randbytes(50))), kind=rng.choice(_TYPES), more=more)


def _form(rng: random.Random) -> bytes:
    choice = rng.randrange(6)
    if choice == 0:
        return form([("a.png", encoded("PNG"))] * rng.randint(17, 200))
    if choice == 1:
        cut = form([(rng.choice(_NAMES), encoded("PNG"))])
        _, _, body = cut.partition(b"\r\n\r\n")
        body = body[: rng.randrange(len(body))]
        return post(body, kind="multipart/form-data; boundary=edge")
    if choice == 2:
        lines = "".join(
            f"X-{n}: {'y' * rng.randint(0, 300)}\r\n" for n in range(rng.randint(1, 200))
        )
        text = f'--edge\r\n{lines}Content-Disposition: form-data; name="a"\r\n\r\nx\r\n--edge--'
        return post(text.encode(), kind="multipart/form-data; boundary=edge")
    if choice == 3:
        return post(rng.randbytes(300), kind="multipart/form-data; boundary=edge")
    if choice == 4:
        return post(b"--edge\r\n" * rng.randint(1, 3000), kind="multipart/form-data; boundary=edge")
    return form([(rng.choice(_NAMES), damaged(rng)) for _ in range(rng.randint(1, 4))])


def _query(rng: random.Random) -> bytes:
    values = (
        "mask",
        "rle",
        "polygons",
        "areas",
        "x",
        "",
        "\0",
        "9" * 400,
        "nan",
        "inf",
        "-1",
        "1e999",
        "../",
    )
    names = ("output", "tolerance", "Output", "__proto__", "bundle", "a" * 500)
    pairs = [(rng.choice(names), rng.choice(values)) for _ in range(rng.randint(1, 8))]
    return post(encoded("PNG"), f"/v1/predict?{urllib.parse.urlencode(pairs)}")


def _path(rng: random.Random) -> bytes:
    method = rng.choice(
        ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW", "POST")
    )
    path = rng.choice(
        (*_TARGETS, "/../etc/passwd", "/%2e%2e/%00", "//", "/page.html/../app.py", "/" + "a" * 4000)
    )
    key = urllib.parse.quote(rng.randbytes(12))
    head = f"{method} {path} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nX-Request-ID: {key}\r\n"
    return head.encode() + b"Content-Length: 0\r\n" + _HOST + b"\r\n"


FAMILIES: dict[str, Callable[[random.Random], bytes]] = {
    "damaged images": _damaged,
    "wrong types": _wrong_type,
    "forms": _form,
    "queries": _query,
    "paths and methods": _path,
}


def with_files() -> dict[str, Callable[[random.Random], bytes]]:
    """Return every family of right HTTP, the hostile files made once."""
    files = fixed()
    return {**FAMILIES, "hostile files": lambda rng: _hostile_file(rng, files)}


def broken_http(rng: random.Random) -> bytes:
    """Return bytes that are no HTTP, or HTTP that says two things."""
    png = encoded("PNG")
    start = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
    return rng.choice(
        (
            rng.randbytes(rng.randint(1, 400)),
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            start + b"Content-Length: -5\r\n\r\n" + png,
            start + b"Content-Length: 99999999999999999999\r\n\r\n" + png,
            start + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + png,
            start
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            start + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + png,
            start + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
            start + b"Transfer-Encoding: gzip\r\n\r\n" + png,
            start + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
            start + b"".join(b"H%d: v\r\n" % n for n in range(5000)) + b"\r\n",
            start + b"Bad Header\r\n\r\n",
            start + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
            b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            start + b"Content-Length: 1000\r\n\r\n" + png[:100],
            start + b"Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n",
        )
    )
