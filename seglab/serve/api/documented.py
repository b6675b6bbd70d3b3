"""What OpenAPI says of requests and answers that FastAPI cannot tell from the code."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from seglab.serve.schema import ErrorAnswer

_BINARY = {"type": "string", "format": "binary"}
IMAGES_IN: dict[str, Any] = {
    "required": True,
    "description": "One image as the body, or many as files of a form.",
    "content": {
        **{kind: {"schema": _BINARY} for kind in ("image/png", "image/jpeg", "image/webp")},
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {"image": {"type": "array", "items": _BINARY, "minItems": 1}},
            },
            "encoding": {"image": {"contentType": "image/png, image/jpeg, image/webp"}},
        },
    },
}
STREAM_IN: dict[str, Any] = {
    "name": "X-Stream-ID",
    "in": "header",
    "required": False,
    "description": "Camera or sequence that the images are of, for the log of requests.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:/@+-]{1,64}$"},
    "example": "cam-3",
}
_ANSWER = {
    "request_id": "4f2d9d0ad0c64dc8a3b1a6cf9fd7f3a5",
    "model": {"name": "unet-camvid", "id": "3f0c2b9a51d2e870", "variant": "fp32"},
    "images": [
        {
            "name": "street.jpg",
            "height": 360,
            "width": 480,
            "mask": "iVBORw0KGgoAAAANSUhEUgAA",
            "areas": [
                {
                    "index": 0,
                    "name": "road",
                    "colour": [128, 64, 128],
                    "pixels": 51840,
                    "share": 0.3,
                }
            ],
        }
    ],
    "milliseconds": {"read": 1.2, "decode": 4.0, "predict": 52.5, "encode": 2.1, "total": 60.1},
}
_REASONS = {
    400: ("The form or the body cannot be read.", "invalid"),
    401: ("No API key, or one that is not known.", "key"),
    406: ("A PNG was asked for, of more than one mask.", "not_acceptable"),
    408: ("The body did not come within the deadline.", "slow"),
    413: ("Too many bytes, pixels, or too long a side.", "too_large"),
    415: ("The body is of a type that is no image.", "content_type"),
    422: ("Not an image, one the model does not take, or a wrong query.", "image"),
    429: ("Too many requests of this caller.", "rate"),
    500: ("A fault of the service.", "internal"),
    503: ("Too much under way; nothing was done.", "queue"),
    504: ("No answer within the deadline.", "deadline"),
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how answers of these statuses are documented, each with an example."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        text, code = _REASONS[status]
        example = {"error": {"code": code, "message": text, "request_id": _ANSWER["request_id"]}}
        content = {"application/json": {"example": example}}
        found[status] = {"model": ErrorAnswer, "description": text, "content": content}
        if status in (429, 503):
            found[status]["headers"] = _RETRY
    return found


def without_security(spec: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """Return an OpenAPI document that asks for no key on some paths."""
    changed = {
        path: {
            method: {name: part for name, part in operation.items() if name != "security"}
            for method, operation in methods.items()
        }
        for path, methods in spec["paths"].items()
        if path in paths
    }
    return {**spec, "paths": {**spec["paths"], **changed}}


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was found, an entry an image.",
        "content": {"application/json": {"example": _ANSWER}, "image/png": {"schema": _BINARY}},
    },
    **refusals(*_REASONS),
}
