"""Images that are there twice, and those of them that make scores look better than they are."""

from __future__ import annotations

from collections.abc import Iterable

from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample


@check(
    Kind(
        "exact_duplicate", "warning", "The image file is byte for byte another one.", "cap", "files"
    )
)
class DuplicateCheck:
    """Compares the hashes of files."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._first: dict[str, str] = {}

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Report a file that was seen before."""
        digest = sample.sha256[0]
        if digest is not None:
            first = self._first.setdefault(digest, sample.sample_id)
            if first != sample.sample_id:
                yield Finding("exact_duplicate", sample.sample_id, "the same bytes", other=first)

    def close(self) -> Iterable[Finding]:
        """Nothing is left to say."""
        return ()
