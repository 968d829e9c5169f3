"""Fixes that replace a whole part of a template by that of the reference template."""

from __future__ import annotations

import re

from conformance.fixes import reference
from conformance.fixes.base import Size, SkippedError, register
from conformance.fixes.places import (
    Branch,
    branches,
    developer_block,
    loop_of,
    message_loop,
    only,
    reach,
    refuse_media,
    refuse_unknown_keys,
    refuse_unknown_names,
    tools_loop,
)
from conformance.template.parts import Block, Part, Source, Tag, blocks, constants, names_read, walk

_MESSAGE_KEYS = ("role", "content", "thinking", "reasoning", "reasoning_content", "tool_calls", "function_call",
                 "name", "tool_call_id")  # fmt: skip
_SYSTEM_NAMES = ("model_identity", "reasoning_effort", "builtin_tools", "tools", "strftime_now", "current_date",
                 "namespace", "raise_exception", "loop", "messages", "range")  # fmt: skip
# Newlines in a constant, as themselves or escaped.
_NEWLINES = re.compile(r"^(?:\\n|\n)+")
_NEWLINES_BEFORE = re.compile(r"(?:\\n|\n)+$")
_CONTENT_TYPE = (
    "<|channel|>commentary json<|message|>' -}}",
    (
        "<|channel|>commentary ' -}}\n"
        "  {%- set described = call['function'] if 'function' in call else call -%}\n"
        "  {{- (described['content_type'] if 'content_type' in described else 'json') ~ '<|message|>' -}}"
    ),
)
# The content of a result, and the same where objects are written as JSON.
_OBJECTS = (
    "text_at(message, 'content', 'the content of a tool message')",
    (
        "(message['content']|tojson if 'content' in message and message['content'] is mapping else "
        "text_at(message, 'content', 'the content of a tool message'))"
    ),
)


@register
class ToolDefinitions:
    """Writes tool definitions with the macros of the reference."""

    name = "tool-definitions"
    rules = (
        "missing-description", "multiline-description", "default-comment-placement", "default-literal",
        "empty-parameters", "nullable-ignored", "type-union", "one-of-layout", "nested-object", "array-items",
        "array-without-items", "enum-values", "schema-comments-dropped", "type-name", "required-mark",
        "tool-dropped", "tool-layout", "template-crashed", "template-rejected",
    )  # fmt: skip
    size: Size = "section"
    what = "writes the tool definitions with the reference's macros"

    def apply(self, source: Source) -> str:
        """Replace the loop over the tools, and the lines of the namespace around it.

        Raises SkippedError when they are not found.
        """
        level, loop = tools_loop(source)
        variable, tools = loop_of(loop)
        refuse_media(source, [loop], "the loop over the tools")
        at = level.index(loop)
        opening = next((p for p in reversed(level[:at]) if _writes(p, "namespace ", "{")), None)
        closing = next((p for p in level[at:] if _writes(p, "} // namespace")), None)
        if not isinstance(opening, Tag) or not isinstance(closing, Tag):
            raise SkippedError("the lines of the tools' namespace were not found")
        call = f"{reference.PREFIX}tool_text({variable})"
        text = f"\n{source.indent(loop)}".join(
            (
                _with_newline(source.slice(opening, opening)),
                f"{{%- for {variable} in {tools} %}}",
                f"    {{{{- {call} }}}}",
                "{%- endfor -%}",
                _closed(source.slice(closing, closing)),
            )
        )
        return reference.with_macros(source, source.replaced((opening.start, closing.end, text)))


def _with_newline(opening: str) -> str:
    """Return the tag that opens a namespace with one newline after its brace; tools bring the others."""
    head, _, tail = opening[:-2].rpartition("{")
    return head + r"{\n" + _NEWLINES.sub("", tail, count=1) + opening[-2:]


def _closed(closing: str) -> str:
    """Return the tag that closes a namespace with one newline before its brace."""
    head, brace, tail = closing.partition("} // namespace")
    return _NEWLINES_BEFORE.sub("", head) + r"\n" + brace + tail


def _writes(part: Part, *words: str) -> bool:
    if not isinstance(part, Tag) or part.kind != "output":
        return False
    text = "".join(constants(part))
    return all(word in text for word in words)


@register
class AssistantAndResults:
    """Writes assistant messages and tool results as the reference does."""

    name = "assistant-and-results"
    rules = (
        "arguments-double-encoded", "arguments-formatting", "content-type-marker", "recipient-placement",
        "parallel-calls-dropped", "call-terminator", "preamble-channel", "arguments-altered",
        "result-json-encoded", "result-author", "final-channel-missing", "thinking-channel", "thinking-retention",
        "thinking-dropped", "empty-final", "role-header", "message-added", "message-dropped", "text-trimmed",
        "text-altered", "return-or-end", "extra-newline", "template-crashed", "template-rejected",
        "generation-prompt", "unclassified",
    )  # fmt: skip
    size: Size = "section"
    what = "writes assistant messages and tool results as the reference does"

    def apply(self, source: Source) -> str:
        """Replace the branches for the roles assistant and tool; generation marks stay.

        Raises SkippedError when they are not found, or handle what Harmony cannot judge.
        """
        loop = message_loop(source)
        variable, iterable = loop_of(loop)
        assistant = _branch(loop, "assistant")
        results = branches(loop, "tool")
        old = assistant.arm.children
        # The branch for user messages stays, so that it may handle what it likes.
        stays = [branch.span for branch in branches(loop, "user")]
        touched = [
            part
            for part in walk(loop.arms[0].children)
            if isinstance(part, Tag) and not any(begin <= part.start < end for begin, end in stays)
        ]
        refuse_media(source, touched, "the loop over the messages")
        refuse_unknown_keys(source, old, variable, _MESSAGE_KEYS, "the branch for assistant messages")
        names = {"message": variable, "messages": iterable if iterable.isidentifier() else f"({iterable})"}
        own = reference.reference()
        own_loop = message_loop(own)
        said = _marked(_inside(own, _branch(own_loop, "assistant")), source, old)
        answered = _inside(own, _branch(own_loop, "tool"))
        answered = _with_objects(answered, source, [part for each in results for part in each.arm.children])
        by = len(source.indent(assistant.arm.tag)) - len(own.indent(_branch(own_loop, "assistant").arm.tag))
        said, answered = (reference.renamed(reference.indented(text, by), names) for text in (said, answered))
        changes = [(*assistant.span, said)]
        if results:
            result = _branch(loop, "tool")
            refuse_unknown_keys(
                source, result.arm.children, variable, _MESSAGE_KEYS, "the branch for tool results"
            )
            changes.append((*result.span, answered))
        else:
            arm = f"{{%- elif {variable}['role'] == 'tool' -%}}{answered}"
            changes = [(*assistant.span, said + arm)]
        before = f"{reference.part('first-look')}\n{reference.part('state')}\n"
        before = reference.indented(before, len(source.indent(loop)))
        changes.append((loop.start, loop.start, reference.renamed(before, names)))
        reads_type = any("content_type" in tag.body for tag in reach(source, old))
        return reference.with_macros(source, source.replaced(*changes), [_CONTENT_TYPE] if reads_type else [])


def _with_objects(answered: str, source: Source, old: list[Part]) -> str:
    """Return the reference's branch for results; where the old one wrote objects as JSON, it does so too."""
    if not any("tojson" in tag.body for tag in reach(source, old)):
        return answered
    plain, encoded = _OBJECTS
    if answered.count(plain) != 1:
        raise SkippedError(f"{reference.NAME} has {plain!r} {answered.count(plain)} times instead of once")
    return answered.replace(plain, encoded)


def _branch(loop: Block, role: str) -> Branch:
    return only(branches(loop, role), f"the branch for the role {role}")


def _inside(source: Source, branch: Branch) -> str:
    return source.text[slice(*branch.span)]


_OPENED, _CLOSED = r"\{#- training: generation -#\}", r"\{#- training: endgeneration -#\}"
_WHOLE = re.compile(
    r"(?:\{#-(?! training:)[^\n]*?-#\}\s*)?\{\{- (\w+)\[:\d+\] -\}\}\s*"
    + _OPENED
    + r"\s*\{\{- \1\[\d+:\] -\}\}\s*"
    + _CLOSED
)


def _marked(said: str, source: Source, old: list[Part]) -> str:
    """Return the reference's branch with the generation marks that the old branch had."""
    found = _WHOLE.search(said)
    if found is None:
        raise SkippedError(f"{reference.NAME} has no text split by its training marks; put them back")
    marks = list(blocks(old, "generation"))
    whole, split = f"{{{{- {found[1]} -}}}}", re.sub(r"^\{#-(?! training:).*?-#\}\s*", "", found[0])
    if not marks:
        new = whole
    elif "<|start|>assistant" in source.writes(marks):
        new = f"{{%- generation -%}}\n        {whole}\n      {{%- endgeneration -%}}"
    else:
        new = re.sub(_CLOSED, "{%- endgeneration -%}", re.sub(_OPENED, "{%- generation -%}", split))
    return said[: found.start()] + new + said[found.end() :]


@register
class DeveloperMessage:
    """Writes the developer message as the reference does, from the instructions that the template found."""

    name = "developer-message"
    rules = (
        "instructions-trailing-newlines", "section-order", "empty-instructions", "instructions-altered",
        "extra-newline", "tool-layout", "tool-dropped", "template-crashed", "role-header", "unclassified",
    )  # fmt: skip
    size: Size = "section"
    what = "writes the developer message as the reference does"

    def apply(self, source: Source) -> str:
        """Replace the block that writes it.

        Raises SkippedError when it, or the variable with the instructions, is not found.
        """
        block = developer_block(source)
        refuse_media(source, [block], "the developer message")
        inner = only(
            [
                each
                for each in blocks(block.arms[0].children, "if", into=())
                if "# Instructions" in source.writes([each])
            ],
            "the block that writes the instructions",
        )
        instructions = inner.arms[0].tag.rest
        if not re.fullmatch(r"[\w.]+", instructions):
            raise SkippedError(f"the instructions are written under the test {instructions!r}")
        own = reference.reference()
        own_block = developer_block(own)
        text = f"{reference.part('has-tools')}\n{own.slice(own_block, own_block)}"
        text = reference.renamed(reference.indented(text, len(source.indent(block))))
        name = reference.PREFIX + "instructions"
        read = f"{reference.PREFIX}text({instructions}, 'the content of the first message')"
        text = f"{{%- set {name} = {read} -%}}\n{source.indent(block)}{text}"
        return reference.with_macros(source, source.replaced((block.start, block.end, text)))


@register
class SystemMessage:
    """Writes the system message as the reference does."""

    name = "system-message"
    rules = (
        "system-text", "functions-note", "reasoning-effort", "current-date", "builtin-tools", "role-header",
        "template-crashed", "template-rejected", "extra-newline", "unclassified",
    )  # fmt: skip
    size: Size = "section"
    what = "writes the system message as the reference does"

    def apply(self, source: Source) -> str:
        """Replace what stands between its first and its last marker.

        Raises SkippedError when they are not found, or other variables than the reference's are read.
        """
        first, last, parts = _system(source)
        refuse_unknown_names(source, parts, _SYSTEM_NAMES, "the system message")
        own = reference.reference()
        own_first, own_last, _ = _system(own)
        text = reference.renamed(reference.without_marks(own.slice(own_first, own_last)))
        # What is set there and read elsewhere is not only for the system message.
        read = {name for part in source.parts if part not in parts for name in names_read([part])}
        for tag in parts:
            if isinstance(tag, Tag) and tag.keyword == "set" and tag.rest.partition("=")[0].strip() in read:
                text = f"{source.slice(tag, tag)}\n{text}"
        return reference.with_macros(source, source.replaced((first.start, last.end, text)))


def _system(source: Source) -> tuple[Tag, Tag, list[Part]]:
    begins = [
        n for n, part in enumerate(source.parts) if isinstance(part, Tag) and _writes(part, "<|start|>system")
    ]
    if len(begins) != 1:
        raise SkippedError(f"the begin of the system message was found {len(begins)} times")
    begin = begins[0]
    for number in range(begin, len(source.parts)):
        part = source.parts[number]
        if isinstance(part, Tag) and _writes(part, "<|end|>"):
            first = source.parts[begin]
            assert isinstance(first, Tag)
            return first, part, source.parts[begin : number + 1]
    raise SkippedError("the end of the system message was not found")
