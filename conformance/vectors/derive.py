"""Derive what a vector's author does not write: id, text, tokens, flags and server shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from conformance.conversation import Case
from conformance.errors import UsageError
from conformance.generate.features import MEANINGS
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.base import Rendering
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.profile import Profile, profiles
from conformance.renderers.line import choices
from conformance.shapes import default_families
from conformance.vectors.model import Origin, Vector, vector_id

# What a flag means is told in fixtures/vectors/README.md.
FLAGS = ("contested", "hostile", "tokens-only", "numbers", "training")
_FIRST_SPECIAL = 199_998  # o200k_harmony: all ids from here on are special tokens


@lru_cache(maxsize=32)
def oracle_for(profile: Profile, authority: str = DEFAULT) -> HarmonyOracle:
    """Return the oracle of a profile, made once; raises UnjudgedError when it cannot be had."""
    return HarmonyOracle(profile, authority)


def derive(
    case: Case,
    profile: Profile,
    *,
    why: str,
    origin: Origin,
    where: str = "the case",
    with_shapes: bool | None = None,
    authority: str = DEFAULT,
) -> Vector:
    """Return the vector of a case under a profile; written and reported ones carry the servers' shapes.

    Raises UsageError, naming `where`, when Harmony refuses the case.
    """
    # Another authority has readings of its own, whatever it is given; who renders the vector has to know them.
    chosen = choices(oracle_for(profile, authority).profile)
    oracle = oracle_for(chosen.profile(), authority)
    try:
        rendering = oracle.render(case)
    except OracleRefusedError as error:
        raise UsageError(f"{where}: Harmony refuses this conversation ({error}).") from None
    if with_shapes is None:
        with_shapes = origin != "generated"
    return Vector(
        id=vector_id(case, chosen),
        why=why,
        origin=origin,
        flags=tuple(_flags(case, rendering, oracle)),
        profile=chosen,
        conversation=case.conversation,
        options=case.options,
        text=rendering.text,
        tokens=tuple(rendering.tokens),
        shapes=shapes_of(case) if with_shapes and chosen.arguments_json == "python" else None,
    )


def special_count(tokens: Sequence[int]) -> int:
    """Return how many tokens are special ones."""
    return sum(token >= _FIRST_SPECIAL for token in tokens)


def _flags(case: Case, rendering: Rendering, oracle: HarmonyOracle) -> list[str]:
    flags = []
    if len({oracle_for(profile).layout(case) for profile in profiles().values()}) > 1:
        flags.append("contested")
    if "<|" in "".join(_free_texts(case)):
        flags.append("hostile")
    if oracle.encode(rendering.text) != rendering.tokens:
        flags.append("tokens-only")
    if _has_hard_number([tool.parameters for tool in case.conversation.tools]) or _has_hard_number(
        [call.arguments for call in case.conversation.calls()]
    ):
        flags.append("numbers")
    if case.options.mode == "training":
        flags.append("training")
    return flags


def _free_texts(value: Any) -> list[str]:
    """Return all texts of a case, schemas and arguments included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _free_texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _free_texts(item)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for name in fields for text in _free_texts(getattr(value, name))]


def _has_hard_number(value: Any) -> bool:
    """Say whether a number is one that a reader which makes every number a double prints otherwise."""
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value.is_integer() or "e" in repr(value)
    if isinstance(value, int):
        return abs(value) > 2**53
    if isinstance(value, dict):
        return any(_has_hard_number(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_hard_number(item) for item in value)


def shapes_of(case: Case) -> dict[str, dict[str, Any]]:
    """Return a case as a chat-completions request (`openai`) and as a template's arguments (`hf`).

    A shape that cannot carry the case is left out.
    """
    out: dict[str, dict[str, Any]] = {}
    for name, members in default_families().items():
        shape = members[0]
        if shape.loses(case):
            continue
        request = shape.request(case)
        raw: dict[str, Any] = {"messages": request.messages}
        if request.tools is not None:
            raw["tools"] = request.tools
        kwargs = dict(request.kwargs)
        if "reasoning_effort" in kwargs and name == "openai":
            raw["reasoning_effort"] = kwargs.pop("reasoning_effort")
        if name == "openai":
            if kwargs:
                raw["chat_template_kwargs"] = kwargs
        else:
            raw.update(kwargs)
            raw["add_generation_prompt"] = request.add_generation_prompt
        out[name] = raw
    return out


def reason(names: Sequence[str]) -> str:
    """Return the sentence that says why a case was chosen for these features."""
    told = [MEANINGS[name] for name in names[:3]]
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    return f"It brings together {listed}." if len(told) > 1 else f"It shows {listed}."
