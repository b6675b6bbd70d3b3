"""Files by URL (`s3://` and whatever fsspec knows), read through a cache on disk of limited size."""

from seglab.data.remote.path import RemotePath, below, common_root, name_below, place_of
from seglab.data.remote.settings import DEFAULT_GB, file_cache, use_file_cache
from seglab.data.remote.statuses import remote_statuses

__all__ = [
    "DEFAULT_GB",
    "RemotePath",
    "below",
    "common_root",
    "file_cache",
    "name_below",
    "place_of",
    "remote_statuses",
    "use_file_cache",
]
