"""Whether the files of a data set are still those that were imported, and what became of them."""

from seglab.data.freshness.agreement import disagreements, require_files, with_mask_hashes
from seglab.data.freshness.changes import describe_changes, file_changes
from seglab.data.freshness.hashes import FileHashes

__all__ = [
    "FileHashes",
    "describe_changes",
    "disagreements",
    "file_changes",
    "require_files",
    "with_mask_hashes",
]
