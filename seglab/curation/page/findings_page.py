"""The page of an audit: every finding with its picture, leafed through by keyboard."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from seglab.core.disk.files import write_text
from seglab.core.labels import LabelSpace
from seglab.curation.audit import Audit
from seglab.curation.mask_fit import SHIFTED_MASK, borders_of, fit_mask
from seglab.curation.samples import read_sample
from seglab.data.manifest import Manifest

MOST_PICTURES = 400
_WIDTH = 360
_AS_DRAWN, _WHERE_IT_FITS = (255, 0, 220), (0, 255, 90)
_OPACITY = 0.55
_TEMPLATES = Path(__file__).parent / "template"


def write_findings_page(found: Audit, path: Path, most_pictures: int = MOST_PICTURES) -> int:
    """Write the page in one step and return its size in bytes.

    All text out of the manifest is escaped, and a content security policy allows the page's own script
    only and no address outside it.

    Args:
        found: The audit.
        path: File to write.
        most_pictures: Findings beyond so many have no picture; the page says so.
    """
    rows, labels = found.table.to_dict(orient="records"), found.manifest.labels
    by_id = found.manifest.table.set_index("sample_id", drop=False).to_dict(orient="index")
    shown = [
        {
            **{str(key): value for key, value in row.items()},
            "summary": found.kinds[row["kind"]].summary,
            "pictures": _pictures(found.manifest, row, by_id) if place < most_pictures else [],
        }
        for place, row in enumerate(rows)
    ]
    script = (_TEMPLATES / "findings.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("findings.html.j2").render(
        name=found.manifest.name,
        fingerprint=found.manifest.fingerprint,
        num_samples=found.num_samples,
        counts=found.counts(),
        findings=shown,
        classes=[
            (name, f"#{bytes(colour).hex()}")
            for name, colour in zip(labels.class_names, labels.palette, strict=True)
        ],
        without_pictures=max(0, len(rows) - most_pictures),
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=digest,
    )
    write_text(path, html)
    return len(html.encode("utf-8"))


def _pictures(
    manifest: Manifest, row: Mapping[Any, Any], by_id: Mapping[Any, Any]
) -> list[tuple[str, str]]:
    """Return captions and data addresses: the sample, its mask over it, what is odd of it, the other one."""
    sample = read_sample(manifest, by_id[row["sample_id"]])
    found = []
    if sample.image is not None:
        found.append((row["sample_id"], _encode(sample.image, row["region"])))
        if sample.mask is not None and sample.mask.shape == sample.image.shape[:2]:
            weight = np.where(sample.mask == manifest.labels.ignore_index, 0, _OPACITY)[..., None]
            colours = manifest.labels.colourise(sample.mask)
            over = ((1 - weight) * sample.image + weight * colours).astype(np.uint8)
            found.append(("mask over image", _encode(over, row["region"])))
            if row["kind"] == SHIFTED_MASK:
                found.append(
                    (
                        "outlines of the mask: magenta as drawn, green where it would fit",
                        _encode(_outlines(sample.image, sample.mask, manifest.labels), None),
                    )
                )
    if row["other"] in by_id:
        other = read_sample(manifest, {**by_id[row["other"]], "mask": None}).image
        if other is not None:
            found.append((row["other"], _encode(other, None)))
    return found


def _outlines(image: np.ndarray, mask: np.ndarray, labels: LabelSpace) -> np.ndarray:
    """Return the image with the borders of its mask as they are, and over them where they would fit."""
    borders = borders_of(mask, labels.num_classes).astype(np.uint8)
    # As thick as it takes to be seen once the picture is made smaller.
    thick = np.ones((max(1, -(-image.shape[1] // _WIDTH)),) * 2, np.uint8)
    shown = image.copy()
    for (down, right), colour in (
        ((0, 0), _AS_DRAWN),
        (fit_mask(image, mask, labels.num_classes).move or (0, 0), _WHERE_IT_FITS),
    ):
        moved = cv2.warpAffine(
            borders, np.array([[1, 0, right], [0, 1, down]], np.float32), borders.shape[::-1]
        )
        shown[cv2.dilate(moved, thick) > 0] = colour
    return shown


def _encode(image: np.ndarray, region: list[int] | None) -> str:
    scale = _WIDTH / image.shape[1]
    size = (_WIDTH, max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if region is not None:
        left, top, right, bottom = (round(value * scale) for value in region)
        cv2.rectangle(small, (left - 3, top - 3), (right + 2, bottom + 2), _AS_DRAWN, 2)
    done, content = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done  # noqa: S101 - uint8 RGB is always encoded
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii")
