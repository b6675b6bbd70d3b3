"""Images built by buildah as root, on a base that debootstrap makes: for machines without a registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/python:3.11-slim-bookworm"
_PLAIN = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where layers are copied whole (vfs), those of both images come to 11 GB.
_ROOM = 15 * 10**9
_KEPT = "SEGLAB_TEST_IMAGES"  # a folder that keeps base, packages and layers for the next run


def skip_without_means(folder: Path) -> None:
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not there; Debian has packages of these names")
    if os.geteuid():
        pytest.skip("only root may build images here")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        pytest.skip(f"images need {_ROOM / 1e9:.0f} GB of disk, and {free / 1e9:.0f} are free")


class Images:
    """A store of images of its own.

    Args:
        folder: Holds it, where SEGLAB_TEST_IMAGES names no other.
    """

    def __init__(self, folder: Path) -> None:
        self.is_kept = _KEPT in os.environ
        self.folder = Path(os.environ.get(_KEPT, folder))
        self.driver = "overlay"
        if subprocess.run(
            self._words("from", "scratch"), env=self._env, capture_output=True
        ).returncode:
            self.driver = "vfs"  # slower, and everywhere

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "STORAGE_DRIVER": self.driver}

    def _words(self, *words: str) -> list[str]:
        store, run = self.folder / "store", self.folder / "run"
        return ["buildah", "--root", str(store), "--runroot", str(run), *words]

    def do(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self._words(*words), env=self._env, capture_output=True, text=True)
        assert not check or done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def make_base(self) -> None:
        """Make what stands for the Dockerfile's base: Debian with its Python, and pip as an image has it."""
        if self.do("inspect", "--type", "image", BASE, check=False).returncode == 0:
            return
        archive = self.folder / "base.tar"
        if not archive.exists():
            root = self.folder / "root"
            packages = "--include=python3,python3-venv,ca-certificates"
            _run("debootstrap", "--variant=minbase", packages, "bookworm", str(root))
            _run("chroot", str(root), "python3", "-m", "venv", "/opt/tools")
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            (root / "usr/local/bin/pip").symlink_to("/opt/tools/bin/pip")
            (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
            cut = ("proc/*", "sys/*", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*")
            left_out = [f"--exclude=./{one}" for one in cut]
            _run("tar", "-C", str(root), *left_out, "-cf", str(archive), ".")
            _remove(root)
        made = self.do("from", "scratch").stdout.strip()
        self.do("add", "--quiet", made, str(archive), "/")
        self.do("config", "--env", f"PATH={_PLAIN}", made)
        self.do("commit", "--quiet", "--rm", made, BASE)

    def wheels(self) -> Path:
        """Return a folder of what the Dockerfile installs, so that its build needs no network."""
        folder = self.folder / "wheels"
        if not folder.is_dir():
            listed = sorted((ROOT / "scripts" / "container").glob("requirements*.txt"))
            words = [word for path in listed for word in ("--requirement", str(path))]
            pip = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder))
            platform = ("--python-version", "3.11", "--only-binary", ":all:")
            constraint = ("--constraint", str(ROOT / "constraints.txt"))
            _run(*pip, *platform, *constraint, *words, "hatchling")
        return folder

    def build(self, target: str) -> tuple[str, dict[str, Any]]:
        """Build a stage of the Dockerfile; return the image's name and its configuration."""
        name = f"localhost/seglab-{target}"
        options = ("--isolation", "chroot", "--format", "docker", "--layers", "--pull-never")
        mount = ("--volume", f"{self.wheels()}:/wheels:ro")
        self.do("bud", *options, *mount, "--target", target, "--tag", name, str(ROOT))
        found = json.loads(self.do("inspect", "--type", "image", name).stdout)
        return name, found["Docker"]["config"]

    def size(self, name: str) -> str:
        return self.do("images", "--format", "{{.Size}}", name).stdout.strip()

    @contextmanager
    def container(self, name: str) -> Iterator[Container]:
        made = self.do("from", "--pull-never", name).stdout.strip()
        try:
            yield Container(self, made)
        finally:
            self.do("rm", made)

    def close(self) -> None:
        self.do("rm", "--all", check=False)
        if self.is_kept:
            return
        self.do("rmi", "--all", "--force", check=False)
        _remove(self.folder)


class Container:
    """One of an image, in which programs run."""

    def __init__(self, images: Images, name: str) -> None:
        self._images, self._name = images, name

    def _words(self, words: list[str], *options: str) -> tuple[str, ...]:
        return ("run", "--isolation", "chroot", *options, self._name, "--", *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._images.do(*self._words(list(words)), check=False)

    def start(self, words: list[str], *options: str) -> subprocess.Popen[bytes]:
        """Start a program, as the container's first."""
        found = self._images._words(*self._words(words, *options))
        return subprocess.Popen(found, env=self._images._env, stdout=subprocess.DEVNULL)


def first_of(started: subprocess.Popen[bytes], word: str) -> psutil.Process | None:
    """Return the container's first process: its command has the word, and buildah is not part of it."""
    for one in psutil.Process(started.pid).children(recursive=True):
        command = one.cmdline()
        if word in command and not any("buildah" in part for part in command[:1]):
            return one
    return None


def _remove(folder: Path) -> None:
    """Remove what is there, but nothing that is mounted below it."""
    _run("rm", "--recursive", "--force", "--one-file-system", str(folder))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
