"""Image files that are small and take minutes to read: told by how they are built, before reading them.

A thread that decodes cannot be stopped, so what would keep it is refused: files of very many parts, which
Pillow walks through in Python; JPEG of very many scans, each of which is a pass over the whole image; BMP
in runs, which Pillow unpacks in Python; several images in a TIFF.

References:
    PNG: https://www.w3.org/TR/png-3/#5Chunk-layout
    JPEG: https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.1.1)
    Scans: https://libjpeg-turbo.org/pmwiki/uploads/About/TwoIssueswiththeJPEGStandard.pdf
    TIFF 6.0, section 2: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

from __future__ import annotations

import struct

from seglab.serve.errors import Refused

MOST_PARTS = 20_000
MOST_SCANS = 100  # encoders write about ten
_SCAN = 0xDA
_OFFSETS = (273, 279, 324, 325)  # TIFF tags: where strips and tiles lie
_RAW_BMP = (0, 3, 6)  # none, and two of masks


def check_structure(content: bytes) -> None:
    """Look at the parts of a file.

    Raises:
        Refused: Reading it would take very long, or it holds several images.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(content)
    elif content.startswith(b"\xff\xd8"):
        _check_jpeg(content)
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        try:
            _check_tiff(content)
        except struct.error as error:
            raise Refused("image", "expected a TIFF; it is cut short") from error
    elif content.startswith(b"BM") and len(content) > 34:
        [compression] = struct.unpack_from("<I", content, 30)
        old = content[14:18] == b"\x0c\0\0\0"  # OS/2's header has no such field
        if compression not in _RAW_BMP and not old:
            raise Refused("image", "expected a BMP without compression")


def _check_png(content: bytes) -> None:
    place, parts = 8, 0
    while place + 8 <= len(content):
        place += 12 + int.from_bytes(content[place : place + 4])
        parts += 1
        if parts > MOST_PARTS:
            raise Refused("image", f"expected a PNG of at most {MOST_PARTS} chunks")


def _check_jpeg(content: bytes) -> None:
    scans = content.count(b"\xff\xda")
    if scans > MOST_SCANS:
        raise Refused("image", f"expected a JPEG of at most {MOST_SCANS} scans, got {scans}")
    place = 2
    for _ in range(MOST_PARTS // 10):
        if place + 4 > len(content) or content[place] != 0xFF or content[place + 1] == _SCAN:
            return
        if content[place + 1] == 0xFF:  # filling
            place += 1
        else:
            place += 2 + max(2, int.from_bytes(content[place + 2 : place + 4]))
    raise Refused("image", f"expected a JPEG of at most {MOST_PARTS // 10} segments")


def _check_tiff(content: bytes) -> None:
    order = "<" if content[:1] == b"I" else ">"
    if content[2:4] in (b"+\0", b"\0+"):
        start, head, entry, place = 16, "Q", "HHQ8x", "Q"
        [first] = struct.unpack_from(f"{order}Q", content, 8)
    else:
        start, head, entry, place = 8, "H", "HHI4x", "I"
        [first] = struct.unpack_from(f"{order}I", content, 4)
    if not start <= first < len(content):
        raise Refused("image", "expected a TIFF; its directory is not in it")
    [entries] = struct.unpack_from(f"{order}{head}", content, first)
    first += struct.calcsize(f"{order}{head}")
    size = struct.calcsize(f"{order}{entry}")
    if entries > MOST_PARTS:
        raise Refused("image", f"expected a TIFF of at most {MOST_PARTS} entries")
    for number in range(entries):
        tag, _, count = struct.unpack_from(f"{order}{entry}", content, first + number * size)
        if tag in _OFFSETS and count > 10 * MOST_PARTS:
            raise Refused("image", f"expected a TIFF of at most {10 * MOST_PARTS} strips or tiles")
    [following] = struct.unpack_from(f"{order}{place}", content, first + entries * size)
    if following:
        raise Refused("image", "expected one image, got a TIFF of several")
