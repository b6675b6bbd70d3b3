"""Feed every annotation parser broken files: each must read them or refuse them with a reason.

A small valid set is written in the format, then a file of it is damaged: bytes flipped, cut, repeated;
numbers and words replaced by absurd ones; names by ones that lead outside; pieces moved about. What comes
back is drawn. Any error but our own, an image outside the root, or an input that takes longer than
--slowest seconds, is a fault: it is printed with the seed that makes it again, and the exit code is 1.

Example: python scripts/fuzz_annotations.py --inputs 100000
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.annotations.format import (
    AnnotationFormat,
    LabelledImage,
    annotation_format,
    format_names,
)
from seglab.annotations.reading import Limits, Tree
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.files.image_files import IMAGE_SUFFIXES

LABELS = LabelSpace(("road", "car", "sign"))
LIMITS = Limits(file_bytes=1 << 20, pixels=1 << 22, points=10_000, shapes=1000)
HEIGHT, WIDTH = 12, 16
NUMBERS = [
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"NaN",
    b"Infinity",
    b"99999999999999999999",
    b"1e-320",
]
NUMBERS += [b"2147483648", b"65536", b"0.5", b"null", b'"x"', b"[]", b"{}", b"true", b"1" * 5000]
WORDS = [b"../../../etc/passwd", b"/etc/passwd", b"..\\\\..\\\\x.png", b"\\u0000", b"", b"a" * 5000]
WORDS += [
    b"&lt;",
    b"<!DOCTYPE x>",
    b"mask",
    b"polygon",
    b"bitmap",
    b"rle",
    b"polygonlabels",
    b"box",
]


def write_valid(annotation: AnnotationFormat, root: Path) -> None:
    """Write a set with polygons, masks, holes and an empty image."""
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[1:10, 1:12], mask[3:8, 3:10], mask[5, 5:7], mask[11, 15] = 0, 1, 255, 2
    empty = np.full((HEIGHT, WIDTH), 255, np.uint8)
    names = dict(enumerate(LABELS.class_names))
    for name, pixels in {"a": mask, "b": empty}.items():
        image = annotation.image_path(name, ".png", "train")
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / image)
        shapes = to_shapes(pixels, names, annotation.drawing, 255)
        one = LabelledImage(image, HEIGHT, WIDTH, shapes, pixels, "train")
        annotation.write(root, one, LABELS)
    annotation.finish(root, LABELS)


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return content with one to four faults."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(WAYS)(content, rng)
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[stop:] if rng.random() < 0.5 else content[:stop]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:stop] + content[start:stop][:500] * rng.randint(1, 20) + content[stop:]


def _number(content: bytes, rng: random.Random) -> bytes:
    return _swap(content, rng, rb"-?\d+(\.\d+)?", NUMBERS)


def _word(content: bytes, rng: random.Random) -> bytes:
    return _swap(content, rng, rb"[A-Za-z_./]{2,}", WORDS)


def _swap(content: bytes, rng: random.Random, pattern: bytes, others: list[bytes]) -> bytes:
    found = list(re.finditer(pattern, content))
    if not found:
        return content
    one = rng.choice(found)
    return content[: one.start()] + rng.choice(others) + content[one.end() :]


def _move(content: bytes, rng: random.Random) -> bytes:
    """Swap two pieces between commas, or put one deep inside brackets."""
    parts = content.split(b",")
    a, b = rng.randrange(len(parts)), rng.randrange(len(parts))
    parts[a], parts[b] = parts[b], parts[a]
    if rng.random() < 0.02:
        parts[a] = b"[" * 100_000 + parts[a]
    return b",".join(parts)


WAYS: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _repeat, _number, _word, _move]


def outcome(annotation: AnnotationFormat, root: Path, images: list[str]) -> str:
    """Read and draw all there is; return what became of it."""
    tree = Tree(root, images, LIMITS)
    try:
        found = annotation.read(tree)
    except DataError:
        return "refused"
    refused = bool(found.faults)
    for one in found.images:
        if one.image not in images:
            raise AssertionError(f"an image outside: {one.image}")
        try:
            canvas = annotation.canvas(HEIGHT, WIDTH, 255)
            for shape in one.load(HEIGHT, WIDTH):
                canvas.draw(shape, 1)
        except DataError:
            refused = True
    return "refused in part" if refused else "read"


def fuzz(
    name: str, inputs: int, seed: int, slowest: float
) -> tuple[Counter[str], float, list[str]]:
    """Return how often each outcome came, the longest time of one input, and faults."""
    counts: Counter[str] = Counter()
    longest, faults = 0.0, []
    shared = Path("/dev/shm")  # noqa: S108 - files in memory, where there is such a place
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        root = Path(folder)
        write_valid(annotation_format(name), root)
        every = [path for path in sorted(root.rglob("*")) if path.is_file()]
        images = [p.relative_to(root).as_posix() for p in every if p.suffix in IMAGE_SUFFIXES]
        targets = [p for p in every if p.suffix not in IMAGE_SUFFIXES or "Class" in str(p)]
        valid = {path: path.read_bytes() for path in targets}
        for number in range(inputs):
            rng = random.Random(f"{name}-{seed}-{number}")  # noqa: S311 - draws faults
            path = rng.choice(targets)
            path.write_bytes(damage(valid[path], rng))
            start = time.perf_counter()
            try:
                counts[outcome(annotation_format(name), root, images)] += 1
            except Exception:  # noqa: BLE001 - that is what is looked for
                counts["FAULT"] += 1
                faults.append(
                    f"{name} seed {seed} input {number}:\n{traceback.format_exc(limit=-4)}"
                )
            took = time.perf_counter() - start
            longest = max(longest, took)
            if took > slowest:
                counts["TOO SLOW"] += 1
                faults.append(f"{name} seed {seed} input {number}: {took:.1f} s")
            path.write_bytes(valid[path])
    return counts, longest, faults


def main() -> int:
    """Print a line a format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    read = [name for name in format_names() if getattr(annotation_format(name), "reads", True)]
    parser.add_argument("--inputs", type=int, default=100_000, help="for each format")
    parser.add_argument("--formats", nargs="+", choices=read, default=read)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slowest", type=float, default=10.0, metavar="S")
    args = parser.parse_args()
    failed = False
    for name in args.formats:
        counts, longest, faults = fuzz(name, args.inputs, args.seed, args.slowest)
        told = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()))
        print(f"{name}: {args.inputs:,} inputs: {told}; longest {longest:.2f} s", flush=True)
        print("\n".join(faults[:5]), end="\n" if faults else "", flush=True)
        failed |= bool(faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
