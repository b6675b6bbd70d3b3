"""What POST /v1/predict answers: every form of a mask, one image or many, upright."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from seglab.annotations.coco_rle import decode, unpack_counts
from seglab.annotations.drawing import Drawing, draw_again
from seglab.annotations.rasterise import CornerCanvas
from seglab.annotations.shapes import Shape
from seglab.serve.schema import ErrorAnswer, ImageAnswer, InfoAnswer, PredictAnswer
from tests.bundle.tiny import CLASSES, PALETTE
from tests.serve.conftest import Served, pixels, png

Run = Callable[..., None]


def mask_of(image: ImageAnswer) -> np.ndarray:
    assert image.mask is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.mask))))


def from_runs(image: ImageAnswer) -> np.ndarray:
    found = np.full((image.height, image.width), 255, np.uint8)
    for one in image.rle or ():
        left, top, bitmap = decode(unpack_counts(one.counts), *one.size)
        found[top : top + bitmap.shape[0], left : left + bitmap.shape[1]][bitmap] = one.index
    return found


def from_polygons(image: ImageAnswer) -> np.ndarray:
    assert image.polygons is not None
    shapes = [
        Shape(
            str(one.index),
            "polygon",
            (np.array(one.outline, float),),
            tuple(np.array(hole, float) for hole in one.holes),
        )
        for one in image.polygons
    ]
    drawing = Drawing(CornerCanvas, has_holes=True, is_ordered=False)
    top = draw_again(shapes, (image.height, image.width), drawing)
    return np.array([255, *(one.index for one in image.polygons)], np.uint8)[top]


def test_every_form_is_the_same_mask(run: Run) -> None:
    image = pixels(37, 51)
    expected = image.argmax(2)

    async def test(served: Served) -> None:
        query = "?output=mask&output=areas&output=rle&output=polygons"
        response = await served.predict(png(image), query)
        [answer] = PredictAnswer.model_validate_json(response.content).images
        assert (answer.height, answer.width) == (37, 51)
        for found in (mask_of(answer), from_runs(answer), from_polygons(answer)):
            np.testing.assert_array_equal(found, expected)
        assert answer.areas is not None
        assert [one.pixels for one in answer.areas] == np.bincount(expected.ravel()).tolist()
        assert [(one.name, one.colour) for one in answer.areas] == list(
            zip(CLASSES, PALETTE, strict=True)
        )
        assert sum(one.share for one in answer.areas) == 1
        assert served.value("seglab_class_pixels_total", class_name="sky") == answer.areas[0].pixels

        plain = await served.predict(png(image), accept="image/png")
        assert plain.headers["content-type"] == "image/png"
        mask = Image.open(io.BytesIO(plain.content))
        np.testing.assert_array_equal(np.asarray(mask), expected)
        np.testing.assert_array_equal(
            np.asarray(mask.convert("RGB")), np.array(PALETTE, np.uint8)[expected]
        )

    run(test)


def test_only_what_is_asked_for_is_there(run: Run) -> None:
    async def test(served: Served) -> None:
        response = await served.predict(png(pixels(8, 8)), "?output=areas")
        assert response.json()["images"][0].keys() == {"height", "width", "areas"}
        response = await served.predict(png(pixels(8, 8)))
        assert response.json()["images"][0].keys() == {"height", "width", "areas", "mask"}

    run(test)


def test_many_images_come_back_in_order_and_one_size_goes_together(run: Run) -> None:
    images = [pixels(16, 12, 1), pixels(20, 12, 2), pixels(16, 12, 3), pixels(16, 12, 4)]
    files = [
        ("image", (name, png(one)))
        for name, one in zip(
            ["../../etc/a.png", "C:\\b.png", "c\x00\n.png", "d"], images, strict=True
        )
    ]

    async def test(served: Served) -> None:
        response = await served.client.post("/v1/predict", files=files)
        answers = PredictAnswer.model_validate_json(response.content).images
        assert [one.name for one in answers] == ["a.png", "b.png", "c%00%0A.png", "d"]
        for answer, image in zip(answers, images, strict=True):
            np.testing.assert_array_equal(mask_of(answer), image.argmax(2))
        assert served.value("seglab_images_total") == 4
        assert served.value("seglab_batch_images_count") == 2
        assert served.value("seglab_batch_images_sum") == 4

    run(test, batch_wait=1.0)


def test_a_photograph_is_answered_upright(run: Run) -> None:
    image = pixels(16, 24)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise

    async def test(served: Served) -> None:
        response = await served.predict(png(image, exif=exif))
        [answer] = PredictAnswer.model_validate_json(response.content).images
        np.testing.assert_array_equal(mask_of(answer), np.rot90(image, -1).argmax(2))

    run(test)


def test_request_ids_are_kept_where_they_are_sound(run: Run) -> None:
    async def test(served: Served) -> None:
        content = png(pixels(4, 4))
        sent = await served.predict(content, **{"x-request-id": "order-17.a"})
        assert sent.headers["x-request-id"] == sent.json()["request_id"] == "order-17.a"
        made = await served.predict(content, **{"x-request-id": 'x"} {"level":"error"'})
        assert len(made.headers["x-request-id"]) == 32

    run(test)


def test_openapi_says_what_is_answered(run: Run) -> None:
    async def test(served: Served) -> None:
        spec = (await served.client.get("/openapi.json")).json()
        predict = spec["paths"]["/v1/predict"]["post"]
        example = predict["responses"]["200"]["content"]["application/json"]["example"]
        assert PredictAnswer.model_validate(example).images[0].areas
        for status, answer in predict["responses"].items():
            if status >= "400":
                ErrorAnswer.model_validate(answer["content"]["application/json"]["example"])
        assert {"400", "401", "413", "415", "422", "429", "503", "504"} <= predict[
            "responses"
        ].keys()
        assert set(predict["requestBody"]["content"]) >= {"image/png", "multipart/form-data"}
        assert "security" not in predict  # there are no keys
        assert spec["paths"]["/v1/reload"]["post"]["security"]
        assert set(spec["paths"]) == {
            "/v1/predict",
            "/v1/reload",
            "/healthz",
            "/readyz",
            "/info",
            "/metrics",
        }
        info = InfoAnswer.model_validate_json((await served.client.get("/info")).content)
        assert info.class_names == list(CLASSES)
        assert info.limits.max_images == served.service.options.max_images

    run(test)
