"""Which cache files by URL are read through: set by the configuration, else by the environment."""

from __future__ import annotations

import os
from pathlib import Path

from seglab.core.errors import ConfigError
from seglab.data.remote.file_cache import FileCache

CACHE_VARIABLE, LIMIT_VARIABLE = "SEGLAB_CACHE", "SEGLAB_FILE_CACHE_GB"
DEFAULT_GB = 10.0
_FOLDER = "files"
_chosen: FileCache | None = None


def use_file_cache(cache_dir: Path, limit_gb: float) -> FileCache:
    """Let this process, and what it forks, keep files by URL in a folder.

    Args:
        cache_dir: Folder of this machine's caches; the files lie in its `files/`.
        limit_gb: 10^9 bytes that they may have together; 0 keeps none.
    """
    global _chosen
    _chosen = FileCache(cache_dir.expanduser().absolute() / _FOLDER, int(limit_gb * 1e9))
    return _chosen


def file_cache() -> FileCache:
    """Return the cache of this process.

    Raises:
        ConfigError: The environment says a limit that is no number of 0 or more.
    """
    if _chosen is not None:
        return _chosen
    text = os.environ.get(LIMIT_VARIABLE, str(DEFAULT_GB))
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise ConfigError(f"{LIMIT_VARIABLE}: expected 0 or more GB, got {text!r}")
    return use_file_cache(Path(os.environ.get(CACHE_VARIABLE, "~/.cache/seglab")), limit)
