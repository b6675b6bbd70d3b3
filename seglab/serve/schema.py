"""What the service answers: shapes that server, OpenAPI and client share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Output = Literal["mask", "areas", "rle", "polygons"]
State = Literal["ok", "draining", "stuck"]
Ring = list[tuple[float, float]]
Colour = tuple[int, int, int]


class _Answer(BaseModel):
    # A client of today reads the answers of a later server, which may say more.
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class ClassArea(_Answer):
    """How much of an image is of a class; every class of the model is listed."""

    index: int = Field(description="Value in the mask.", examples=[1])
    name: str = Field(examples=["road"])
    colour: Colour = Field(description="Red, green, blue.", examples=[(128, 64, 128)])
    pixels: int = Field(ge=0, examples=[51840])
    share: float = Field(ge=0, le=1, description="Of the image's pixels.", examples=[0.3])


class RunLengths(_Answer):
    """A class's pixels in COCO's compressed run-length encoding."""

    index: int = Field(examples=[1])
    name: str = Field(examples=["road"])
    size: tuple[int, int] = Field(description="Height, width.", examples=[(360, 480)])
    counts: str = Field(description="As pycocotools writes and reads it.", examples=["PPYo11^:"])


class Polygon(_Answer):
    """A connected region of a class; coordinates are x, y of pixel corners, as COCO draws them."""

    index: int = Field(examples=[1])
    name: str = Field(examples=["road"])
    outline: Ring = Field(examples=[[(0, 200), (480, 200), (480, 360), (0, 360)]])
    holes: list[Ring] = Field(examples=[[]])


class ImageAnswer(_Answer):
    """What was found on an image; only what `output` asked for is there."""

    name: str | None = Field(None, description="File name, as sent.", examples=["street.jpg"])
    height: int = Field(description="Of the upright image.", examples=[360])
    width: int = Field(examples=[480])
    mask: str | None = Field(
        None, description="Class indices as a palette PNG, in base64.", examples=["iVBORw0KGgo="]
    )
    areas: list[ClassArea] | None = None
    rle: list[RunLengths] | None = Field(None, description="One a class that occurs.")
    polygons: list[Polygon] | None = Field(None, description="One a region.")


class Model(_Answer):
    """The bundle that predicted."""

    name: str = Field(examples=["unet-camvid"])
    id: str = Field(description="Names the bundle's content.", examples=["3f0c2b9a51d2e870"])
    variant: str = Field(examples=["fp32"])


class Timing(_Answer):
    """Milliseconds by stage; of several images the sum for decoding, and the longest for the others."""

    read: float = Field(examples=[1.2])
    decode: float = Field(examples=[4.0])
    predict: float = Field(description="Waiting for the network counted.", examples=[52.5])
    encode: float = Field(examples=[2.1])
    total: float = Field(examples=[60.1])


class PredictAnswer(_Answer):
    """The answer to one request."""

    request_id: str = Field(examples=["4f2d9d0ad0c64dc8a3b1a6cf9fd7f3a5"])
    model: Model
    images: list[ImageAnswer]
    milliseconds: Timing


class ErrorDetail(_Answer):
    """Why there is no prediction."""

    code: str = Field(description="The reason in one word.", examples=["image"])
    message: str = Field(examples=["expected an image: PNG, JPEG, WebP, BMP or TIFF"])
    request_id: str = Field(examples=["4f2d9d0ad0c64dc8a3b1a6cf9fd7f3a5"])


class ErrorAnswer(_Answer):
    """Every answer of 4xx and 5xx."""

    error: ErrorDetail


class Limits(_Answer):
    """What a request may be at most."""

    max_bytes: int
    max_pixels: int
    max_side: int
    max_images: int
    deadline: float = Field(description="Seconds.")


class InfoAnswer(_Answer):
    """The model and the limits in use."""

    model: Model
    run_id: str | None = None
    created: str | None = None
    licence: str | None = None
    class_names: list[str]
    palette: list[Colour]
    input: dict[str, Any] = Field(description="The bundle's input contract.")
    scores: dict[str, Any] = Field(description="Scores of the model, from its bundle.")
    data: dict[str, Any] = Field(description="What it was trained on.")
    limits: Limits
    version: str = Field(description="Of the service.")


class StateAnswer(_Answer):
    """Whether the service lives, or takes requests."""

    status: State


class ReloadAnswer(_Answer):
    """The bundle that every worker uses now."""

    model: Model
    workers: int = Field(examples=[2])
