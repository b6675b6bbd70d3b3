"""The function that AWS Lambda runs: its real client, against a runtime interface that the test speaks."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import ConfigError
from seglab.serve.process.awslambda import MOST_BYTES, VARIABLE, read_options
from tests.serve.conftest import pixels, png
from tests.serve.runtime_api import RuntimeApi

ROOT = Path(__file__).resolve().parents[2]


def test_options_are_read_and_those_of_a_server_refused(bundle: Path) -> None:
    assert read_options(json.dumps({"bundle": str(bundle), "max_side": 99})).max_side == 99
    with pytest.raises(ConfigError) as caught:
        read_options(json.dumps({"bundle": str(bundle), "queue": 0, "workers": 2, "rate": 3}))
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == [
        "queue",
        "rate",
        "workers",
    ]
    for text in ("bundle=b", "[]", "{}"):
        with pytest.raises(ConfigError, match=VARIABLE):
            read_options(text)


@contextmanager
def function(**options: Any) -> Iterator[RuntimeApi]:
    missing = [name for name in ("awslambdaric", "mangum") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed; pip install 'seglab[lambda]'")
    with RuntimeApi() as api:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "seglab.serve.process.awslambda.handler"],
            env={
                **os.environ,
                "AWS_LAMBDA_RUNTIME_API": api.address,
                VARIABLE: json.dumps(options),
            },
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            yield api
        finally:
            process.kill()
            process.wait()


def url_event(method: str, path: str, body: bytes = b"", query: str = "", **headers: str) -> Any:
    """An event of a function URL, which is one of an HTTP API."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "f.lambda-url.eu.on.aws", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "10.0.0.1"}
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def rest_event(path: str, body: bytes) -> Any:
    """An event of a REST API."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": {"Content-Type": "image/png"},
        "multiValueHeaders": {"Content-Type": ["image/png"]},
        "queryStringParameters": {"output": "areas"},
        "multiValueQueryStringParameters": {"output": ["areas", "mask"]},
        "requestContext": {"identity": {"sourceIp": "10.0.0.1"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def balancer_event(path: str, body: bytes) -> Any:
    """An event of an application load balancer."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu:1:t"}},
        "httpMethod": "POST",
        "path": path,
        "queryStringParameters": {},
        "headers": {"content-type": "image/png", "x-forwarded-for": "10.0.0.1"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def mask_of(answer: Any) -> np.ndarray:
    assert answer["statusCode"] == 200, answer
    [image] = json.loads(answer["body"])["images"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image["mask"]))))


@pytest.mark.slow
def test_predicts_through_the_runtime_interface(bundle: Path) -> None:
    image = pixels(16, 24)
    sent, expected = png(image), image.argmax(2)
    noise = np.eye(3, dtype=np.uint8)[np.random.default_rng(0).integers(0, 3, (2000, 2000))] * 255
    with function(bundle=str(bundle)) as api:
        one = api.invoke(url_event("POST", "/v1/predict", sent))
        assert (mask_of(one) == expected).all()
        assert one["headers"]["x-request-id"] == json.loads(one["body"])["request_id"]
        for event in (rest_event("/v1/predict", sent), balancer_event("/v1/predict", sent)):
            assert (mask_of(api.invoke(event)) == expected).all()
        alone = api.invoke(url_event("POST", "/v1/predict", sent, accept="image/png"))
        assert alone["isBase64Encoded"]
        found = Image.open(io.BytesIO(base64.b64decode(alone["body"])))
        assert (np.asarray(found) == expected).all()

        bad = api.invoke(url_event("POST", "/v1/predict", b"no image"))
        assert bad["statusCode"] == 422
        assert json.loads(bad["body"])["error"]["code"] == "image"
        large = api.invoke(url_event("POST", "/v1/predict", png(noise), "output=rle&output=mask"))
        assert large["statusCode"] == 413
        assert str(MOST_BYTES) in json.loads(large["body"])["error"]["message"]

        where, error = api.failure({"Records": []})
        assert where == "/invocation/bad/error"
        assert "function URL" in error["errorMessage"]
        assert "Records" in error["errorMessage"]
        # One instance answered all of them.
        metrics = api.invoke(url_event("GET", "/metrics"))["body"]
        assert "seglab_images_total 5.0" in metrics


@pytest.mark.slow
def test_a_bundle_that_cannot_be_used_fails_at_the_start(tmp_path: Path) -> None:
    with function(bundle=str(tmp_path)) as api:
        where, error = api.failure()
    assert where == "/init/error"
    assert str(tmp_path) in error["errorMessage"]
