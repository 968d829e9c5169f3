"""The protocols by name, and which of them a server speaks."""

from __future__ import annotations

from conformance.errors import UnjudgedError, UsageError
from conformance.servers.base import ServerProtocol
from conformance.servers.client import Client
from conformance.servers.llama_server import LlamaServer
from conformance.servers.ollama import Ollama
from conformance.servers.prompt_tokens import PromptTokens
from conformance.servers.tgi import Tgi
from conformance.servers.vllm import TensorRtLlm, Vllm

# In this order a server is tried: what answers without generating and is told apart most surely comes first.
_PROTOCOLS: tuple[type[ServerProtocol], ...] = (LlamaServer, Ollama, Tgi, Vllm, TensorRtLlm, PromptTokens)


def protocol_names() -> list[str]:
    """Return the names of all protocols."""
    return [protocol.name for protocol in _PROTOCOLS]


def get_protocol(name: str) -> ServerProtocol:
    """Return the protocol called `name`.

    Raises UsageError when there is none.
    """
    for protocol in _PROTOCOLS:
        if protocol.name == name:
            return protocol()
    raise UsageError(f"--server {name} is no protocol; choose from {', '.join(protocol_names())}.")


def recognise(client: Client) -> ServerProtocol:
    """Return the protocol that a server speaks.

    Raises GoneError when nothing answers, UnjudgedError when it speaks none of them.
    """
    for protocol in _PROTOCOLS:
        made = protocol()
        if made.recognises(client):
            return made
    raise UnjudgedError(
        f"{client.base} answers, but speaks none of the protocols {', '.join(protocol_names())}; "
        "name it with --server, or correct the address."
    )
