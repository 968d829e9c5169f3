"""What a protocol is: how one kind of server is asked for the prompt that it would use, without generating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from conformance.engines.base import Crashed, Outcome, Refused, Rendered, Request
from conformance.oracles.library import OracleRefusedError
from conformance.oracles.load import tokenizer
from conformance.servers.client import Answer, Client

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What a server says of itself: version, model, and the template that it really uses (None where it has none)."""

    version: str = ""
    model: str | None = None
    template: str | None = None
    model_file: str | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt as tokens alone."""

    tokens: tuple[int, ...]


# Threads ask, and only then one reads the tokens: not every library of Harmony may be used by several.
Prompt = Outcome | Tokens


class ServerProtocol(Protocol):
    """One kind of server; subclass it, and list it in `conformance.servers.protocols`.

    `shapes` name what it is sent: requests as clients write them, for what becomes of them is what is asked.
    """

    name: ClassVar[str]
    shapes: ClassVar[tuple[str, ...]] = ("openai",)
    # Whether its body is a chat-completions request, so that one can be handed on as it was sent.
    chat: ClassVar[bool] = True
    # Where the prompt is asked for.
    path: ClassVar[str]

    def recognises(self, client: Client) -> bool:
        """Return whether the server at the other end speaks this protocol; must not make it generate."""
        ...

    def about(self, client: Client) -> About:
        """Return what the server says of itself."""
        ...

    def loses(self, request: Request) -> str | None:
        """Return what of a request this server cannot be asked at all, or None."""
        return None if request.add_generation_prompt else "the server always asks for a generation prompt"

    def body(self, request: Request, model: str | None) -> Body:
        """Return the body that asks for a request's prompt."""
        return chat_body(request, model)

    def sent(self, body: Body) -> Body:
        """Return what asks for the prompt of a chat-completions body that a client sent; for those that take one."""
        return body

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for the prompt of a body, which is JSON.

        Raises GoneError when the server answers no more.
        """
        ...


def chat_body(request: Request, model: str | None) -> Body:
    """Return a request as a chat-completions body; what has no field of its own goes into `chat_template_kwargs`."""
    body: Body = {} if model is None else {"model": model}
    body["messages"] = request.messages
    if request.tools is not None:
        body["tools"] = request.tools
    more = dict(request.kwargs)
    if "reasoning_effort" in more:
        body["reasoning_effort"] = more.pop("reasoning_effort")
    if more:
        body["chat_template_kwargs"] = more
    if not request.add_generation_prompt:
        body["add_generation_prompt"] = False
    return body


def failed(answer: Answer) -> Outcome:
    """Return what an HTTP error means: the server refuses the request (4xx), or fails at it."""
    said = f"HTTP {answer.status}: {answer.error}"
    return Refused(said) if answer.status < 500 else Crashed(f"HTTP {answer.status}", answer.error, None)


def from_tokens(tokens: Any) -> Prompt:
    """Return the tokens that a server names, not read yet."""
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        return Crashed("answer", "the server's tokens are no list of numbers", None)
    return Tokens(tuple(tokens))


def read(prompt: Prompt) -> Outcome:
    """Return the outcome of what a server answered; what its tokens spell is the text that the model reads."""
    if not isinstance(prompt, Tokens):
        return prompt
    try:
        return Rendered(tokenizer().decode(prompt.tokens), tokens=prompt.tokens)
    except OracleRefusedError as error:  # an id outside the vocabulary
        return Crashed("tokens", f"the server's tokens are not gpt-oss tokens ({error})", None)
