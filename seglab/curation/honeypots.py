"""Work lists for annotators with honeypots among them: images whose mask is known already.

Every list is a folder as the annotation tool takes it, nothing in it annotated, its images under names
that tell nothing. The bytes of the images stay as they are, so scores on gold find honeypots by their
SHA-256, whatever they are called; and what a camera wrote into the files stays too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglab.annotations.format import AnnotationFormat
from seglab.core.disk.files import hash_json, write_json
from seglab.core.errors import ConfigError, DataError, list_problems, nearest
from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.data.annotated.export import ExportSettings, export_manifest
from seglab.data.manifest import Manifest
from seglab.data.remote import common_root, name_below

KEY_NAME = "honeypots.json"
SCHEMA = 1


@dataclass(frozen=True)
class WorkPlan:
    """Who gets what.

    Args:
        annotators: Their names; each is the name of a folder.
        share: Share of every list that is honeypots.
        shared: Images that all annotators get, so that their agreement can be told.
        seed: The same seed deals the same.
    """

    annotators: tuple[str, ...]
    share: float = 0.1
    shared: int = 0
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: With everything that is wrong.
        """
        problems = [
            f"--annotators: {name!r} cannot be the name of a folder"
            for name in self.annotators
            if not name.strip() or name.startswith(".") or {"/", "\\"} & set(name)
        ]
        folders = Counter(name.casefold() for name in self.annotators)
        problems += [f"--annotators: {name} is named twice" for name, n in folders.items() if n > 1]
        if not 0.0 < self.share < 1.0:
            problems.append(f"--share: expected a number between 0 and 1, got {self.share}")
        if self.shared < 0:
            problems.append(f"--shared: expected 0 or more images, got {self.shared}")
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True)
class WorkItem:
    """One image of a list.

    Args:
        id: Its name in the list.
        sample_id: The sample it is.
        honeypot: Whether its mask is known.
        sha256: Of the bytes of the image; None: not known.
    """

    id: str
    sample_id: str
    honeypot: bool
    sha256: str | None


@dataclass(frozen=True, eq=False)
class WorkLists:
    """Lists that were written.

    Args:
        items: Annotator -> the images in the order of the list.
        unfit: Images of the gold set that could have been told by their looks as files.
        faults: Annotator and image -> why it was left out.
    """

    items: dict[str, list[WorkItem]]
    unfit: int
    faults: dict[str, str]


_Rows = list[tuple[Manifest, dict[str, Any]]]


def write_work_lists(
    manifest: Manifest,
    gold: Manifest,
    out: Path,
    plan: WorkPlan,
    make_format: Callable[[], AnnotationFormat],
    samples: Collection[str] | None = None,
) -> WorkLists:
    """Deal images to annotators, mix honeypots in at random places, and write a folder each.

    No image is in one list twice, and different annotators get different honeypots as far as there are
    enough. A honeypot has a suffix and a size that other images of the work have too, so that it cannot
    be told by them. `honeypots.json` beside the folders knows which is which, and is not for annotators.

    Args:
        manifest: Images to be annotated: those kept that have no mask. Images of the gold set are none.
        gold: Images with known masks.
        out: A new folder.
        plan: Who gets what.
        make_format: Returns the format of the annotation tool, anew for every list.
        samples: The `sample_id` of those to be annotated, with or without a mask; None: see `manifest`.

    Raises:
        ConfigError: The plan makes no sense.
        DataError: There is nothing to annotate, too few images in the gold set fit, or its classes are
            others.
    """
    plan.check()
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; give a new folder")
    _require_same_classes(manifest, gold)
    known = _known(gold)
    work = _work(manifest, {row["sha256"] for _, row in known}, samples)
    fitting = _alike(known, work)
    rng = generator("honeypots", plan.seed, manifest.fingerprint, gold.fingerprint)
    dealt = _deal(work, fitting, len(known) - len(fitting), plan, rng)
    prefix = hash_json([manifest.fingerprint, gold.fingerprint, plan.seed])[:6]
    items: dict[str, list[WorkItem]] = {}
    faults: dict[str, str] = {}
    for number, (annotator, rows) in enumerate(dealt.items(), start=1):
        ids = [f"{prefix}-{number}-{place:05d}" for place in range(1, len(rows) + 1)]
        listed = _listed(rows, ids, manifest.labels, annotator)
        report = export_manifest(listed, make_format(), out / annotator, ExportSettings())
        faults |= {f"{annotator}/{name}": text for name, text in report.faults.items()}
        items[annotator] = [
            WorkItem(name, str(row["sample_id"]), source is gold, row["sha256"])
            for name, (source, row) in zip(ids, rows, strict=True)
        ]
    lists = WorkLists(items, len(known) - len(fitting), faults)
    write_json(out / KEY_NAME, _key(lists, plan, manifest, gold))
    return lists


def _key(lists: WorkLists, plan: WorkPlan, manifest: Manifest, gold: Manifest) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "data": {"name": manifest.name, "fingerprint": manifest.fingerprint},
        "gold": {"name": gold.name, "fingerprint": gold.fingerprint},
        "plan": asdict(plan),
        "lists": {who: [asdict(one) for one in items] for who, items in lists.items.items()},
    }


def _require_same_classes(manifest: Manifest, gold: Manifest) -> None:
    own, known = manifest.labels.class_names, gold.labels.class_names
    if set(own) != set(known):
        raise DataError(
            f"the gold set {gold.name} has the classes {', '.join(known)}, {manifest.name} has "
            f"{', '.join(own)}; a honeypot is drawn in the classes of the work"
        )


def _rows_of(manifest: Manifest, table: pd.DataFrame) -> _Rows:
    records = table.sort_values("sample_id").to_dict(orient="records")
    return [(manifest, {str(key): value for key, value in row.items()}) for row in records]


def _known(gold: Manifest) -> _Rows:
    table = gold.table[gold.table["keep"] & gold.table["mask"].notna()]
    return _rows_of(gold, table[table["sha256"].notna()].drop_duplicates("sha256"))


def _work(manifest: Manifest, known: Collection[str], samples: Collection[str] | None) -> _Rows:
    table = manifest.table[manifest.table["keep"]]
    if samples is None:
        table = table[table["mask"].isna()]
    else:
        there = set(table["sample_id"])
        missing = [f"{name!r}{nearest(name, there)}" for name in samples if name not in there]
        if missing:
            raise DataError(list_problems("there are no such samples to annotate", missing))
        table = table[table["sample_id"].isin(list(samples))]
    table = table[~table["sha256"].isin(list(known))]
    if table.empty:
        raise DataError(
            f"{manifest.name} has no images to annotate: none of them is without a mask and outside "
            "the gold set; name those to be annotated anew with --samples FILE"
        )
    return _rows_of(manifest, table)


def _alike(known: _Rows, work: _Rows) -> _Rows:
    """Return the files that cannot be told from the work by their suffix and size."""
    suffixes = {Path(row["image"]).suffix for _, row in work}
    sizes = Counter((row["height"], row["width"]) for _, row in work)
    # Where images of the work have sizes of their own, one more tells nothing.
    any_size = sum(number == 1 for number in sizes.values()) > 1
    return [
        (source, row)
        for source, row in known
        if Path(row["image"]).suffix in suffixes
        and (any_size or (row["height"], row["width"]) in sizes)
    ]


def _deal(
    work: _Rows, gold: _Rows, unfit: int, plan: WorkPlan, rng: np.random.Generator
) -> dict[str, _Rows]:
    if plan.shared > len(work):
        raise ConfigError(f"--shared: there are {len(work)} images to annotate, got {plan.shared}")
    order = [work[index] for index in rng.permutation(len(work))]
    shared, rest = order[: plan.shared], order[plan.shared :]
    people = len(plan.annotators)
    own = {who: [*shared, *rest[place::people]] for place, who in enumerate(plan.annotators)}
    if empty := [who for who, rows in own.items() if not rows]:
        raise ConfigError(
            f"--annotators: {len(work)} images are too few for {people}; {', '.join(empty)} would get none"
        )
    wanted = {who: _honeypots(len(rows), plan.share) for who, rows in own.items()}
    most = max(wanted.values())
    if most > len(gold):
        looks = f" ({unfit} more could be told by suffix or size)" if unfit else ""
        raise DataError(
            f"{most} honeypots a list are asked for, {len(gold)} images of the gold set fit{looks}; "
            "lower --share, or give more annotators shorter lists"
        )
    ring = [gold[index] for index in rng.permutation(len(gold))]
    first, dealt = 0, {}
    for who, rows in own.items():
        chosen = [ring[(first + place) % len(ring)] for place in range(wanted[who])]
        first += wanted[who]
        mixed = [*rows, *chosen]
        dealt[who] = [mixed[index] for index in rng.permutation(len(mixed))]
    return dealt


def _honeypots(work: int, share: float) -> int:
    """Return how many honeypots beside so much work are the share of the whole, at least 1."""
    return max(1, math.ceil(share / (1.0 - share) * work - 1e-9))


def _listed(rows: _Rows, ids: Sequence[str], labels: LabelSpace, annotator: str) -> Manifest:
    """Return a list as a manifest whose rows are alike but for the image."""
    root = common_root([source.root for source, _ in rows])
    alike: dict[str, Any] = {
        "mask": None,
        "mask_sha256": None,
        "class_pixels": [],
        "split": "unlabeled",
    }
    alike |= {"annotator": None, "tags": [], "flags": [], "keep": True}
    table = [
        {
            **row,
            **alike,
            "sample_id": name,
            "group": name,
            "image": name_below(root, source.path(row["image"])),
        }
        for name, (source, row) in zip(ids, rows, strict=True)
    ]
    return Manifest(pd.DataFrame(table), labels, root, annotator, "index", {})
