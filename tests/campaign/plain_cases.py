"""Conversations without instructions, tools, thinking and calls: the openai template is right on every one.

`python tests/campaign/plain_cases.py [COUNT] [TARGET]` judges many of them; the tests judge a few hundred.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from msgspec.structs import replace

from conformance.conversation import Assistant, Case, Conversation, Message, User, case_id
from conformance.engines import EngineHost
from conformance.engines.base import Rendered
from conformance.generate import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.shapes import draw, shapes
from conformance.sources import resolve


def _refused(answer: str) -> bool:
    """Say whether the openai template refuses an answer, with a message that says so: it holds a header."""
    return "<|channel|>analysis<|message|>" in answer or "<|channel|>final<|message|>" in answer


def plain(case: Case) -> Case:
    """Leave users and answers of a case, and all of its options."""
    kept: list[Message] = []
    for message in case.conversation.messages:
        if isinstance(message, User):
            kept.append(message)
        elif isinstance(message, Assistant) and message.final and not _refused(message.final):
            kept.append(Assistant(final=message.final))
    return replace(case, conversation=Conversation(messages=tuple(kept or [User(text="Hi")])))


def plain_cases(count: int, seed: int = 0) -> Iterator[Case]:
    """Yield that many plain cases, each another one."""
    seen: set[str] = set()
    index = 0
    while len(seen) < count:
        case = plain(case_at(seed, index))
        index += 1
        name = case_id(case)
        if name not in seen:
            seen.add(name)
            yield case


def differing(template: str, count: int, engine: str = "transformers", seed: int = 0) -> list[Case]:
    """Return the plain cases on which a template's text is not Harmony's."""
    oracle = HarmonyOracle()
    # Empty lists of calls and content in parts are what that template does not know.
    choices = tuple(tuple(shape for shape in family if not shape.rare) for family in shapes())
    wrong: list[Case] = []
    cases = list(plain_cases(count, seed))
    with EngineHost(engine) as host:
        for start in range(0, count, 64):
            batch = cases[start : start + 64]
            requests = [draw(choices, start + n).request(case) for n, case in enumerate(batch)]
            ticket = host.submit(template, requests)
            texts = [oracle.render(case).text for case in batch]
            outcomes = host.collect(ticket)
            for case, text, outcome in zip(batch, texts, outcomes, strict=True):
                if not isinstance(outcome, Rendered) or outcome.text != text:
                    wrong.append(case)
    return wrong


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    name = sys.argv[2] if len(sys.argv) > 2 else "openai-gpt-oss-120b"
    found = differing(resolve(name)[0].text, total)
    print(f"{name}: {len(found)} of {total} plain conversations differ")
    for case in found[:3]:
        print(case_id(case), case)
    sys.exit(bool(found))
