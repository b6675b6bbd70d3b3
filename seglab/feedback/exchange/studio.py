"""A running Label Studio over its REST interface: as much of it as a queue needs.

References:
    Label Studio, API: https://api.labelstud.io/api-reference/introduction/getting-started
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from seglab.core.errors import ConfigError, SeglabError
from seglab.core.text.escape import one_line

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"  # noqa: S105 - its name, not the token
SAMPLE = "sample_id"
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
_TIMEOUT_S = 120.0
_PAGE = 500


class StudioError(SeglabError):
    """The server refused."""


class StudioAwayError(StudioError):
    """The server cannot be reached, or is too busy to answer."""


class Studio:
    """A server, and one of its users.

    Args:
        url: Such as `http://localhost:8080`.
        token: Of the user: the legacy one, or a personal access token, which is exchanged for short-lived
            ones; None: from the environment variable LABEL_STUDIO_API_KEY.
        retries: Further tries where it does not answer.

    Raises:
        ConfigError: There is no token, the address is none, or httpx is not installed.
    """

    def __init__(self, url: str, token: str | None = None, retries: int = 5) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ConfigError(
                "a Label Studio server needs httpx: pip install 'seglab[serve]'"
            ) from error
        self._token = token or os.environ.get(TOKEN_VARIABLE, "").strip()
        if not self._token:
            raise ConfigError(
                f"{TOKEN_VARIABLE}: not set; put the access token of your account there (in Label "
                "Studio: Account & Settings)"
            )
        self._url, self._retries = url.rstrip("/"), retries
        try:
            self._client = httpx.Client(base_url=f"{self._url}/api/", timeout=_TIMEOUT_S)
        except httpx.InvalidURL as error:
            raise ConfigError(
                f"url: expected an address such as http://localhost:8080: {error}"
            ) from error
        self._access = "" if self._is_personal else f"Token {self._token}"

    @property
    def _is_personal(self) -> bool:
        return self._token.count(".") == 2

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._client.close()

    def call(self, method: str, path: str, **given: Any) -> Any:
        """Return the JSON that a call gives; tried again while the server is away.

        For what may be done twice without harm.

        Raises:
            StudioError: It is refused, or the server stays away.
        """
        return self.persist(lambda: self.once(method, path, **given))

    def persist(self, work: Callable[[], Any]) -> Any:
        """Do some work again while the server is away, with growing pauses.

        Raises:
            StudioAwayError: It stays away.
        """
        for turn in range(self._retries + 1):
            try:
                return work()
            except StudioAwayError:
                if turn == self._retries:
                    raise
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**turn)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    def once(self, method: str, path: str, **given: Any) -> Any:
        """Return the JSON that one call gives.

        Raises:
            StudioAwayError: The server cannot be reached, or is too busy.
            StudioError: It is refused.
        """
        answer = self._send(method, path, given)
        if answer.status_code == 401 and self._is_personal:
            self._access = ""  # it has run out
            answer = self._send(method, path, given)
        what = f"{self._url}: {method} {path}: {answer.status_code}"
        if answer.status_code in _AGAIN:
            raise StudioAwayError(f"{what}: {_reason(answer)}")
        if answer.status_code in (401, 403):
            raise StudioError(f"{what}: the token in {TOKEN_VARIABLE} is not one of this server")
        if not answer.is_success:
            raise StudioError(f"{what}: {_reason(answer)}")
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise StudioError(f"{what}: expected JSON; is this Label Studio?") from error

    def _send(self, method: str, path: str, given: Mapping[str, Any]) -> httpx.Response:
        import httpx

        try:
            if not self._access:
                told = self._client.post("token/refresh", json={"refresh": self._token})
                if told.status_code in (400, 401, 403):
                    raise StudioError(f"{self._url}: the token in {TOKEN_VARIABLE} is refused")
                if not told.is_success:
                    raise StudioAwayError(f"{self._url}: {told.status_code}: {_reason(told)}")
                self._access = f"Bearer {told.json()['access']}"
            headers = {"Authorization": self._access}
            return self._client.request(method, path, headers=headers, **given)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigError(
                f"url: expected an address such as http://localhost:8080, got {self._url}"
            ) from error
        except (httpx.TransportError, ValueError, KeyError) as error:
            raise StudioAwayError(f"{self._url}: {error or type(error).__name__}") from error

    def project(self, title: str, label_config: str) -> int:
        """Return the project of a title, which is made where it is not there.

        Raises:
            StudioError: There are several.
        """

        def find() -> int | None:
            found = self.once("GET", "projects", params={"title": title, "page_size": _PAGE})
            same = [one["id"] for one in found["results"] if one["title"] == title]
            if len(same) > 1:
                raise StudioError(f"{self._url}: {len(same)} projects are called {title!r}")
            return same[0] if same else None

        def find_or_make() -> int:
            # Looked for again at each try: one that was cut off may have made it.
            number = find()
            if number is None:
                told = {"title": title, "label_config": label_config}
                number = int(self.once("POST", "projects", json=told)["id"])
            return number

        return int(self.persist(find_or_make))

    def tasks(self, project: int) -> dict[str, list[int]]:
        """Return the numbers of a project's tasks by the sample they are of."""
        found: dict[str, list[int]] = {}
        page, seen = 1, 0
        while True:
            words = {"project": project, "page": page, "page_size": _PAGE}
            told = self.call("GET", "tasks", params=words)
            for one in told["tasks"]:
                found.setdefault(str(one["data"].get(SAMPLE, "")), []).append(int(one["id"]))
            seen, page = seen + len(told["tasks"]), page + 1
            if not told["tasks"] or seen >= told["total"]:
                return found

    def upload(self, project: int, path: Path) -> str:
        """Store an image on the server; return the address that a task names it by.

        Sent again after a failure it lies there twice, and one of them is not used.
        """
        files = {"file": (path.name, path.read_bytes(), "application/octet-stream")}
        words = {"commit_to_project": "false"}
        told = self.call("POST", f"projects/{project}/import", params=words, files=files)
        ids = {"ids": json.dumps(told["file_upload_ids"])}
        stored = self.call("GET", f"projects/{project}/file-uploads", params=ids)
        if len(stored) != 1:
            raise StudioError(
                f"{self._url}: {path.name}: stored as {len(stored)} files, not as one"
            )
        return f"/data/{stored[0]['file']}"

    def add_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Add the tasks whose sample the project does not have; return how many were added."""

        def add() -> int:
            there = self.tasks(project)
            new = [one for one in tasks if one["data"][SAMPLE] not in there]
            if new:
                self.once("POST", f"projects/{project}/import", json=new)
            return len(new)

        return int(self.persist(add))

    def progress(self, project: int) -> tuple[int, int]:
        """Return how many tasks of a project are annotated, and how many there are."""
        told = self.call("GET", f"projects/{project}")
        return int(told["num_tasks_with_annotations"]), int(told["task_number"])

    def annotate(
        self, task: int, regions: Sequence[Mapping[str, Any]], seconds: float | None = None
    ) -> None:
        """Annotate a task as its user would, such as an oracle in an experiment.

        Args:
            task: Its number.
            regions: Label Studio's, as `studio_regions` returns them.
            seconds: How long it took.
        """
        told = {"result": list(regions), "lead_time": seconds}
        self.once("POST", f"tasks/{task}/annotations", json=told)

    def export(self, project: int) -> list[dict[str, Any]]:
        """Return all tasks of a project with their annotations."""
        words = {"exportType": "JSON", "download_all_tasks": "true"}
        found: list[dict[str, Any]] = self.call("GET", f"projects/{project}/export", params=words)
        return found


def _reason(answer: httpx.Response) -> str:
    try:
        told = answer.json()
        return one_line(json.dumps(told.get("validation_errors") or told["detail"])[:300])
    except (ValueError, KeyError, TypeError, AttributeError):
        return one_line(answer.text[:100])
