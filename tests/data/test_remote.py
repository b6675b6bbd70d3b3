"""Images and masks by URL: the same samples, a cache that keeps its limit, no secrets on paper."""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from seglab.cli.main import run
from seglab.config.compose import compose
from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.freshness import FileHashes, disagreements, require_files
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.dataset import SegmentationDataset
from seglab.data.loading.streamed import StreamedSamples
from seglab.data.manifest import Manifest
from seglab.data.remote import RemotePath, client, place_of, use_file_cache
from seglab.data.remote.client import RemoteError
from seglab.data.remote.file_cache import FileCache
from seglab.experiment.parts import with_absolute_paths

FORK = multiprocessing.get_context("fork")
LABELS = LabelSpace(("a", "b", "c"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path) -> Any:
    yield use_file_cache(tmp_path / "cache", 1.0)
    use_file_cache(tmp_path / "cache", 1.0)


@pytest.fixture
def local(tmp_path: Path) -> Manifest:
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    samples = []
    for number in range(4):
        size, name = (12 + number, 16), f"s{number}"
        for kind in ("image", "mask"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(root / f"image/{name}.png")
        Image.fromarray(rng.integers(0, 3, size, np.uint8)).save(root / f"mask/{name}.png")
        files = root / f"image/{name}.png", root / f"mask/{name}.png"
        samples.append(SampleFiles(name, *files, "train" if number else "val", name))
    return build_manifest(ImportedFiles(samples, LABELS), root, "tiny", {"importer": "folder"})


def moved(local: Manifest, url: str, tmp_path: Path) -> Manifest:
    """The same data set with its files in a store."""
    client_of, place = fsspec.core.url_to_fs(url)
    for path in local.root.rglob("*.png"):
        client_of.pipe_file(f"{place}/{path.relative_to(local.root)}", path.read_bytes())
    local.write(tmp_path / "manifest")
    return Manifest.read(tmp_path / "manifest", Path(url))


@pytest.fixture
def remote(local: Manifest, tmp_path: Path) -> Manifest:
    return moved(local, f"memory://store/{tmp_path.name}", tmp_path)


def test_samples_by_url_are_those_on_disk(
    local: Manifest, remote: Manifest, tmp_path: Path
) -> None:
    assert remote.fingerprint == local.fingerprint
    assert isinstance(remote.root, RemotePath)
    packed = PackedCache.open(local, tmp_path / "packed", (10, 9))
    streamed = pickle.loads(pickle.dumps(StreamedSamples(remote, (10, 9))))  # noqa: S301
    assert streamed.rows(packed.sample_ids) == list(range(4))
    for row in range(4):
        assert packed.image_hw(row) == streamed.image_hw(row)
        assert packed.mask_hw(row) == streamed.mask_hw(row)
        np.testing.assert_array_equal(packed.image(row), streamed.image(row))
        np.testing.assert_array_equal(packed.mask(row), streamed.mask(row))
    # Written with the URL as its root, and read back.
    remote.write(tmp_path / "again")
    assert Manifest.read(tmp_path / "again").root == remote.root


def test_single_files_may_have_a_url(local: Manifest, remote: Manifest, tmp_path: Path) -> None:
    table = local.table.copy()
    table.loc[1, "image"] = str(remote.root / table.loc[1, "image"])
    mixed = local.with_table(table)
    assert mixed.is_remote
    assert not local.is_remote
    store = StreamedSamples(mixed)
    expected = StreamedSamples(remote)
    for row in range(4):
        np.testing.assert_array_equal(store.image(row), expected.image(row))
    assert disagreements(mixed, FileHashes(mixed.root)) == {}


def test_what_changed_or_went_in_the_store_is_named(remote: Manifest, tmp_path: Path) -> None:
    store, _ = fsspec.core.url_to_fs(str(remote.root))
    first, second = (str(remote.root / name) for name in remote.table["image"][:2])
    samples = StreamedSamples(remote)
    samples.image(0)
    store.pipe_file(first, b"changed")
    # The version that was imported is still here.
    samples.image(0)
    use_file_cache(tmp_path / "other", 1.0)
    with pytest.raises(DataError, match=rf"{first}: not the file that was imported"):
        samples.image(0)
    hashes = FileHashes(remote.root, tmp_path / "hashes.json")
    require_files(remote, hashes, tmp_path, "")
    store.rm(second)
    wrong = disagreements(remote, hashes)
    assert wrong == {"image/s0.png": "changed since the import", "image/s1.png": "is missing"}
    with pytest.raises(DataError, match=rf"s1: {second}: no such file"):
        samples.image(1)
    with pytest.raises(DataError, match=r"image/s1.png is missing"):
        require_files(remote, hashes, tmp_path, "")


def test_a_file_is_fetched_once_as_long_as_it_stays(
    remote: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    monkeypatch.setattr(
        client, "fetch", lambda url, own=client.fetch: fetched.append(url) or own(url)
    )
    path = remote.root / "image/s0.png"
    content = path.read_bytes()
    assert path.read_bytes() == content
    # By the hash of the manifest too.
    assert StreamedSamples(remote).image(0).shape == (12, 16, 3)
    assert len(fetched) == 1
    store, _ = fsspec.core.url_to_fs(str(path))
    time.sleep(0.01)
    store.pipe_file(str(path), b"other")
    assert path.read_bytes() == b"other"


@pytest.mark.parametrize(
    "url", ["s3://someone:hidden@bucket/data", "https://host/data?signature=hidden"]
)
def test_credentials_are_refused_and_not_repeated(url: str, local: Manifest, capsys: Any) -> None:
    table = local.table.assign(image=[f"{url}/{n}.png" for n in range(4)])
    for attempt in (lambda: place_of(Path(url)), lambda: local.with_table(table)):
        with pytest.raises(DataError, match="by the environment") as refused:
            attempt()
        assert "hidden" not in str(refused.value)
    assert run(["data", "describe", str(local.write(local.root)), "--root", url]) == 2
    assert "hidden" not in capsys.readouterr().err
    with pytest.raises(ConfigError, match="by the environment") as refused:
        require_valid(compose([f"data.root='{url}'", "data=folder"]))
    assert "hidden" not in str(refused.value)


def test_a_store_that_does_not_answer_is_one_message(
    remote: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Forbidden: https://x/?X-Amz-Signature=hidden")

    store = client._client(str(remote.root))[0]
    monkeypatch.setattr(type(store), "cat_file", refuse)
    with pytest.raises(
        RemoteError, match=r"memory://.*s0.png cannot be read, the store refuses"
    ) as told:
        StreamedSamples(remote).image(0)
    assert "hidden" not in str(told.value)
    with pytest.raises(RemoteError, match="fsspec knows no nosuch://"):
        place_of("nosuch://a/b").read_bytes()


def test_a_folder_by_url_is_trained_on_with_its_manifest(tmp_path: Path) -> None:
    words = ["data=folder", "data.root=s3://bucket/data"]
    with pytest.raises(ConfigError, match="name that manifest as"):
        require_valid(compose(words))
    cfg = compose([*words, f"data.manifest={tmp_path}", "paths.file_cache_gb=0.5"])
    require_valid(cfg)
    assert with_absolute_paths(cfg).data.root == "s3://bucket/data"


# -- the cache of files


def content(number: int, size: int = 1000) -> tuple[str, bytes]:
    text = bytes([number]) * size
    return hashlib.sha256(text).hexdigest(), text


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("??/*"))


def test_the_least_recently_used_file_goes_first(tmp_path: Path) -> None:
    kept = FileCache(tmp_path / "files", 3000)
    for number in range(3):
        kept.put(*content(number))
    assert kept.get(content(0)[0]) == content(0)[1]
    kept.put(*content(3))
    assert [kept.get(content(number)[0]) is not None for number in range(4)] == [
        True,
        False,
        True,
        True,
    ]
    kept.put(*content(4, 3001))
    assert kept.get(content(4, 3001)[0]) is None
    assert size_of(kept.folder) == 3000


def _fill(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = FileCache(folder, 40_000)
    while True:
        digest, expected = content(int(rng.integers(40)), 4000)
        found = kept.get(digest)
        if found is None:
            kept.put(digest, expected)
        elif found != expected:
            (folder.parent / "torn").touch()


@contextmanager
def _held_still(pids: list[int]) -> Iterator[None]:
    """Stop processes: sizes read one after the other while files come and go belong to no moment."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_processes_that_are_killed_leave_no_half_file_and_keep_the_limit(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    most = 0
    for seed in range(2):
        workers = [FORK.Process(target=_fill, args=(folder, 10 * seed + one)) for one in range(3)]
        for worker in workers:
            worker.start()
        pids = [worker.pid for worker in workers if worker.pid is not None]
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            with _held_still(pids):
                most = max(most, size_of(folder))
            time.sleep(0.01)
        for worker in workers:
            worker.kill()
            worker.join()
    assert 20_000 < most <= 40_000
    assert not (tmp_path / "torn").exists()
    kept = FileCache(folder, 40_000)
    # Parts that the killed left are counted, and make room.
    for number in range(40):
        kept.put(*content(number, 4000))
        assert kept.get(content(number, 4000)[0]) == content(number, 4000)[1]
    assert size_of(folder) == 40_000
    assert not list(folder.glob("??/*.part"))


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "files").write_text("in the way")
    kept = FileCache(tmp_path / "files", 3000)
    for number in range(2):
        kept.put(*content(number))
        assert kept.get(content(number)[0]) is None
    assert [r.message.count("SEGLAB_CACHE") for r in caplog.records] == [1]


# -- a server that speaks S3


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("s3fs", "moto.server"):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            # Not in the lock: moto[server] wants another antlr4 than Hydra, so it goes behind ours.
            pytest.skip(f"{name} is not installed; moto[server] goes to the end of sys.path")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t-w0rd",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    yield server
    client._clients.clear()
    server.stop()


@pytest.mark.slow
def test_several_workers_read_from_s3(
    s3: Any, local: Manifest, tmp_path: Path, capsys: Any
) -> None:
    remote = moved(local, "s3://bucket/data", tmp_path)
    packed = PackedCache.open(local, tmp_path / "packed", (16, 16))
    streamed = StreamedSamples(remote, (16, 16))
    # The parent has a client of its own when it forks.
    streamed.image(0)
    use_file_cache(tmp_path / "fork", 1.0)
    loader = DataLoader(
        SegmentationDataset(streamed, [0, 1, 2, 3] * 3),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
    )
    for row, sample in enumerate(loader):
        expected = packed.image(row % 4).transpose(2, 0, 1)
        np.testing.assert_array_equal(sample["image"].numpy(), expected)
    folder = str(remote.write(tmp_path / "remote").parent)
    assert run(["data", "describe", folder]) == 0
    assert run(["data", "audit", folder]) in (0, 1)
    assert "missing" not in capsys.readouterr().out
    written = b"".join(path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())
    assert b"s3cr3t-w0rd" not in written
    # One folder tells all: which files are there, and what changed.
    assert disagreements(remote, FileHashes(remote.root)) == {}
    s3.stop()
    use_file_cache(tmp_path / "empty", 1.0)
    with pytest.raises(RemoteError, match=r"s3://bucket/data/\S+ cannot be read.*AWS_ENDPOINT_URL"):
        StreamedSamples(remote).image(1)
