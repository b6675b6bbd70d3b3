"""`python -m seglab.cli` is the command `seglab`."""

from __future__ import annotations

from seglab.cli.main import main

main()
