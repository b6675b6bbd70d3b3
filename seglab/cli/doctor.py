"""`seglab doctor`: looks at the machine and what is installed, and says what to change."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence

from seglab.cli.diagnosis import Finding, Status
from seglab.cli.diagnosis.devices import check_devices
from seglab.cli.diagnosis.gpu import check_gpu
from seglab.cli.diagnosis.packages import (
    check_fit,
    check_hydra_plugins,
    check_versions,
    installed_versions,
)
from seglab.cli.diagnosis.places import check_places, check_tracking

_STYLES: dict[Status, str] = {"ok": "green", "note": "yellow", "bad": "red"}


def run(argv: Sequence[str]) -> int:
    """Print all findings; return 0, or 1 where something will fail."""
    args = build_parser().parse_args(argv)
    findings = diagnose(measure_gpu=args.gpu)
    if args.json:
        content = [dataclasses.asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    else:
        print_findings(findings)
    return int(any(finding.status == "bad" for finding in findings))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = argparse.ArgumentParser(prog="seglab doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--gpu", action="store_true", help="measure the GPU too: products, copies, loader workers"
    )
    return parser


def diagnose(measure_gpu: bool = False) -> list[Finding]:
    """Return all findings; a check that fails itself is a finding, not the end."""
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("packages", lambda: check_versions(installed_versions())),
        ("packages", check_fit),
        ("packages", check_hydra_plugins),
        ("devices", check_devices),
        ("places", check_places),
        ("tracking", check_tracking),
        *([("gpu", check_gpu)] if measure_gpu else []),
    ]
    findings = []
    for area, check in checks:
        try:
            findings += list(check())
        except Exception as error:  # noqa: BLE001 - a broken machine is what this looks for
            text = f"{type(error).__name__}: {error}"
            findings.append(Finding(area, "check", "bad", text, "mend this first, then try again"))
    return findings


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a table, and below it what to do."""
    from seglab.core.text.terminal import PlainTable, literal, open_console, say, show

    console = open_console()
    table = PlainTable(box=None, pad_edge=False, show_header=False)
    for column in ("area", "name", "status", "text"):
        table.add_column(column, overflow="fold")
    area = ""
    for finding in findings:
        shown = finding.area if finding.area != area else ""
        area = finding.area
        status = literal(finding.status, _STYLES[finding.status])
        table.add_row(shown, finding.name, status, finding.text)
    show(console, table)
    advised = [finding for finding in findings if finding.advice]
    for finding in advised:
        mark = (finding.status, _STYLES[finding.status])
        say(console, mark, f" {finding.name}: {finding.advice}")
    if not advised:
        say(console, "nothing to mend")
