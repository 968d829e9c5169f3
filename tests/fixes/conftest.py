from __future__ import annotations

from collections.abc import Iterator

import pytest
from fix_helpers import small_runner

from conformance.campaign.runner import Runner


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    with small_runner() as made:
        yield made
