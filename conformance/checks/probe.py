"""Probes: small conversations of unique words, and the manners in which clients hand them over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from msgspec import structs

from conformance.conversation import Assistant, Case, Message
from conformance.engines.base import Request
from conformance.shapes import shapes

Raw: TypeAlias = dict[str, Any]

# Plain names of special tokens: templates of other families add them to texts, and a token that is absent would be
# an error of ours. A keyword wins over what an engine passes by itself.
SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "sep_token": "<sep>",
    "cls_token": "<cls>",
    "mask_token": "<mask>",
}

# Objects as arguments, empty text beside calls, ids and names: what the most templates understand. The ids have the
# nine letters and digits that Mistral's templates ask for.
_PLAIN = shapes(["hf+empty-content+ids+names"])[0][0]
_ID = "callid{:03}"


@dataclass(frozen=True, slots=True)
class Manner:
    """One way in which clients write a conversation down that differs from the plain one.

    `cure` says which servers bring it into the plain form before the template sees it: a template that
    fails on such a manner fails with other servers only.
    """

    name: str
    change: Callable[[list[Raw], list[Raw] | None], None]
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A conversation and the manner it is handed over in.

    `basic` is whether no template may refuse it, `forms` what this template needs instead of the plain way.
    """

    name: str
    case: Case
    manner: Manner | None = None
    basic: bool = False
    forms: tuple[Manner, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the conversation."""
        return self.case.conversation.messages

    @property
    def asks(self) -> bool:
        """Whether the assistant is to speak next."""
        return not isinstance(self.messages[-1], Assistant)

    @property
    def plain(self) -> Probe:
        """The same conversation in the plain manner."""
        return replace(self, name=self.name.partition("+")[0], manner=None)

    @property
    def how(self) -> str:
        """The name of the manner it is handed over in."""
        return "plain" if self.manner is None else self.manner.name

    @property
    def shape(self) -> str:
        """The name of its shape in a report: the forms that the template takes, and the manner."""
        return "+".join([*(form.name for form in self.forms), self.how])

    @property
    def size(self) -> tuple[int, int]:
        """What a smaller probe has less of."""
        conversation = self.case.conversation
        return len(conversation.messages) + len(conversation.tools), len(repr(conversation))

    def first(self, count: int) -> Probe:
        """Return the probe of the first `count` messages."""
        return self.of(self.messages[:count])

    def of(self, messages: tuple[Message, ...]) -> Probe:
        """Return the probe with other messages."""
        case = structs.replace(
            self.case, conversation=structs.replace(self.case.conversation, messages=messages)
        )
        return replace(self, case=case)

    def in_form(self, form: Manner) -> Probe:
        """Return the probe for a template that takes another form than the plain one."""
        return replace(self, forms=(*self.forms, form))

    def without_thinking(self) -> Probe:
        """Return the probe without any thinking."""
        return self.of(
            tuple(structs.replace(m, thinking=None) if isinstance(m, Assistant) else m for m in self.messages)
        )

    def request(self, *, generation: bool, date: str | None = None) -> Request:
        """Return what the template receives."""
        options = structs.replace(self.case.options, mode="generation" if generation else "training")
        if date is not None:
            options = structs.replace(options, date=date)
        plain = _PLAIN.request(structs.replace(self.case, options=options))
        # Manners change schemas and arguments, which are the case's own.
        messages, tools = copy.deepcopy((plain.messages, plain.tools))
        for message in messages:
            if "tool_call_id" in message:
                message["tool_call_id"] = _id(message["tool_call_id"])
            for call in message.get("tool_calls", ()):
                call["id"] = _id(call["id"])
        if self.manner is not None:
            self.manner.change(messages, tools)
        for form in self.forms:
            form.change(messages, tools)
        return structs.replace(
            plain, messages=messages, tools=tools, kwargs={**SPECIAL_TOKENS, **plain.kwargs}
        )


def _id(own: str) -> str:
    return _ID.format(int(own.rpartition("_")[2]))
