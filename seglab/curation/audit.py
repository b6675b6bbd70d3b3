"""The audit: every sample read once, shown to every check, and what they found filed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from seglab.core.errors import ConfigError, nearest
from seglab.curation.alike.outliers import LEAST_VECTORS
from seglab.curation.findings import Finding, Kind, findings_table
from seglab.curation.registry import AuditInputs, RanksLabels, all_kinds, checks_of
from seglab.curation.samples import audited_rows, read_samples
from seglab.curation.versions import new_version
from seglab.data.manifest import Manifest

_LISTED = 5


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Args:
        manifest: What was audited.
        kinds: Kinds that were looked for, by name.
        table: Findings, see `findings_table`.
        num_samples: Samples looked at.
        left_out: Kind -> why it was not looked for, though asked for.
        label_ranking: All images by how likely their labels are wrong, see
            `seglab.curation.labels.ranking`; None where that was not looked for.
    """

    manifest: Manifest
    kinds: dict[str, Kind]
    table: pd.DataFrame
    num_samples: int
    left_out: dict[str, str]
    label_ranking: pd.DataFrame | None = None

    def counts(self) -> dict[str, int]:
        """Return how many samples each kind was found on; kinds not found are not in it."""
        pairs = self.table[["kind", "sample_id"]].drop_duplicates()
        found = Counter(pairs["kind"])
        return {name: found[name] for name in self.kinds if found[name]}

    def without_quarantine(self) -> Audit:
        """Return it with the findings on kept samples alone: nothing learns from the others."""
        samples = self.manifest.table
        kept = samples.loc[samples["keep"], "sample_id"]
        return replace(self, table=self.table[self.table["sample_id"].isin(kept)])


def audit(
    inputs: AuditInputs, only: Collection[str] = (), limits: Mapping[str, float] | None = None
) -> Audit:
    """Look for everything that is wrong with a data set.

    Args:
        inputs: What is looked at; without an encoder or predictions the kinds that need them are left
            out and named in `left_out`.
        only: Kinds to look for; all when empty.
        limits: Kind -> where its value begins to count, instead of its own limit.

    Raises:
        ConfigError: There is no such kind, or it has no limit.
    """
    kinds = {name: kind for name, kind in all_kinds().items() if not only or name in only}
    inputs = replace(inputs, limits=_limits(kinds, limits or {}))
    few = len(audited_rows(inputs.manifest)) < LEAST_VECTORS
    few_words = f"fewer than {LEAST_VECTORS} images do not show what is usual" if few else ""
    missing = {
        "encoder": inputs.no_encoder if inputs.embed is None else few_words,
        "folds": "no folds (--run with a cross-validation)" if inputs.folds is None else "",
        "predictions": "no predictions of a run (--run)" if inputs.predictions is None else "",
    }
    left_out = {name: missing[one.needs] for name, one in kinds.items() if missing.get(one.needs)}
    kinds = {name: kind for name, kind in kinds.items() if name not in left_out}
    running = [one(inputs) for one in checks_of(kinds)]
    findings: list[Finding] = []
    count = 0
    for sample in read_samples(inputs.manifest):
        count += 1
        for one in running:
            findings += one.see(sample)
    for one in running:
        findings += one.close()
    wanted = [one for one in findings if one.kind in kinds]
    rankings = [one.label_ranking for one in running if isinstance(one, RanksLabels)]
    table = findings_table(wanted, kinds)
    return Audit(inputs.manifest, kinds, table, count, left_out, next(iter(rankings), None))


def _limits(kinds: Mapping[str, Kind], given: Mapping[str, float]) -> dict[str, float]:
    limits = {name: one.limit for name, one in all_kinds().items() if one.limit is not None}
    wrong = [
        f"--limit: '{name}' is looked for and has no limit{nearest(name, limits)}"
        if name in kinds
        else f"--limit: '{name}' is not looked for{nearest(name, kinds)}"
        for name in given
        if name not in limits or name not in kinds
    ]
    if wrong:
        raise ConfigError(wrong)
    return {**limits, **given}


def flag(audited: Audit) -> Manifest:
    """Return the manifest with what was found in its column `flags`.

    Flags of kinds that were looked for and not found again go; all others stay as they are, and so
    does `keep`: what to do about a finding is decided elsewhere (`seglab.curation.cleaning`).
    """
    manifest, looked_for = audited.manifest, set(audited.kinds)
    found = audited.table.groupby("sample_id")["kind"].agg(lambda kinds: list(dict.fromkeys(kinds)))
    new = dict(found.items())
    table = manifest.table
    flags = [
        [one for one in old if one not in looked_for] + new.get(name, [])
        for name, old in zip(table["sample_id"], table["flags"], strict=True)
    ]
    table = table.assign(flags=pd.Series(flags, dtype=object))
    return new_version(manifest, table, "audit", {"found": audited.counts()})


def summary(audited: Audit) -> str:
    """Return what was found as text: a block a kind, the gravest first."""
    lines = [
        f"{audited.manifest.name}: {audited.num_samples} samples looked at for "
        f"{len(audited.kinds)} kinds of fault"
    ]
    kept = audited.without_quarantine().counts()
    for name, count in audited.counts().items():
        kind = audited.kinds[name]
        rows = audited.table[audited.table["kind"] == name]
        noun = "sample" if count == 1 else "samples"
        away = count - kept.get(name, 0)
        quarantined = f", {away} of them in quarantine" if away else ""
        lines.append(
            f"\n{kind.severity}: {name}, {count} {noun}{quarantined} "
            f"({kind.summary} Proposed: {kind.action})"
        )
        lines += [f"  {_line(row)}" for row in rows.head(_LISTED).to_dict(orient="records")]
        if len(rows) > _LISTED:
            lines.append(f"  ... and {len(rows) - _LISTED} more")
    if audited.table.empty:
        lines.append("nothing found")
    reasons: dict[str, list[str]] = {}
    for name, why in audited.left_out.items():
        reasons.setdefault(why, []).append(name)
    lines += [f"\nnot looked for: {', '.join(names)} ({why})" for why, names in reasons.items()]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[Any, Any]) -> str:
    other = f" = {row['other']}" if row["other"] else ""
    return f"{row['id']}  {row['sample_id']}{other}: {row['detail']}"


def failing(audited: Audit, kinds: Sequence[str]) -> list[str]:
    """Return those of the kinds that were found on samples that are not in quarantine."""
    return [name for name in audited.without_quarantine().counts() if name in kinds]
