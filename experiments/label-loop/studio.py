"""An annotator in a running Label Studio: what is exported goes up, is corrected there, and comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import requests

from seglab.annotations.format import annotation_format
from seglab.data.annotated.export import ExportSettings, export_manifest
from seglab.data.manifest import Manifest

_TIMEOUT_S = 120.0
# What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


class Studio:
    """The REST interface of a server, as far as the loop needs it.

    Args:
        address: Such as `http://localhost:8080`.
        token: Access token of a user.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address = address.rstrip("/")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {token}"

    def call(self, method: str, path: str, **given: Any) -> Any:
        """Return the JSON that a call gives; raises `requests.HTTPError` where it is refused."""
        url = f"{self._address}/api/{path}"
        answer = self._session.request(method, url, timeout=_TIMEOUT_S, **given)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def upload(self, title: str, folder: Path) -> tuple[int, dict[str, int]]:
        """Make a project of an exported folder; return its number, and the task of each image name."""
        config = (folder / "label_config.xml").read_text(encoding="utf-8")
        project = int(
            self.call("POST", "projects", json={"title": title, "label_config": config})["id"]
        )
        for path in sorted((folder / "images").iterdir()):
            files = {"file": (path.name, path.read_bytes(), "image/png")}
            self.call("POST", f"projects/{project}/import", files=files)
        found = self.call("GET", "tasks", params={"project": project, "page_size": 10_000})
        tasks = found["tasks"] if isinstance(found, dict) else found
        names = {_UPLOADED.sub("", Path(one["data"]["image"]).name): one["id"] for one in tasks}
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
        studio = Studio(address, token)
        drawn = todo.with_name(f"{todo.name}-drawn")
        present = results_of(todo)
        names = [Path(name).stem for name in present]
        settings = ExportSettings(samples=names, images="none")
        export_manifest(manifest, annotation_format("label_studio"), drawn, settings, mask_of)
        project, tasks = studio.upload(todo.name, todo)
        for name, result in results_of(drawn).items():
            task = tasks[name]
            shown = {"task": task, "result": present[name], "model_version": "as labelled"}
            studio.call("POST", "predictions", json=shown)
            studio.call("POST", f"tasks/{task}/annotations", json={"result": result})
        words = {"exportType": "JSON", "download_all_tasks": "true"}
        content = studio.call("GET", f"projects/{project}/export", params=words)
        (todo / "tasks.json").write_text(json.dumps(content), encoding="utf-8")

    return annotate
