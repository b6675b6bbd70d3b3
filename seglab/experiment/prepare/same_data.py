"""The data of a run, then and now: a number is only worth something on the data it is said of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.core.errors import DataError
from seglab.data.freshness import describe_changes, file_changes
from seglab.data.manifest import Manifest
from seglab.data.subset import whole_fingerprint
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE


def training_images_in(trained_on: Manifest, scored: Manifest, split: str) -> str | None:
    """Return a sentence on images of a held-out split that were trained on; None without any.

    Args:
        trained_on: What the scored run saw.
        scored: The scored data.
        split: The scored split; of `train` they are asked for by name.
    """
    images = scored.split(split)["sha256"].dropna()
    known = images.isin(trained_on.split("train")["sha256"].dropna())
    if split == "train" or not known.any():
        return None
    return (
        f"{int(known.sum())} of {len(images)} images of split '{split}' are byte for byte images "
        "the run was trained on, so scores look better than on new data"
    )


def require_same_data(record: RunRecord, now: Manifest, remedy: str) -> None:
    """Refuse to go on with a run, or to score it, on data that changed since it began.

    Args:
        record: The run; one that has not seen its data yet is of any.
        now: What `data` names now.
        remedy: What to do if the change is meant.

    Raises:
        DataError: The data changed; the folder is named, what changed in it, and what to do.
    """
    then = record.read()["dataset_fingerprint"]
    if then is None or now.is_of(then):
        return
    changes = _changes(record.run_dir / "manifest", then, now)
    raise DataError(
        f"the data under {now.root} changed since {record.run_dir} began{changes}: fingerprint "
        f"{then} then, {now.fingerprint} now. Put the files back as they were, or {remedy}"
    )


def require_same_data_as_other_trials(record: RunRecord, now: Manifest) -> None:
    """Refuse a trial on data that changed since its study began, for a study compares its trials.

    Args:
        record: A training or cross-validation; only a trial of a study is checked.
        now: What its `data` names now, or the part of it that it trains on.

    Raises:
        DataError: A trial with the same `data` was trained on other files.
    """
    own = record.read()
    other = None if own["parent"] is None else _first_alike(record.run_dir, own)
    if other is None:
        return
    former = Manifest.read(other / "manifest")
    # What a former version of seglab recorded does not tell of masks.
    if (
        whole_fingerprint(former) == whole_fingerprint(now)
        or former.table["mask_sha256"].isna().all()
    ):
        return
    changes = ", ".join(file_changes(former, now))
    raise DataError(
        f"the data under {now.root} changed since the study began, and its trials are compared with "
        f"each other ({other.name} had fingerprint {whole_fingerprint(former)}, now it is "
        f"{whole_fingerprint(now)}{': ' + changes if changes else ''}). Put the files back as they "
        "were, or start a study of another name (study.name)"
    )


def _first_alike(run_dir: Path, own: Mapping[str, Any]) -> Path | None:
    """Return the first record beside one that has its parent and its data, and has seen them."""
    for folder in sorted(run_dir.parent.iterdir()):
        if folder == run_dir or not (folder / RECORD_FILE).is_file():
            continue
        content = RunRecord.open(folder).read()
        seen = content["dataset_fingerprint"] is not None
        if seen and content["parent"] == own["parent"] and _data(content) == _data(own):
            return folder
    return None


def _data(content: Mapping[str, Any]) -> dict[str, Any]:
    data = content["config"]["data"]
    return {key: data.get(key) for key in ("name", "importer", "root", "manifest", "options")}


def _changes(snapshot: Path, then: str, now: Manifest) -> str:
    try:
        former = Manifest.read(snapshot)
    except DataError:
        return ""
    changes = describe_changes(former, now) if former.is_of(then) else []
    return f" ({', '.join(changes)})" if changes else ""
