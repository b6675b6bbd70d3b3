"""The service that the tests of its page share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.report.service import write_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("service")
    write_service(place)
    return place
