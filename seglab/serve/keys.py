"""API keys: only their hashes are kept, and comparing them takes the same time whichever is right.

`python -m seglab.serve.keys NAME` makes a key and the line to keep of it. Keys are random and long, so a
plain SHA-256 of them is enough; a password would need a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.core.errors import ConfigError

VARIABLE = "SEGLAB_SERVE_KEYS"
_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})\s+(?P<hash>[0-9a-fA-F]{64})(?P<admin>\s+admin)?")


@dataclass(frozen=True)
class Key:
    """A key that may call the service.

    Attributes:
        name: Whose it is, for logs.
        digest: SHA-256 of it.
        admin: Whether it may reload the bundle.
    """

    name: str
    digest: bytes
    admin: bool


@dataclass(frozen=True)
class Keys:
    """Every key; without any, everybody may predict and nobody may reload over HTTP."""

    known: tuple[Key, ...] = ()

    def find(self, given: str) -> Key | None:
        """Return the key that a caller has, having compared it with all of them."""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        found = None
        for key in self.known:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def read_keys(path: str | None) -> Keys:
    """Return the keys of a file and of the environment.

    Args:
        path: The file; None: only the environment.

    Raises:
        ConfigError: A line is no key, or a name stands twice; the line itself is never shown.
    """
    sources = [(f"variable {VARIABLE}", os.environ.get(VARIABLE, "").replace(",", "\n"))]
    if path is not None:
        try:
            sources.append((path, Path(path).expanduser().read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"keys: {path} cannot be read: {type(error).__name__}") from error
    found: dict[str, Key] = {}
    problems = []
    for place, text in sources:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                problems.append(f"keys: {place}, line {number}: expected NAME SHA256 [admin]")
            elif match["name"] in found:
                problems.append(f"keys: {place}, line {number}: {match['name']} stands twice")
            else:
                digest = bytes.fromhex(match["hash"])
                found[match["name"]] = Key(match["name"], digest, bool(match["admin"]))
    if problems:
        raise ConfigError(problems)
    if path is not None and not found:
        raise ConfigError(f"keys: {path} holds no key, so nobody could call the service")
    return Keys(tuple(found.values()))


def new_key(name: str, admin: bool = False) -> tuple[str, str]:
    """Return a new key and the line to keep of it."""
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f"{name} {digest}{' admin' if admin else ''}"


def main(words: Sequence[str]) -> int:
    """Print a new key for NAME; `admin` after it lets it reload the bundle."""
    if len(words) not in (1, 2) or words[1:] not in ([], ["admin"]):
        sys.stderr.write("usage: python -m seglab.serve.keys NAME [admin]\n")
        return 2
    key, line = new_key(words[0], admin=len(words) == 2)
    if not _LINE.fullmatch(line):
        sys.stderr.write("expected a NAME of up to 64 letters, digits, and . _ @ -\n")
        return 2
    sys.stdout.write(f"key, shown only now:    {key}\nline of the keys file:  {line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
