"""The images, built and run for real: they answer as no root, are killed, and come back."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.conftest import pixels, png
from tests.serve.images import BASE, Container, Images, first_of, skip_without_means
from tests.serve.processes import free_port
from tests.serve.runtime_api import RuntimeApi
from tests.serve.test_awslambda import mask_of, url_event
from tests.waiting import wait_for

# Making a base and filling an image take minutes, where nothing is kept of an earlier run.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
IMAGE = pixels(16, 24)
NO_ROOT = 10001


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    folder = tmp_path_factory.mktemp("images")
    skip_without_means(folder)
    found = Images(folder)
    found.make_base()
    yield found
    found.close()


@pytest.fixture
def readable(tmp_path: Path, bundle: Path) -> Path:
    """The bundle where another user may read it."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    return shutil.copytree(bundle, tmp_path / "bundle")


class Running:
    """A server in a container."""

    def __init__(self, container: Container, command: list[str], bundle: Path, port: int) -> None:
        words = [*command, f"port={port}", "threads=1"]
        self.buildah = container.start(words, "--volume", f"{bundle}:/bundle:ro")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)
        wait_for(self.answers)
        first = first_of(self.buildah, "serve")
        assert first is not None
        self.first = first

    def answers(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            assert self.buildah.poll() is None
            return False

    def predicts(self) -> bool:
        try:
            answer = self.http.post("/v1/predict?output=mask", content=png(IMAGE))
        except httpx.TransportError:
            return False
        event = {"statusCode": answer.status_code, "body": answer.text}
        return bool((mask_of(event) == IMAGE.argmax(2)).all())

    def end(self, number: int) -> int:
        self.first.send_signal(number)
        return self.buildah.wait(timeout=60)


def test_server_answers_as_no_root_is_killed_and_comes_back(
    images: Images, readable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, config = images.build("server")
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {images.size(name)}, its base {images.size(BASE)}\n")
    command = [*config["Entrypoint"], *config["Cmd"]]
    port = free_port()
    health = [word.replace("8000", str(port)) for word in config["Healthcheck"]["Test"][1:]]
    with images.container(name) as container:
        assert container.run("id", "-u").stdout.strip() == str(NO_ROOT)
        assert "torch" in container.run("python", "-c", "import torch").stderr
        assert container.run("test", "-w", "/opt/seglab/bin").returncode == 1
        assert container.run(*health).returncode == 1

        running = Running(container, command, readable, port)
        assert running.predicts()
        assert container.run(*health).returncode == 0
        [worker] = running.first.children()
        assert {running.first.uids().effective, worker.uids().effective} == {NO_ROOT}
        worker.kill()  # the supervisor starts another
        wait_for(running.predicts)

        # Killed whole: nothing is left of it, and started again, as a restart policy does, it answers.
        everything = running.first.children(recursive=True)
        assert running.end(signal.SIGKILL) != 0
        wait_for(lambda: not any(one.is_running() for one in everything))
        running = Running(container, command, readable, port)
        assert running.predicts()
        assert running.end(signal.SIGTERM) == 0


def test_function_answers_through_the_runtime_interface(
    images: Images, readable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, config = images.build("lambda")
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {images.size(name)}\n")
    with images.container(name) as container, RuntimeApi() as api:
        options = ("--volume", f"{readable}:/bundle:ro")
        options += ("--env", f"AWS_LAMBDA_RUNTIME_API={api.address}")
        started = container.start([*config["Entrypoint"], *config["Cmd"]], *options)
        try:
            answer = api.invoke(url_event("POST", "/v1/predict", png(IMAGE)))
            assert (mask_of(answer) == IMAGE.argmax(2)).all()
            first = first_of(started, "awslambdaric")
            assert first is not None
            assert first.uids().effective == NO_ROOT
        finally:
            if (left := first_of(started, "awslambdaric")) is not None:
                left.kill()
            started.wait(timeout=60)
