"""Programs that execute Jinja templates, each in a worker process with limits."""

from conformance.engines.base import (
    Crashed,
    Engine,
    LimitExceeded,
    Limits,
    Outcome,
    Refused,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    engine_names,
    get_engine,
    register,
)
from conformance.engines.host import EngineHost, Host, Ticket

__all__ = [
    "Crashed",
    "Engine",
    "EngineHost",
    "Host",
    "LimitExceeded",
    "Limits",
    "Outcome",
    "Refused",
    "Rejected",
    "Rendered",
    "Request",
    "SyntaxProblem",
    "Ticket",
    "engine_names",
    "get_engine",
    "register",
]
