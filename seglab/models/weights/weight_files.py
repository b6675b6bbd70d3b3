"""Reading files that torch wrote, and saying in one sentence why one cannot be read.

torch's own errors speak of pickles, zip directories and its options; a person wants to know what the
file is instead: cut off, a web page, a folder, the whole pickled model.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from seglab.core.errors import CheckpointError

_ZIP = b"PK\x03\x04"
_HEAD = 256
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)|global ([\w.]+)")
_SHOWN = 40


def read_torch_file(path: Path) -> Any:
    """Return the content of a file that `torch.save` wrote, on the CPU, running no code in it.

    Raises:
        CheckpointError: It cannot be read; the message names the file and says why.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # Damaged files make torch raise nearly anything.
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a readable checkpoint: {why_unreadable(path, error)}"
        ) from error


def why_unreadable(path: Path, error: Exception) -> str:
    """Return what a file is that could not be read as weights."""
    if path.is_dir():
        return "it is a folder; give a file in it"
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as unread:
        return unread.strerror or str(unread)
    if not head:
        return "it is empty (0 bytes)"
    if head.startswith(_ZIP):
        return _why_zip(path, size, error)
    if head[8:9] == b"{" and path.suffix != ".safetensors":
        return "its content is of the kind safetensors; give it the suffix .safetensors"
    return _what_text(head) or _why_pickle(error) or _first_line(error)


def _why_zip(path: Path, size: int, error: Exception) -> str:
    # The directory of a zip archive stands at its end.
    if not zipfile.is_zipfile(path):
        return f"it is cut off after {size:,} bytes; copy or download it again"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.endswith("data.pkl") for name in names):
        return f"it is a zip archive of {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    return _why_pickle(error) or f"it is damaged ({_first_line(error)})"


def _why_pickle(error: Exception) -> str:
    found = _GLOBAL.search(str(error))
    if found is None:
        return ""
    return (
        f"it holds a pickled {found[1] or found[2]}, which is not loaded since it could run code; save "
        "the weights alone: torch.save(model.state_dict(), FILE)"
    )


def _what_text(head: bytes) -> str:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut in two.
        text = head[: error.start].decode() if error.start > len(head) - 4 else ""
    if not text or any(not (letter.isprintable() or letter.isspace()) for letter in text):
        return ""
    if text.startswith("version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file with 'git lfs pull'"
    if text.lstrip().lower().startswith(("<!doctype", "<html")):
        return "it is a web page, so its download failed"
    return f"it is a text file, which begins {' '.join(text.split())[:_SHOWN]!r}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
