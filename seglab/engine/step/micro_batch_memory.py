"""What earlier trainings learnt about micro-batches: which sizes fit a device, and which do not.

A batch that does not fit is tried whole, in halves, in quarters and so on. That costs a failed step
or more in every training of a study, and under DDP the whole run, since one rank cannot shrink
alone. So failures are written down where all trainings of this machine find them.

What is remembered only leaves out attempts that would fail again. It never chooses a size between
two that are known, as bisecting would: batch normalisation sees the micro-batch, so 64 images that
trained in parts of 16 the first time would train otherwise in parts of 24 the next, and two seeds of
one configuration could not be compared. Halves give away little: never more than half of what fits.

Memory grows with the images held at once and, less, with the whole batch, which lies on the device
too. So one failure speaks for all larger pairs of both numbers, and one success for all smaller.

On a CPU whose process has a limit, what a failed attempt leaves in the heap counts as well, so that
the halving may end below what a new process could hold. The size it ended at is kept all the same:
it is safe, and the next run equals the first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seglab.core.disk.files import hash_json, write_json
from seglab.engine.step.micro_batch import part_sizes

log = logging.getLogger(__name__)

FOLDER = "micro_batches"
SCHEMA_VERSION = 1
_LOCK_TIMEOUT_S = 10.0

# Images of a batch on one device, and how many of them are held at once.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Known:
    """Pairs that fit and pairs that do not; none of either says what another one says already.

    Where two contradict each other the later one stands: other processes may have had a part of the
    device when the former was made.
    """

    fits: tuple[Pair, ...] = ()
    fails: tuple[Pair, ...] = ()

    def with_fit(self, pair: Pair) -> Known:
        """Return what is known once a training step with this pair has gone through."""
        fits = [known for known in self.fits if not _within(known, pair)]
        fails = tuple(known for known in self.fails if not _within(known, pair))
        return self if self.fit(pair) else Known((*sorted([*fits, pair]),), fails)

    def with_failure(self, pair: Pair) -> Known:
        """Return what is known once a step with this pair has run out of memory."""
        fails = [known for known in self.fails if not _within(pair, known)]
        fits = tuple(known for known in self.fits if not _within(pair, known))
        return self if self.fail(pair) else Known(fits, (*sorted([*fails, pair]),))

    def fit(self, pair: Pair) -> bool:
        """Whether a pair is known to fit."""
        return any(_within(pair, known) for known in self.fits)

    def fail(self, pair: Pair) -> bool:
        """Whether a pair is known not to fit."""
        return any(_within(known, pair) for known in self.fails)


class MicroBatchMemory:
    """Reads and writes what is known of one kind of training on one kind of device.

    One small JSON file a kind, written whole and under a lock, so that any number of trainings may
    share it. It only saves time: where it cannot be read or written there is a warning and the
    training goes on without.

    Args:
        cache_dir: Folder of this machine's caches; the files lie in its `micro_batches/`.
        facts: All that decides how much memory a step takes and how much there is.
    """

    def __init__(self, cache_dir: Path, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        self.path = cache_dir / FOLDER / f"{hash_json(self.facts)}.json"

    def known(self) -> Known:
        """Return what is known now."""
        try:
            content = json.loads(self.path.read_bytes())
            if content["schema_version"] != SCHEMA_VERSION:
                return Known()
            return Known(_pairs(content["fits"]), _pairs(content["fails"]))
        except FileNotFoundError:
            return Known()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(
                "%s cannot be read (%r); sizes of micro-batches are found anew", self.path, error
            )
            return Known()

    def start_size(self, batch_size: int, min_size: int = 1) -> int | None:
        """Return the first size of the halving that is not known to fail; None: the whole batch.

        Where even `min_size` is known to fail it is returned: the training says what is wrong.

        Args:
            batch_size: Images of a batch on one device.
            min_size: Fewest images the model can train on.
        """
        known, size = self.known(), batch_size
        while size > min_size and known.fail((batch_size, _held(batch_size, size, min_size))):
            size = max(size // 2, min_size)
        return size if size < batch_size else None

    def note_fit(self, batch_size: int, held: int) -> None:
        """Remember a pair that went through training steps."""
        self._note(lambda known: known.with_fit((batch_size, held)))

    def note_failure(self, batch_size: int, held: int) -> None:
        """Remember a pair that ran out of memory."""
        self._note(lambda known: known.with_failure((batch_size, held)))

    def _note(self, learn: Callable[[Known], Known]) -> None:
        before = self.known()
        if learn(before) == before:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), timeout=_LOCK_TIMEOUT_S):
                known = learn(self.known())
                write_json(
                    self.path,
                    {
                        "schema_version": SCHEMA_VERSION,
                        "of": self.facts,
                        "fits": known.fits,
                        "fails": known.fails,
                    },
                )
        except (OSError, Timeout) as error:
            log.warning(
                "%s cannot be written (%s); the next training does not know", self.path, error
            )


def _held(batch_size: int, size: int, min_size: int) -> int:
    return max(part_sizes(batch_size, size, min_size))


def _within(small: Pair, large: Pair) -> bool:
    """Whether a pair takes no more memory than another for certain."""
    return small[0] <= large[0] and small[1] <= large[1]


def _pairs(content: Any) -> tuple[Pair, ...]:
    return tuple((int(batch_size), int(held)) for batch_size, held in content)
