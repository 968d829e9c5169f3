from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_helpers import SHORT
from hostile_engine import HostileEngine

from conformance.engines import EngineHost, Request


def request(*contents: str, date: str = "2025-06-28", **kwargs: Any) -> Request:
    messages = [{"role": "user", "content": content} for content in contents or ("hello",)]
    return Request(messages, None, kwargs, False, date)


@pytest.fixture(name="request_of")
def _request_of() -> Callable[..., Request]:
    return request


@pytest.fixture(scope="module")
def hostile() -> Iterator[EngineHost]:
    with EngineHost(HostileEngine.name, limits=SHORT) as host:
        yield host


@pytest.fixture(scope="module")
def plain() -> Iterator[EngineHost]:
    with EngineHost("jinja2", limits=SHORT) as host:
        yield host


@pytest.fixture(scope="module")
def transformers() -> Iterator[EngineHost]:
    with EngineHost("transformers", limits=SHORT) as host:
        yield host


@pytest.fixture(scope="module", params=["transformers", "jinja2"])
def host(request: pytest.FixtureRequest) -> EngineHost:
    fixture = {"transformers": "transformers", "jinja2": "plain"}[request.param]
    found: EngineHost = request.getfixturevalue(fixture)
    return found
