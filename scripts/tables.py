"""Write the tables of the documentation anew from what there is to choose from.

Between `<!-- table: NAME -->` and `<!-- end -->` a page of docs/ holds what this script writes; a test
fails where it does not. `--check` only says whether it does.

Example: python scripts/tables.py
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.config.language.locate import conf_dir
from seglab.config.language.sources import groups_of
from seglab.metrics.names import declared_scores

DOCS = Path(__file__).resolve().parents[1] / "docs"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# Chosen by `-m`, by a machine, or for a look only.
_LEFT_OUT = ("study", "paths", "debug", "experiment")


def groups_table() -> list[str]:
    """Return the groups of `seglab train` that offer a choice, one row each."""
    groups = groups_of("train", conf_dir()).items()
    rows = [
        f"| `{group}` | `{' '.join(choices)}` |"
        for group, choices in groups
        if len(choices) > 1 and group not in _LEFT_OUT
    ]
    return ["| group | choices |", "|---|---|", *rows]


def scores_table() -> list[str]:
    """Return the scores of a split that have a better end, one row each."""
    rows = [
        f"| `{score.name}{'/CLASS' if score.only_of_classes else ''}` | {score.sentence} "
        f"| {score.better} | {score.measured} |"
        for score in declared_scores()
        if score.better
    ]
    return ["| score | what it is | good | measured |", "|---|---|---|---|", *rows]


TABLES = {"groups": groups_table, "scores": scores_table}


def written(text: str) -> str:
    """Return a text with its tables as they should be."""

    def table(found: re.Match[str]) -> str:
        # Some tables are measured, and written by the script that measures.
        if found[2] not in TABLES:
            return found[0]
        return found[1] + "\n".join([*TABLES[found[2]](), found[3]])

    return _TABLE.sub(table, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check; return 1 where a check found a table that is not what it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    stale = 0
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if written(text) != text:
            stale = 1
            if not args.check:
                page.write_text(written(text), encoding="utf-8")
    return stale if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
