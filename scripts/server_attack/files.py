"""Files that are no images, or not the images they say they are."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """Return an image in blocks, uint8 `(H, W, 3)`."""
    rng = np.random.default_rng(height * width)
    blocks = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)[:height, :width]


def encoded(kind: str, height: int = 48, width: int = 64) -> bytes:
    """Return the scene as a file."""
    stream = io.BytesIO()
    Image.fromarray(scene(height, width)).save(stream, kind)
    return stream.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk with a right checksum."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_bomb(height: int, width: int) -> bytes:
    """Return a PNG that unpacks to height x width pixels of nothing, as far as 12 MB."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 3 * width)
    rows = min(height, 12_000_000 // len(row))
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    end = png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + end


def zip_bomb(megabytes: int = 16) -> bytes:
    """Return a zip of a few kB that unpacks to as much."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", b"\0" * (megabytes << 20))
    return stream.getvalue()


def text_bomb() -> bytes:
    """Return a PNG whose comment unpacks to 10 MB."""
    content = encoded("PNG")
    comment = b"Comment\0\0" + zlib.compress(b"a" * 10_000_000, 9)
    return content[:33] + png_chunk(b"zTXt", comment) + content[33:]


class Evil:
    """Raises the alarm where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        """Return what unpickling would call."""
        return __import__("os").system, ("touch /tmp/seglab-was-unpickled",)


def pickled_array() -> bytes:
    """Return an array file that holds a pickle."""
    stream = io.BytesIO()
    np.save(stream, np.array([Evil()], object), allow_pickle=True)
    return stream.getvalue()


def fixed() -> dict[str, bytes]:
    """Return hostile files by name, each the same in every run."""
    png, jpeg, tiff = encoded("PNG"), encoded("JPEG"), encoded("TIFF")
    array = io.BytesIO()
    np.save(array, scene())
    claims = array.getvalue().replace(b"(48, 64, 3), }" + b" " * 9, b"(99999, 9999, 9999), } ")
    scans = io.BytesIO()
    Image.fromarray(scene()).save(scans, "JPEG", progressive=True)
    last = scans.getvalue().rindex(b"\xff\xda")
    return {
        "PNG bomb, sides": png_bomb(60_000, 60_000),
        "PNG bomb, pixels": png_bomb(12_000, 12_000),
        "PNG bomb, allowed": png_bomb(1900, 2000),
        "PNG of a billion rows": png_bomb(2**31 - 1, 1),
        "PNG text bomb": text_bomb(),
        "PNG of many chunks": png[:33] + png_chunk(b"teSt", b"") * 50_000 + png[33:],
        "JPEG of many segments": jpeg[:2] + b"\xff\xfe\x00\x02" * 50_000 + jpeg[2:],
        "JPEG of filling": jpeg[:2] + b"\xff" * 500_000 + jpeg[2:],
        "JPEG of many scans": scans.getvalue()[:-2] + scans.getvalue()[last:-2] * 3000,
        "JPEG of 65500 x 65500": jpeg.replace(b"\x00\x30\x00\x40", b"\xff\xdc\xff\xdc"),
        "TIFF of itself": tiff[:4] + struct.pack("<I", 8) + b"\xff" * 200,
        "TIFF without directory": tiff[:4] + struct.pack("<I", 2**31) + tiff[8:],
        "BMP of runs": encoded("BMP")[:30] + b"\x01" + encoded("BMP")[31:],
        "BMP of 2 billion rows": encoded("BMP")[:22] + b"\xff\xff\xff\x7f" + encoded("BMP")[26:],
        "zip bomb": zip_bomb(),
        "gzip bomb": gzip.compress(b"\0" * (8 << 20)),
        "pickle": pickle.dumps(Evil()),
        "array with a pickle": pickled_array(),
        "array that claims too much": claims,
        "polyglot PNG and zip": png + zip_bomb(1),
        "polyglot script and PNG": b"<script>alert(1)</script>" + png,
        "polyglot GIF and script": b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)",
        "SVG with an entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "zeros": b"\0" * 100_000,
        "nothing": b"",
        "one byte": b"\x89",
    }


def damaged(rng: random.Random) -> bytes:
    """Return a file of a random format, cut, overwritten or swollen at random."""
    content = bytearray(encoded(rng.choice(_FORMATS), rng.randint(1, 90), rng.randint(1, 90)))
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(content) + 1)
        what = rng.random()
        if what < 0.3:
            del content[place:]
        elif what < 0.7:
            content[place : place + 4] = rng.randbytes(rng.randint(1, 4))
        elif what < 0.85:
            content[place:place] = rng.randbytes(rng.randint(1, 200))
        else:
            content[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
    return bytes(content)
