"""The frozen holdout: the images that every challenger is held against, known by their content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from seglab.core.disk.files import hash_json, sha256_bytes
from seglab.core.errors import ConfigError, DataError
from seglab.data.loading.decoding import SampleDecoder, SourceFiles
from seglab.data.manifest import Manifest
from seglab.deploy.registry.log import COMPARED, Entry
from seglab.metrics.jackknife import independent_groups


@dataclass(frozen=True)
class Holdout:
    """A split of a manifest.

    Attributes:
        manifest: Its data set.
        split: Its name.
    """

    manifest: Manifest
    split: str

    @classmethod
    def read(cls, path: Path, split: str) -> Holdout:
        """Read the labelled samples of a split.

        Raises:
            DataError: There are none, or there is no manifest.
        """
        found = cls(Manifest.read(path), split)
        if not found.sources:
            raise DataError(f"holdout: split '{split}' of {path} has no labelled images")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """16 digits for the content of images, masks and label space, wherever the files are."""
        rows = sorted([str(one.sha256), str(one.mask_sha256)] for one in self.sources)
        return hash_json([rows, self.manifest.labels.to_dict(), self.manifest.mask_encoding])

    @cached_property
    def sources(self) -> list[SourceFiles]:
        """Labelled samples, by `sample_id`."""
        names = set(self.manifest.split(self.split)["sample_id"])
        found = [one for one in self._decoder.sources() if one.sample_id in names]
        return [one for one in found if one.mask is not None]

    @property
    def groups(self) -> Sequence[str] | None:
        """Units of the intervals; None: images."""
        found = self.manifest.groups_of([one.sample_id for one in self.sources])
        return None if found is None or independent_groups(found) is None else found

    @property
    def tags(self) -> list[set[str]]:
        """Tags of each sample."""
        table = self.manifest.table.set_index("sample_id")["tags"]
        return [set(table[one.sample_id]) for one in self.sources]

    def samples(self) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield the bytes of each image and its mask, uint8 `(H, W)`.

        Raises:
            DataError: A file is not the one that the manifest stands for.
        """
        for source in self.sources:
            content, mask = source.image.read_bytes(), self._decoder.mask(source)
            if source.sha256 is not None and sha256_bytes(content) != source.sha256:
                raise DataError(f"holdout: {source.image} is not the file that was imported")
            if mask is None:
                raise DataError(f"holdout: {source.sample_id} lost its mask")
            yield content, mask

    @cached_property
    def _decoder(self) -> SampleDecoder:
        return SampleDecoder(self.manifest, None, 3)


def uses_before(holdout: Holdout, entries: Sequence[Entry], allow_new: bool) -> int:
    """Return how many comparisons were made on a holdout before.

    Raises:
        ConfigError: The registry's comparisons were made on another one.
    """
    compared = [one for one in entries if one.what == COMPARED]
    if compared and compared[-1].details["holdout"] != holdout.fingerprint and not allow_new:
        last = compared[-1]
        raise ConfigError(
            f"holdout: the {len(holdout.sources)} images of split '{holdout.split}' of "
            f"{holdout.manifest.name} ({holdout.fingerprint}) are not the frozen ones "
            f"({last.details['holdout']}, {last.details['images']} images, last used "
            f"{last.time[:10]}), so scores could not be compared; give holdout=MANIFEST with those, or "
            "new_holdout=true to begin with these"
        )
    return sum(one.details["holdout"] == holdout.fingerprint for one in compared)
