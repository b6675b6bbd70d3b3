"""Where trials may be kept, whose password is shown to nobody, and a lock that dies with its holder."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from seglab.core.errors import ConfigError
from seglab.runs.studies import storage_place
from seglab.runs.studies.storage_place import (
    StorageUnreachableError,
    parse_storage,
    without_password,
)
from seglab.runs.studies.study import StudyFolder
from seglab.runs.studies.study_lock import StudyBusyError, study_lock
from seglab.runs.studies.study_storage import open_storage, open_study, written_together


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test know the passwords of another."""
    monkeypatch.setattr(storage_place, "_opened", {})


@pytest.mark.parametrize(
    ("spec", "kind", "text"),
    [
        ("journal:/a/j.log", "journal", "journal:/a/j.log"),
        ("sqlite:////a/s.db", "sqlite", "sqlite:////a/s.db"),
        ("postgresql://me:pw@h:1/d", "postgresql", "postgresql+psycopg://me@h:1/d"),
        ("postgres://me@h/d", "postgresql", "postgresql+psycopg://me@h/d"),
        (
            "postgresql+psycopg://h/d?sslmode=require&password=pw",
            "postgresql",
            "postgresql+psycopg://h/d?sslmode=require",
        ),
    ],
)
def test_texts_of_storages(
    spec: str, kind: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = storage_place.importlib.util.find_spec
    monkeypatch.setattr(
        storage_place.importlib.util,
        "find_spec",
        lambda name: None if name == "psycopg2" else find(name),
    )
    place = parse_storage(spec)
    assert (place.kind, str(place)) == (kind, text)


def test_a_url_without_driver_takes_the_older_one_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage_place.importlib.util, "find_spec", lambda name: object())
    assert "psycopg" not in str(parse_storage("postgresql://h/d"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("journal:", "expected journal:PATH"),
        (
            "mysql+pymysql://me:pw@h/d",
            r"got 'mysql\+pymysql://me@h/d'; other storages lack the lock",
        ),
        ("http://me:pw@h:8080", "got 'http://me@h:8080'"),
        ("grpc://h:1", "expected journal:PATH, sqlite:////PATH or postgresql://"),
        ("redis://h", "expected journal:PATH"),
        ("sqlite://", "a file that processes can share"),
        ("sqlite:///:memory:", "a file that processes can share"),
        ("study.log", "expected journal:PATH or a URL, got 'study.log'"),
        ("postgresql://me:pw@h:port/d", "got 'postgresql://me@h:port/d'"),
    ],
)
def test_what_cannot_be_shared_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_storage(spec)
    assert "pw" not in str(caught.value)


def test_passwords_are_left_out_of_any_text() -> None:
    text = "study.storage=postgresql://me:p%40w@h/d and http://a:b@c/?password=x&y=1 lr:3@4"
    assert without_password(text) == (
        "study.storage=postgresql://me@h/d and http://a@c/?y=1 lr:3@4"
    )
    assert without_password("http://h/d?password=x") == "http://h/d"
    assert without_password("does the batch help?") == "does the batch help?"


def test_a_missing_driver_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'seglab\[postgres\]'") as caught:
        open_storage("postgresql+pg8000://me:pw@h/d")
    assert "pw" not in str(caught.value)


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StorageUnreachableError, match="cannot open postgresql") as caught:
        open_storage("postgresql+psycopg://me:pw@127.0.0.1:9/d")
    assert "pw" not in str(caught.value)
    assert "PGPASSWORD" in str(caught.value)


def test_a_wrong_password_is_not_repeated(postgres_url: str) -> None:
    url = postgres_url.replace("s%40cr%3At%2F7", "mistyped")
    with pytest.raises(StorageUnreachableError, match="password authentication failed") as caught:
        open_storage(url)
    assert "mistyped" not in str(caught.value)
    assert "mistyped" not in str(caught.value.__cause__)


def _with_study(folder: StudyFolder, url: str) -> StudyFolder:
    folder.write({**folder.read(), "storage": url})
    optuna.create_study(storage=open_storage(url), study_name=folder.study_id)
    return folder


def test_a_process_that_gave_the_password_once_can_read_on(
    folder: StudyFolder, postgres_url: str
) -> None:
    study = open_study(_with_study(folder, postgres_url))
    assert study.study_name == "demo-abc123"


def test_others_give_the_password_by_environment(
    folder: StudyFolder, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_study(folder, postgres_url)
    monkeypatch.setattr(storage_place, "_opened", {})
    with pytest.raises(StorageUnreachableError, match=r"no password supplied.*set PGPASSWORD"):
        open_study(folder)
    assert open_study(folder, storage=postgres_url).study_name == "demo-abc123"
    monkeypatch.setattr(storage_place, "_opened", {})
    with monkeypatch.context() as patch:
        patch.setenv("SEGLAB_STORAGE", f"{postgres_url}_other")
        with pytest.raises(StorageUnreachableError):
            open_study(folder)
        patch.setenv("SEGLAB_STORAGE", postgres_url)
        assert open_study(folder).study_name == "demo-abc123"
    monkeypatch.setattr(storage_place, "_opened", {})
    monkeypatch.setenv("PGPASSWORD", "s@cr:t/7")
    assert open_study(folder).study_name == "demo-abc123"


def test_optuna_tells_no_news_but_each_warning_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    study = optuna.create_study(storage=open_storage(f"journal:{tmp_path}/j.log"))
    study.tell(study.ask(), 1.0)
    capfd.readouterr()
    log = logging.getLogger("optuna.samplers._cmaes")
    with pytest.MonkeyPatch.context() as patch:
        # Optuna's own; pytest may have put others beside it.
        (handler,) = (
            one
            for one in logging.getLogger("optuna").handlers
            if type(one) is logging.StreamHandler
        )
        patch.setattr(handler, "stream", sys.stderr)
        for number in range(3):
            log.info("told nobody %d", number)
            log.warning("The parameter `c` in Trial#%d is sampled independently", number)
        log.warning("The parameter `d` in Trial#7 is sampled independently")
    told = capfd.readouterr().err
    assert "told nobody" not in told
    assert told.count("parameter `c`") == told.count("parameter `d`") == 1


def test_tables_are_made_by_several_processes_at_once(postgres_server: Any) -> None:
    postgres_server.run("CREATE DATABASE without_tables")
    url = postgres_server.url("without_tables")
    code = f"from seglab.runs.studies.study_storage import open_storage; open_storage({url!r})"
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)
    ]
    assert [racer.communicate(timeout=60)[1] for racer in racers] == [b"", b""]


def test_an_sqlite_file_serves_too(tmp_path: Path) -> None:
    spec = f"sqlite:///{tmp_path}/sub/study.db"
    storage = open_storage(spec)
    optuna.create_study(storage=storage, study_name="a")
    with study_lock(spec), written_together(storage):
        assert open_storage(spec).get_study_id_from_name("a") == 1


HOLDER = """
import sys, time
from seglab.runs.studies.study_lock import study_lock
with study_lock(sys.argv[1], study=sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(storage: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that hold the lock of a study."""
    holders = []

    def start(study: str) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, storage, study], stdout=subprocess.PIPE, text=True
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_one_process_of_all_holds_the_lock(
    storage: str, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    holder = hold("a")
    began = time.monotonic()
    with pytest.raises(StudyBusyError, match="was not free within 0 s") as caught:
        with study_lock(storage, timeout_s=0.3, study="a"):
            raise AssertionError("two hold it")
    assert 0.25 < time.monotonic() - began < 2.0
    assert "s%40" not in str(caught.value)
    holder.kill()
    began = time.monotonic()
    with study_lock(storage, timeout_s=10.0, study="a"):
        assert time.monotonic() - began < 2.0


def test_studies_of_one_database_do_not_wait_for_each_other(postgres_url: str) -> None:
    with study_lock(postgres_url, study="a"):
        began = time.monotonic()
        with study_lock(postgres_url, study="b"):
            assert time.monotonic() - began < 2.0


def test_the_lock_may_be_taken_again_by_the_thread_that_has_it(storage: str) -> None:
    with study_lock(storage, timeout_s=1.0):
        with study_lock(storage, timeout_s=1.0):
            pass
        assert not _free_for_another_thread(storage)
    assert _free_for_another_thread(storage)


def test_the_lock_is_free_again_after_an_error(storage: str) -> None:
    with pytest.raises(ZeroDivisionError):
        with study_lock(storage, timeout_s=1.0):
            _ = 1 / 0
    assert _free_for_another_thread(storage)


def _free_for_another_thread(storage: str) -> bool:
    result = []

    def take() -> None:
        try:
            with study_lock(storage, timeout_s=0.2):
                result.append(True)
        except StudyBusyError:
            result.append(False)

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return result[0]
