"""The decisions file: what people made up their minds about, as a review writes and `clean` reads it.

YAML or JSON:

    decisions:
      - {finding: 2f227a769cdb, do: drop, note: the same street twice}
      - {sample: scene_004, do: relabel, mask: corrected/scene_004.png}
      - {sample: scene_007, do: keep}
    merge_classes: {vehicle: [car, truck]}
    cap_duplicates: 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seglab.core.errors import DataError, DataNotFoundError, list_problems, nearest
from seglab.core.text.yaml_words import read_yaml_words, whole_number
from seglab.data.manifest import Manifest

DEEDS = ("drop", "keep", "relabel")
_KEYS = ("decisions", "merge_classes", "cap_duplicates")
_FIELDS = ("finding", "sample", "do", "mask", "note")


@dataclass(frozen=True)
class Decision:
    """One decision about one sample.

    Args:
        sample_id: The sample.
        do: `drop`: out of every split. `keep`: as it is, the flag of the finding goes. `relabel`: with
            `mask`, that mask from now on; without, flagged to be labelled anew.
        mask: Path of the new mask relative to the root.
        kind: Kind of the finding decided on; empty: of the sample as a whole.
        note: Why, in words.
    """

    sample_id: str
    do: str
    mask: str | None = None
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Decisions:
    """All decisions of a file.

    Args:
        each: By sample.
        merge_classes: New class -> the classes it is made of.
        cap_duplicates: How many copies of one picture stay; None: all.
    """

    each: tuple[Decision, ...] = ()
    merge_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cap_duplicates: int | None = None


def read_decisions(path: Path, manifest: Manifest, findings: pd.DataFrame) -> Decisions:
    """Read decisions about a manifest.

    Args:
        path: The file.
        manifest: What is decided about.
        findings: From its audit, for decisions that name a finding by id; may be empty.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no such file; everything wrong with it is listed.
    """
    if not path.is_file():
        raise DataNotFoundError(f"--decisions: there is no file {path}")
    try:
        content = read_yaml_words(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is neither YAML nor JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected the keys {', '.join(_KEYS)}, got {type(content).__name__}"
        )
    problems = [
        f"unknown key {key!r}{nearest(str(key), _KEYS)}" for key in content if key not in _KEYS
    ]
    rows = zip(findings["id"], findings["sample_id"], findings["kind"], strict=True)
    known = {str(one): {"sample_id": str(name), "kind": str(kind)} for one, name, kind in rows}
    samples = set(manifest.table["sample_id"])
    each: dict[tuple[str, str], Decision] = {}
    entries = content.get("decisions") or []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        made = _decision(entry, known, samples)
        if isinstance(made, str):
            problems.append(f"decision {number}: {made}")
            continue
        before = each.setdefault((made.sample_id, made.kind), made)
        if before.do != made.do:
            problems.append(
                f"decision {number}: {made.sample_id} is to {before.do} and to {made.do}"
            )
    merged = _merged(content.get("merge_classes") or {}, manifest, problems)
    cap = whole_number(content.get("cap_duplicates"))
    if content.get("cap_duplicates") is not None and not cap:
        given = content["cap_duplicates"]
        problems.append(f"cap_duplicates: expected a whole number from 1, got {given}")
    if problems:
        raise DataError(list_problems(f"{path} cannot be carried out", problems))
    return Decisions(tuple(each.values()), merged, cap)


def joined_decisions(decisions: Decisions, more: Iterable[Decision]) -> Decisions:
    """Return decisions with more of them.

    Raises:
        DataError: Both are about the same samples.
    """
    added = tuple(more)
    twice = {one.sample_id for one in decisions.each} & {one.sample_id for one in added}
    if twice:
        raise DataError(list_problems("samples are decided on and corrected too", sorted(twice)))
    return replace(decisions, each=(*decisions.each, *added))


def _decision(
    entry: object, known: Mapping[str, Mapping[str, str]], samples: set[str]
) -> Decision | str:
    """Return a decision, or what is wrong with it."""
    if not isinstance(entry, dict):
        return f"expected {{finding or sample, do}}, got {entry!r}"
    text = {str(key): None if value is None else str(value) for key, value in entry.items()}
    wrong = [key for key in text if key not in _FIELDS]
    if wrong:
        return f"unknown key {wrong[0]!r}{nearest(wrong[0], _FIELDS)}"
    if text.get("do") not in DEEDS:
        return f"do: expected one of {', '.join(DEEDS)}, got {entry.get('do')!r}"
    finding, sample = text.get("finding"), text.get("sample")
    if (finding is None) == (sample is None):
        return "name either a finding (its id) or a sample"
    if finding is not None and finding not in known:
        return f"no finding {finding}{nearest(finding, known)}; audit again or give --findings"
    if sample is not None and sample not in samples:
        return f"no sample {sample!r}{nearest(sample, samples)}"
    of = known[finding] if finding else {"sample_id": str(sample), "kind": ""}
    if text.get("mask") is not None and text["do"] != "relabel":
        return "mask goes with do: relabel"
    return Decision(
        of["sample_id"], str(text["do"]), text.get("mask"), of["kind"], text.get("note") or ""
    )


def _merged(given: Any, manifest: Manifest, problems: list[str]) -> dict[str, tuple[str, ...]]:
    names = manifest.labels.class_names
    is_lists = isinstance(given, dict) and all(isinstance(old, list) for old in given.values())
    if not is_lists or not all(one for new, old in given.items() for one in (new, *old)):
        problems.append(
            "merge_classes: expected {new class: [classes]}, such as {car: [van, truck]}"
        )
        return {}
    merged = {str(new): tuple(map(str, old)) for new, old in given.items()}
    parts = [one for old in merged.values() for one in old]
    problems += [
        f"merge_classes: no class {one!r}{nearest(one, names)}" for one in parts if one not in names
    ]
    problems += [
        f"merge_classes: {one} is named twice" for one in set(parts) if parts.count(one) > 1
    ]
    if merged and manifest.mask_encoding == "colour":
        problems.append(
            "merge_classes: masks of colours have one colour a class; save them as class indices first"
        )
    return merged
