"""What the text of a study's storage means: a journal, a database file, or a PostgreSQL server.

Passwords are never written down or shown: `study.json` and messages have a URL without its own. Who
opens the study later gives it as any PostgreSQL program takes it (PGPASSWORD, ~/.pgpass), or gives
the whole URL again in `study.storage` or SEGLAB_STORAGE.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seglab.core.errors import ConfigError, SeglabError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

JOURNAL = "journal:"
FULL_URL = "SEGLAB_STORAGE"
_CONNECT_TIMEOUT_S = 10
_PASSWORD = re.compile(r"(?P<head>[\w+.-]+://[^:/?#@\s]*):[^/?#\s]*@")
_PASSWORD_OPTION = re.compile(r"(?P<head>[?&])(?:password|sslpassword|passfile)=[^&\s]*&?")

# URL without its password -> whole URL, of what this process opened: readers in the same process
# need not be told again.
_opened: dict[str, str] = {}


class StorageUnreachableError(SeglabError, ConnectionError):
    """The database of a study does not answer, or does not let us in."""


@dataclass(frozen=True)
class Place:
    """Where trials are kept.

    Attributes:
        kind: journal, sqlite or postgresql.
        path: The file, absolute; None for a server.
        url: The database; None for a journal.
    """

    kind: Literal["journal", "sqlite", "postgresql"]
    path: Path | None = None
    url: URL | None = None

    def __str__(self) -> str:
        """Return the text it is named by, without a password."""
        return f"{JOURNAL}{self.path}" if self.url is None else without_password(self.whole_url)

    @property
    def whole_url(self) -> str:
        """The URL with its password; for opening the database, never for showing."""
        return "" if self.url is None else self.url.render_as_string(hide_password=False)

    @property
    def engine_options(self) -> dict[str, Any]:
        """What SQLAlchemy is told: notice a server that is gone, wait for a file that is busy."""
        if self.kind == "sqlite":
            return {"connect_args": {"timeout": 60}}
        asked = {"connect_timeout": _CONNECT_TIMEOUT_S, "keepalives_idle": 30}
        query = self.url.query if self.url is not None else {}
        own = {key: value for key, value in asked.items() if key not in query}
        return {"connect_args": own, "pool_pre_ping": True}

    def engine(self, **options: Any) -> Engine:
        """Return an engine for the database; nothing is connected yet.

        Raises:
            ConfigError: The driver is not installed.
        """
        from sqlalchemy import create_engine

        try:
            return create_engine(self.whole_url, **self.engine_options, **options)
        except ImportError as error:
            raise ConfigError(
                f"study.storage: {self} needs a driver that is not installed ({error}); "
                "pip install 'seglab[postgres]'"
            ) from error

    def unreachable(self, error: Exception) -> StorageUnreachableError:
        """Return what to raise where the database did not answer."""
        lines = str(getattr(error, "orig", None) or error).strip().splitlines()
        hint = (
            " (passwords are not kept in the study: set PGPASSWORD, or give the whole URL in "
            f"study.storage or {FULL_URL})"
        )
        return StorageUnreachableError(
            f"study.storage: cannot open {self}: {lines[-1] if lines else type(error).__name__}"
            + (hint if self.kind == "postgresql" else "")
        )

    def remember(self) -> None:
        """Let later readers in this process open the same database without its password."""
        if self.url is not None:
            _opened[str(self)] = self.whole_url


def parse_storage(spec: str) -> Place:
    """Read the text of a storage.

    Args:
        spec: `journal:PATH` or a URL. One without a password is completed from SEGLAB_STORAGE if
            that names the same database, or from what this process opened before.

    Raises:
        ConfigError: It is no storage that several processes could share.
    """
    if spec.startswith(JOURNAL):
        if spec == JOURNAL:
            raise ConfigError("study.storage: expected journal:PATH, got 'journal:' alone")
        path = Path(spec.removeprefix(JOURNAL)).expanduser().absolute()
        return Place("journal", path=path)
    url = _parse_url(spec)
    backend = url.get_backend_name() if "://" in spec else ""
    if backend == "postgresql":
        return Place("postgresql", url=_completed(url))
    if backend == "sqlite":
        if not url.database or url.database == ":memory:" or "mode" in url.query:
            raise ConfigError(
                f"study.storage: expected sqlite:////PATH, a file that processes can share, got '{spec}'"
            )
        path = Path(url.database).expanduser().absolute()
        return Place("sqlite", path=path, url=url.set(database=str(path)))
    raise ConfigError(
        "study.storage: expected journal:PATH, sqlite:////PATH or postgresql://USER@HOST/NAME, got "
        f"'{without_password(spec)}'; other storages lack the lock that keeps two controllers from "
        "running one trial"
    )


def without_password(text: str) -> str:
    """Return a text with the passwords of all URLs in it left out."""
    shown = _PASSWORD_OPTION.sub(r"\g<head>", _PASSWORD.sub(r"\g<head>@", text))
    # What stood before a password that was the last option of a URL.
    return shown if shown == text else shown.removesuffix("?").removesuffix("&")


def _parse_url(spec: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    # Some hosts hand out the short name, which SQLAlchemy does not know.
    spec = re.sub(r"^postgres(?=://|\+)", "postgresql", spec)
    try:
        url = make_url(spec)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"study.storage: expected journal:PATH or a URL, got '{without_password(spec)}'"
        ) from error
    if url.drivername == "postgresql" and importlib.util.find_spec("psycopg2") is None:
        return url.set(drivername="postgresql+psycopg")
    return url


def _completed(url: URL) -> URL:
    """Return the URL with its password, as far as this process knows it."""
    shown = without_password(url.render_as_string(hide_password=False))
    if shown != url.render_as_string(hide_password=False):
        return url
    named = os.environ.get(FULL_URL, "")
    if named.startswith("postgres"):
        whole = _parse_url(named)
        if without_password(whole.render_as_string(hide_password=False)) == shown:
            return whole
    return _parse_url(_opened.get(shown, shown))
