"""A journal survives writers that die in the middle of a write, or with the lock in their hands."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from seglab.core.errors import DataError
from seglab.runs.studies.journal import KernelLock, StudyJournal, open_journal

HALF = b'{"op_code":6,"worker_id":"w","tri'


def _study(path: Path, trials: int = 2) -> optuna.Study:
    study = optuna.create_study(storage=open_journal(path), study_name="a")
    for number in range(trials):
        study.add_trial(optuna.trial.create_trial(value=float(number)))
    return study


def _values(path: Path) -> list[float | None]:
    study = optuna.load_study(study_name="a", storage=open_journal(path))
    return [trial.value for trial in study.trials]


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)


def test_optuna_itself_cannot_read_on_after_half_a_line(tmp_path: Path) -> None:
    """What would happen without us; if this fails one day, Optuna heals journals itself."""
    path = tmp_path / "j.log"
    _study(path)
    _append(path, HALF)
    study = optuna.load_study(study_name="a", storage=JournalStorage(JournalFileBackend(str(path))))
    assert len(study.trials) == 2
    study.set_user_attr("one", 1)
    with pytest.raises(json.JSONDecodeError):
        study.set_user_attr("two", 2)
    with pytest.raises(json.JSONDecodeError):
        JournalStorage(JournalFileBackend(str(path)))


@pytest.mark.parametrize(
    "torn", [HALF, b"{", b"\0" * 5000, b"\0" * 70_000, b'{"op_code":9,"x"\0\0\0\n']
)
def test_a_torn_end_is_cut_off_when_the_journal_is_opened(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.log"
    _study(path)
    whole = path.read_bytes()
    _append(path, torn)
    with caplog.at_level(logging.WARNING):
        assert _values(path) == [0.0, 1.0]
    assert path.read_bytes() == whole
    assert f"{len(torn)} bytes" in caplog.text
    caplog.clear()
    assert _values(path) == [0.0, 1.0]
    assert caplog.text == ""


def test_a_first_line_that_is_half_there_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    path.write_bytes(b'{"op_c')
    assert open_journal(path).get_all_studies() == []
    assert path.read_bytes() == b""


def test_a_torn_end_is_cut_off_while_another_writer_lives_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.log"
    study = _study(path)
    reader = open_journal(path)
    _append(path, HALF)
    assert len(reader.get_all_trials(0)) == 2
    with caplog.at_level(logging.WARNING):
        study.add_trial(optuna.trial.create_trial(value=2.0))
    assert "a writer died there" in caplog.text
    # Who had read up to the torn end before reads on behind it.
    assert len(reader.get_all_trials(0)) == 3
    assert _values(path) == [0.0, 1.0, 2.0]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    _study(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], HALF + lines[1], *lines[1:]]))
    with pytest.raises(DataError, match=r"line 2 of .*j\.log is no entry of a journal"):
        open_journal(path)


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("lr 0.1 was bad\nlr 0.01 not")
    with pytest.raises(DataError, match="is no journal of a study"):
        open_journal(path)
    assert path.read_text() == "lr 0.1 was bad\nlr 0.01 not"


READER = """
import os, sys
from pathlib import Path
import optuna
from seglab.runs.studies.journal import open_journal
path = Path(sys.argv[1])
open_journal(path.with_name("whole.log")).get_all_trials(0)
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
assert not os.access(path, os.W_OK)
print(len(open_journal(path).get_all_trials(0)))
"""


def test_a_torn_journal_that_may_not_be_written_can_be_read() -> None:
    # Not below pytest's folder, which no other user may enter.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "j.log"
        _study(path)
        _study(path.with_name("whole.log"))
        _append(path, HALF)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=False
        )
        path.parent.chmod(0o755)
        assert done.stdout.strip() == "2", done.stderr
        assert path.read_bytes().endswith(HALF)


HOLDER = """
import sys, time
from pathlib import Path
from {module} import {name}
{name}({path}).acquire()
print("held", flush=True)
time.sleep(60)
"""


def _killed_holder(code: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    study = _study(path)
    _killed_holder(
        HOLDER.format(
            module="seglab.runs.studies.journal", name="KernelLock", path=f"Path({str(path)!r})"
        )
    )
    began = time.monotonic()
    study.set_user_attr("after", True)
    assert time.monotonic() - began < 1.0


def test_optunas_own_lock_outlives_its_holder(tmp_path: Path) -> None:
    """Why we have one of our own; our writes do not wait for a lock that is left there."""
    path = tmp_path / "j.log"
    study = _study(path)
    _killed_holder(
        HOLDER.format(
            module="optuna.storages.journal", name="JournalFileSymlinkLock", path=repr(str(path))
        )
    )
    assert Path(f"{path}.lock").is_symlink()
    began = time.monotonic()
    study.set_user_attr("after", True)
    assert time.monotonic() - began < 1.0


def test_threads_with_storages_of_their_own_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    path.touch()
    inside, most = 0, 0

    def enter() -> None:
        nonlocal inside, most
        lock = KernelLock(path)
        for _ in range(20):
            with lock.held():
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


WRITER = """
import sys
from pathlib import Path
import optuna
from seglab.runs.studies.journal import open_journal
storage = open_journal(Path(sys.argv[1]))
for number in range(20):
    storage.set_study_user_attr(0, f"{sys.argv[2]}-{number}", "x" * 20_000)
"""


def test_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    _study(path, trials=0)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = path.read_bytes().splitlines()
    assert len(lines) == 1 + 2 * 20
    assert all(isinstance(json.loads(line), dict) for line in lines)
    study = optuna.load_study(study_name="a", storage=open_journal(path))
    assert set(study.user_attrs) == {f"{name}-{number}" for name in "ab" for number in range(20)}


def test_lines_written_together_are_seen_at_once_and_by_others(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    storage = open_journal(path)
    optuna.create_study(storage=storage, study_name="a")
    other = open_journal(path)
    with storage.journal.together(), storage.journal.together():
        storage.set_study_user_attr(0, "one", 1)
        assert other.get_study_user_attrs(0) == {"one": 1}
    assert storage.journal._together == 0


def test_a_journal_is_read_by_optuna_itself(tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    _study(path)
    plain = JournalStorage(JournalFileBackend(str(path)))
    assert [trial.value for trial in plain.get_all_trials(0)] == [0.0, 1.0]
    assert isinstance(StudyJournal(path), JournalFileBackend)
