"""A paper that the code cites can be found: its module lists it with a DOI or an address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "seglab"
# "Guo et al., 2017", "Eigen and Fergus (2015)", "Berman, Rannen Triki and Blaschko, CVPR 2018".
_AUTHOR = r"[A-Z][a-z]+(?:-[A-Z][a-z]+)*"
_OTHERS = rf"(?:, {_AUTHOR}(?: {_AUTHOR})?)*(?: et al\.?| and {_AUTHOR}| & {_AUTHOR})"
_CITED = re.compile(rf"({_AUTHOR}){_OTHERS},?\s+\(?(?:[A-Z]+,? )?(?:19|20)\d\d")
_LISTED = re.compile(rf"^    ({_AUTHOR}).*: https://", re.MULTILINE)


def _first_authors(text: str) -> set[str]:
    return {found[1] for found in _CITED.finditer(re.sub(r"\s+#?\s*", " ", text))}


CITING = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if _first_authors(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_papers_are_listed_with_an_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head, _, references = text.partition("\nReferences:\n")
    missing = _first_authors(head + references.partition('"""')[2]) - set(
        _LISTED.findall(references.partition('"""')[0])
    )
    assert not missing, f"{path}: list {sorted(missing)} under References in the module's docstring"


def test_citations_are_seen() -> None:
    text = "Guo et al. (2017), Eigen and Fergus (2015), (Berman, Rannen Triki and\n  Blaschko, CVPR 2018)"
    assert _first_authors(text) == {"Guo", "Eigen", "Berman"}
    assert len(CITING) > 20
