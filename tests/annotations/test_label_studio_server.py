"""A running Label Studio: project, upload, predictions read back, annotations, export, import."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage, annotation_format
from seglab.annotations.vectorise import to_shapes
from seglab.core.labels import LabelSpace
from seglab.data.importers import import_dataset
from tests.label_studio import Api, asking

pytestmark = pytest.mark.slow
LABELS = LabelSpace(("road", "car", "sign"))


@pytest.fixture
def api(label_studio: str) -> Api:
    """Return what asks the server."""
    return asking(label_studio)


def _upload(ask: Api, project: int, files: list[Path]) -> None:
    boundary = uuid.uuid4().hex
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{file.name}"; '
        f'filename="{file.name}"\r\nContent-Type: image/png\r\n\r\n'.encode()
        + file.read_bytes()
        + b"\r\n"
        for file in files
    )
    body += f"--{boundary}--\r\n".encode()
    ask(f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={boundary}")


def test_proposals_are_corrected_there_and_come_back(api: Api, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = {}
    annotation = annotation_format("label_studio")
    names = dict(enumerate(LABELS.class_names))
    (tmp_path / "images").mkdir()
    for stem in ("one", "two", "three"):
        coarse = rng.choice(np.array([0, 1, 2, 255], np.uint8), (4, 5))
        masks[stem] = np.kron(coarse, np.ones((6, 6), np.uint8))
        masks[stem][3, 4] = 2
        Image.new("RGB", (30, 24)).save(tmp_path / "images" / f"{stem}.png")
        shapes = to_shapes(masks[stem], names, annotation.drawing, 255)
        one = LabelledImage(f"images/{stem}.png", 24, 30, shapes, masks[stem], "train")
        annotation.write(tmp_path, one, LABELS)
    annotation.finish(tmp_path, LABELS)
    written = {
        Path(task["data"]["image"]).stem: task["annotations"][0]["result"]
        for task in json.loads((tmp_path / "tasks.json").read_text())
    }

    config = (tmp_path / "label_config.xml").read_text()
    project = api("/api/projects", {"title": "seglab", "label_config": config})["id"]
    _upload(api, project, sorted((tmp_path / "images").glob("*.png")))
    tasks = {}
    for task in api(f"/api/tasks?project={project}&fields=all")["tasks"]:
        tasks[Path(task["data"]["image"]).stem.partition("-")[2]] = task["id"]
    assert set(tasks) == set(masks)

    for stem, task in tasks.items():
        api("/api/predictions", {"task": task, "result": written[stem], "model_version": "seglab"})
        (read,) = api(f"/api/predictions?task={task}&project={project}")
        assert read["result"] == written[stem], "expected the proposal bit by bit"
    for stem in ("one", "two"):
        api(f"/api/tasks/{tasks[stem]}/annotations", {"result": written[stem]})

    export = tmp_path / "export"
    shutil.copytree(tmp_path / "images", export / "images")
    exported = api(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    (export / "project.json").write_text(json.dumps(exported))
    (export / "label_config.xml").write_text(config)
    options = {"unlabelled": "void", "val_fraction": 0.0}
    manifest = import_dataset("label_studio", export, tmp_path / "manifest", "mine", options)
    assert manifest.labels.class_names == LABELS.class_names
    row: Any
    for row in manifest.table.itertuples():
        stem = Path(row.image).stem
        assert (row.split == "unlabeled") == (stem == "three")
        if stem != "three":
            assert (np.asarray(Image.open(export / row.mask)) == masks[stem]).all()
