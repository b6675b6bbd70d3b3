"""README and the pages as a reader sees them: their blocks of code, with what each block's tag promises.

A block of commands or code says behind its language whether it runs, in a form that GitHub passes over and
the site shows below the block:

- `{.run}`: a test runs it, as it stands;
- `{.checked}`: commands of seglab that would take long here; a test reads their words as the command would;
- `{.not-run data-why="needs Docker"}`: neither, and why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAGS = ("run", "checked", "not-run")
TAGGED = ("bash", "python", "yaml")
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*/README.md")),
)
_FENCE = re.compile(r"^( *)```(\w+)(?: \{([^}\n]*)\})?\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: Path of the page below the repository.
        line: Where its fence stands, from 1.
        language: First word of the fence.
        attributes: What stands in braces behind it.
        code: What is between the fences.
    """

    page: str
    line: int
    language: str
    attributes: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def tags(self) -> list[str]:
        """The tags that its fence has; one in a sound page."""
        return [tag for tag in TAGS if f".{tag}" in self.attributes.split()]

    @property
    def why(self) -> str:
        """Why it does not run, for the reader."""
        found = re.search(r'data-why="([^"]+)"', self.attributes)
        return found[1] if found else ""

    def commands(self, places: Mapping[str, str] = {}) -> list[list[str]]:
        """Return the words of each line of shell, comments cut off and continued lines joined.

        Args:
            places: What stands in place of a name that the page gives as an example.
        """
        code = self.code.replace("\\\n", " ")
        for name, place in places.items():
            code = code.replace(name, shlex.quote(place))
        lines = code.splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        return [one for one in words if one]


def blocks(*languages: str, page: str | None = None) -> list[Block]:
    """Return the blocks of some languages, of all pages or of one."""
    found = []
    for path in PAGES if page is None else (ROOT / page,):
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = path.relative_to(ROOT).as_posix()
            found.append(Block(name, line, match[2], match[3] or "", match[4]))
    return [block for block in found if block.language in languages]
