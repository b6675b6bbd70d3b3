"""What `seglab doctor` looks at; each part returns findings and changes nothing."""

from __future__ import annotations

from seglab.cli.diagnosis.finding import Finding, Status

__all__ = ["Finding", "Status"]
