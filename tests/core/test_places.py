"""Places that cannot be used and disks that are full: named, told once, nothing half-written."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from seglab.analysis.style import new_figure, save_figure
from seglab.core.disk.files import atomic_path, write_json, write_text
from seglab.core.disk.places import place_error
from seglab.core.errors import ConfigError, DiskFullError, PlaceError
from seglab.data.importers import import_dataset
from seglab.data.loading.cache import PackedCache
from seglab.engine.loop.checkpoint import AtomicCheckpointIO
from seglab.runs import RunRecord
from seglab.runs.history import HistoryFile

_LIMIT = 4096


@contextmanager
def small_files(size: int = _LIMIT) -> Iterator[None]:
    """Let the system refuse to write further into a file, as on a full disk (it says EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _figure(path: Path) -> None:
    figure = new_figure(4, 4)
    figure.subplots().imshow(np.random.default_rng(0).random((64, 64)))
    save_figure(figure, path)


def _array(path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.zeros(1_000_000))


def _table(path: Path) -> None:
    with atomic_path(path) as temporary:
        pd.DataFrame({"a": np.random.default_rng(0).random(50_000)}).to_parquet(temporary)


WRITERS: dict[str, Callable[[Path], None]] = {
    "text.json": lambda path: write_json(path, ["x" * 9000]),
    "figure.png": _figure,
    "array.npy": _array,
    "table.parquet": _table,
    "last.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint(
        {"state_dict": {"a": torch.zeros(100_000)}}, path
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_is_told_and_leaves_the_former_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("former")
    with small_files(), pytest.raises(DiskFullError, match=f"became full at {path}") as caught:
        WRITERS[name](path)
    assert (caught.value.path, caught.value.exit_code) == (path, 1)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"
    WRITERS[name](path)
    assert path.read_bytes() != b"former"


def test_history_that_meets_a_full_disk_keeps_its_whole_rows(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.csv")
    history.append({"epoch": 0, "note": "a"})
    with small_files(), pytest.raises(DiskFullError, match=r"history\.csv"):
        history.append({"epoch": 1, "note": "x" * 2 * _LIMIT})
    again = HistoryFile(tmp_path / "history.csv")
    again.append({"epoch": 1, "note": "b"})
    assert (tmp_path / "history.csv").read_text() == "epoch,note\n0,a\n1,b\n"


def test_cache_that_meets_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            shape = (64, 64, 3) if name == "images" else (64, 64)
            picture = rng.integers(0, 2, shape).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "data" / name / f"{index}.png")
    names = {"class_names": ["a", "b"]}
    manifest = import_dataset("folder", tmp_path / "data", tmp_path / "manifest", "toy", names)
    with small_files(), pytest.raises(DiskFullError, match=r"paths\.cache_dir"):
        PackedCache.open(manifest, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == []
    assert len(PackedCache.open(manifest, tmp_path / "cache")) == 4


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder with a file, a link to nowhere, links in a circle and a folder."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("/nowhere/at/all")
    (tmp_path / "circle").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/a/b.json", "file is a file, where a folder is needed"),
        ("link/b.json", "link is a link to /nowhere/at/all, which is not there"),
        ("link", "link is a link to /nowhere/at/all, which is not there"),
        ("circle/b.json", "its links lead in a circle"),
        ("folder", "it is a folder, where a file is needed"),
        (f"{'n' * 300}.json", "the name is longer than the file system takes"),
        ("/proc/nothing/b.json", "no such file or directory"),
    ],
)
def test_impossible_places_are_told_with_the_reason(places: Path, name: str, why: str) -> None:
    before = sorted(places.rglob("*"))
    with pytest.raises(PlaceError) as caught:
        write_text(places / name, "x")
    assert str(caught.value).startswith(f"{places / name} cannot be used: ")
    assert str(caught.value).endswith(why)
    assert caught.value.exit_code == 2
    assert sorted(places.rglob("*")) == before
    with pytest.raises(OSError, match="cannot be used"):
        write_text(places / name, "x")


def test_long_names_that_fit_are_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 120}.json"
    write_text(path, "x")
    assert path.read_text() == "x"


def test_links_are_written_through_and_devices_stay_devices(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    write_text(null, "gone")
    assert null.is_char_device()
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(DiskFullError):
        write_text(full, "gone")
    assert full.is_char_device()
    assert not list(tmp_path.glob(".*"))


def test_errors_about_no_place_are_not_explained_away(tmp_path: Path) -> None:
    assert place_error(ValueError("x")) is None
    assert place_error(ConnectionResetError(104, "reset")) is None
    assert place_error(OSError("odd")) is None
    with pytest.raises(FileNotFoundError, match="other"), atomic_path(tmp_path / "x"):
        raise FileNotFoundError(2, "gone", "other")


def test_record_in_an_impossible_folder_names_it(places: Path) -> None:
    with pytest.raises(PlaceError, match="file is a file"):
        RunRecord.create(
            places / "file" / "run", experiment="e", kind="train", config={}, config_yaml=""
        )


def test_figures_of_unknown_kind_are_refused(tmp_path: Path) -> None:
    for name in ("a.xyz", "a"):
        with pytest.raises(ConfigError, match=r"ending in \.png, \.pdf, \.svg"):
            _figure(tmp_path / name)
