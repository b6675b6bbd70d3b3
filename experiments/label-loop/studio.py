"""An annotator in a running Label Studio: what is exported goes up, is corrected there, and comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.annotations.format import annotation_format
from seglab.data.annotated.export import ExportSettings, export_manifest
from seglab.data.manifest import Manifest
from seglab.feedback.exchange.studio import Studio

# What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


def upload(studio: Studio, title: str, folder: Path) -> tuple[int, dict[str, int]]:
    """Make a project of an exported folder; return its number, and the task of each image name."""
    config = (folder / "label_config.xml").read_text(encoding="utf-8")
    made = studio.once("POST", "projects", json={"title": title, "label_config": config})
    project = int(made["id"])
    for path in sorted((folder / "images").iterdir()):
        files = {"file": (path.name, path.read_bytes(), "image/png")}
        studio.once("POST", f"projects/{project}/import", files=files)
    found = studio.call("GET", "tasks", params={"project": project, "page_size": 10_000})
    names = {
        _UPLOADED.sub("", Path(one["data"]["image"]).name): one["id"] for one in found["tasks"]
    }
    return project, names


def results_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the regions of every image of an exported folder, by the name of its file."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    return {Path(one["data"]["image"]).name: one["annotations"][0]["result"] for one in tasks}


def annotate_in_label_studio(
    address: str, token: str, manifest: Manifest, mask_of: Callable[[Any], np.ndarray | None]
) -> Callable[[Path], None]:
    """Return an annotator who corrects an exported folder on a server.

    Each image is shown with its present labels as a prediction; the annotator submits the true ones. The
    export of the server takes the place of `tasks.json`.

    Args:
        address: Of the server.
        token: Of a user.
        manifest: Of the data.
        mask_of: The true mask of a row of the manifest.
    """

    def annotate(todo: Path) -> None:
        drawn = todo.with_name(f"{todo.name}-drawn")
        present = results_of(todo)
        names = [Path(name).stem for name in present]
        settings = ExportSettings(samples=names, images="none")
        export_manifest(manifest, annotation_format("label_studio"), drawn, settings, mask_of)
        with Studio(address, token) as studio:
            project, tasks = upload(studio, todo.name, todo)
            for name, result in results_of(drawn).items():
                task = tasks[name]
                shown = {"task": task, "result": present[name], "model_version": "as labelled"}
                studio.once("POST", "predictions", json=shown)
                studio.annotate(task, result)
            content = studio.export(project)
        (todo / "tasks.json").write_text(json.dumps(content), encoding="utf-8")

    return annotate
