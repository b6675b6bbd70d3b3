"""What is wrong with the new data, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seglab.bundle.loader import Bundle
from seglab.core.errors import ConfigError
from seglab.core.text.wording import joined, plural
from seglab.curation.audit import audit
from seglab.curation.known import KnownImages
from seglab.curation.registry import AuditInputs, choose_kinds
from seglab.curation.samples import read_sample
from seglab.data.manifest import Manifest
from seglab.deploy.retrain.holdout import Holdout
from seglab.deploy.retrain.labels import label_findings
from seglab.deploy.retrain.options import RetrainOptions

_TRAINED_ON = ("train", "val")
_NONE = ("none",)


@dataclass
class Checked:
    """What was found: sentences, those that stop the training and those to know."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain content."""
        return {"problems": self.problems, "notes": self.notes}


def require_same_classes(manifest: Manifest, holdout: Holdout, champion: Bundle) -> None:
    """Refuse data that the champion cannot be compared on.

    Raises:
        ConfigError: The classes are others.
    """
    wanted = list(champion.class_names)
    for key, one in (("data", manifest), ("holdout", holdout.manifest)):
        if list(one.labels.class_names) != wanted:
            raise ConfigError(
                f"{key}: {one.name} has the classes {joined(one.labels.class_names)}, the champion "
                f"{joined(wanted)}; models of other classes are not compared: train and export by hand, "
                "then seglab registry promote"
            )


def check_data(
    options: RetrainOptions,
    manifest: Manifest,
    holdout: Holdout,
    champion: Bundle,
    former: Manifest | None,
    tell: Callable[[str], None],
) -> Checked:
    """Audit the new data, look for images of the holdout in it, and for labels that look wrong.

    Args:
        options: What stops it.
        manifest: The new data.
        holdout: What must not be trained on.
        champion: Whose predictions the new labels are held against.
        former: What the champion was trained on; None: all labels are new.
        tell: Told the progress.
    """
    found = Checked()
    _audit_files(options, manifest, found)
    _look_for_holdout(manifest, holdout, found, tell)
    problems, notes = label_findings(options, _newly_labelled(manifest, former), champion)
    found.problems += problems
    found.notes += notes
    return found


def audited_kinds(options: RetrainOptions) -> list[str]:
    """Return the kinds of fault that stop it.

    Raises:
        ConfigError: There is no such kind or severity.
    """
    return [] if options.audit == _NONE else choose_kinds(options.audit, "audit")


def _audit_files(options: RetrainOptions, manifest: Manifest, found: Checked) -> None:
    kinds = audited_kinds(options)
    if not kinds:
        found.notes.append("the data was not audited (audit=none)")
        return
    everything = audit(AuditInputs(manifest), kinds)
    result = everything.without_quarantine()
    away = everything.table["sample_id"].nunique() - result.table["sample_id"].nunique()
    if away:
        found.notes.append(f"audit: {plural(away, 'faulty sample')} in quarantine, not trained on")
    for kind, count in result.counts().items():
        rows = result.table[result.table["kind"] == kind]
        names = joined(rows["sample_id"].drop_duplicates(), 3)
        found.problems.append(f"audit: {kind} in {plural(count, 'sample')} ({names})")
    for kind, why in result.left_out.items():
        found.notes.append(f"audit: {kind} was not looked for ({why})")
    if not result.counts():
        found.notes.append(
            f"audit: {plural(result.num_samples, 'sample')} looked at for {plural(len(kinds), 'kind')} "
            f"of fault, nothing{' else' if away else ''} found"
        )


def _look_for_holdout(
    manifest: Manifest, holdout: Holdout, found: Checked, tell: Callable[[str], None]
) -> None:
    known = KnownImages(holdout.manifest, [holdout.split])
    table = manifest.table[manifest.table["keep"] & manifest.table["split"].isin(_TRAINED_ON)]
    leaks = []
    for number, row in enumerate(table.to_dict(orient="records"), 1):
        named = {str(key): value for key, value in row.items()}
        image = read_sample(manifest, {**named, "mask": None}).image
        near = None if image is None else known.near(image)
        if near is not None:
            leaks.append(f"{row['sample_id']} shows {near[0]} ({near[1]:.2f})")
        tell(f"looking for images of the holdout: {number} of {len(table)}")
    if leaks:
        found.problems.append(
            f"holdout: {plural(len(leaks), 'image')} of train and val {'is' if len(leaks) == 1 else 'are'}"
            f" in it or nearly so: {joined(leaks, 3)}; take them out (keep, or seglab data clean)"
        )
    else:
        found.notes.append(
            f"none of {plural(len(table), 'image')} of train and val is in the holdout"
        )


def _newly_labelled(manifest: Manifest, former: Manifest | None) -> Manifest:
    table = manifest.table
    known = set() if former is None else set(former.table["mask_sha256"].dropna())
    is_new = table["mask"].notna() & ~table["mask_sha256"].isin(known)
    return manifest.with_table(
        table[is_new & table["keep"] & table["split"].isin(_TRAINED_ON)].reset_index(drop=True)
    )
