"""Fixes that change single tags and leave the rest of a template as it is."""

from __future__ import annotations

import re

from conformance.fixes import reference
from conformance.fixes.base import Size, SkippedError, register
from conformance.fixes.places import branches, developer_block, loop_of, message_loop, only, refuse_media
from conformance.template.parts import Block, Source, Tag, Text, blocks, constants, walk

_TOJSON = re.compile(r"((?:\w+(?:\.\w+|\[[^\[\]]*\])+|\w+))\s*\|\s*tojson\b(?!\s*\()")


def _encoded(source: Source, role: str, word: str) -> str:
    """Write what a branch encodes as JSON, and whose name holds a word, as it is where it is a string."""
    loop = message_loop(source)
    branch = only(branches(loop, role), f"the branch for the role {role}")
    changes = []
    for tag in walk(branch.arm.children):
        if isinstance(tag, Tag) and tag.kind == "output":
            for found in _TOJSON.finditer(source.text, tag.start, tag.end):
                if word in found[1]:
                    new = f"({found[1]} if {found[1]} is string else {found[1]}|tojson)"
                    changes.append((found.start(), found.end(), new))
    if not changes:
        raise SkippedError(f"no expression that encodes {word} as JSON was found")
    return source.replaced(*changes)


@register
class PlainResults:
    """Writes the content of a tool result as it is when it is text."""

    name = "plain-results"
    rules = ("result-json-encoded",)
    size: Size = "expression"
    what = "writes tool results that are text as they are"

    def apply(self, source: Source) -> str:
        """Test for a string before `tojson`.

        Raises SkippedError when no result is encoded.
        """
        return _encoded(source, "tool", "content")


@register
class PlainArguments:
    """Writes arguments that are a string already as they are."""

    name = "plain-arguments"
    rules = ("arguments-double-encoded",)
    size: Size = "expression"
    what = "writes arguments that are a string as they are"

    def apply(self, source: Source) -> str:
        """Test for a string before `tojson`.

        Raises SkippedError when no arguments are encoded.
        """
        return _encoded(source, "assistant", "arguments")


@register
class NewlinesBetweenSections:
    """Writes the empty line between instructions and tools only when both are there."""

    name = "newlines-between-sections"
    rules = ("instructions-trailing-newlines", "extra-newline")
    size: Size = "expression"
    what = "writes the empty line after the instructions only before a tools section"

    def apply(self, source: Source) -> str:
        """Move the newlines of the developer message before its tools section.

        Raises SkippedError when there are no two sections in blocks of their own.
        """
        block = developer_block(source)
        inner = list(blocks(block.arms[0].children, "if", into=()))
        texts = [each for each in inner if "# Instructions" in source.writes(each.arms[0].children)]
        tools = [each for each in inner if "# Tools" in source.writes(each.arms[0].children)]
        section, heading = only(texts, "the instructions"), only(tools, "the tools section")
        first = next((t for t in heading.arms[0].children if _says(t, "# Tools")), None)
        if section is heading or first is None:
            raise SkippedError("the sections of the developer message are not blocks of their own")
        changes = []
        for part in walk([section, heading]):
            if isinstance(part, Tag) and part.kind == "output" and _newlines_only(part):
                begin = source.text.rfind("\n", 0, part.start)
                blank = not source.text[begin : part.start].strip()
                changes.append((begin if blank else part.start, part.end, ""))
        test = section.arms[0].tag.rest
        new = f"{{%- if {test} %}}{{{{- '\\n\\n' }}}}{{%- endif %}}"
        new += f"\n{source.indent(first)}" if source.indent(first) else ""
        return source.replaced(*changes, (first.start, first.start, new))


def _says(part: object, word: str) -> bool:
    return isinstance(part, Tag) and part.kind == "output" and word in "".join(constants(part))


def _newlines_only(tag: Tag) -> bool:
    found = constants(tag)
    return len(found) == 1 and found[0].strip("\n") == "" and tag.body.strip()[:1] in ("'", '"')


def _reworded(source: Source, pattern: str, new: str, what: str) -> str:
    """Replace a pattern in the outputs of the branch for assistant messages."""
    branch = only(branches(message_loop(source), "assistant"), "the branch for the role assistant")
    changes = []
    for tag in walk(branch.arm.children):
        if isinstance(tag, Tag) and tag.kind == "output":
            for found in re.finditer(pattern, source.text[tag.start : tag.end]):
                changes.append((tag.start + found.start(), tag.start + found.end(), found.expand(new)))
    if not changes:
        raise SkippedError(f"{what} was not found")
    return source.replaced(*changes)


@register
class FinalChannel:
    """Names the channel of final answers."""

    name = "final-channel"
    rules = ("final-channel-missing",)
    size: Size = "expression"
    what = "names the channel final before a final answer"

    def apply(self, source: Source) -> str:
        """Write the channel between the role and the message.

        Raises SkippedError when every assistant message names a channel.
        """
        return _reworded(
            source,
            r"<\|start\|>assistant(?:<\|channel\|>)?<\|message\|>",
            "<|start|>assistant<|channel|>final<|message|>",
            "an assistant message without a channel",
        )


@register
class ThinkingChannel:
    """Writes thinking in the channel analysis."""

    name = "thinking-channel"
    rules = ("thinking-channel",)
    size: Size = "expression"
    what = "writes thinking in the channel analysis"

    def apply(self, source: Source) -> str:
        """Name the channel analysis before thinking.

        Raises SkippedError when no thinking is written in another channel.
        """
        return _reworded(
            source,
            r"<\|channel\|>(?:commentary|final)(<\|message\|>[\"'] *[+~] *[\w.]+(?:thinking|reasoning|thought))",
            r"<|channel|>analysis\1",
            "thinking in another channel",
        )


@register
class PreambleChannel:
    """Writes text beside tool calls in the channel commentary."""

    name = "preamble-channel"
    rules = ("preamble-channel",)
    size: Size = "expression"
    what = "writes text beside tool calls in the channel commentary"

    def apply(self, source: Source) -> str:
        """Name the channel commentary before the content of a message with calls.

        Raises SkippedError when no content is written in the channel analysis.
        """
        return _reworded(
            source,
            r"<\|channel\|>analysis(<\|message\|>[\"'] *[+~] *\w*\.?content\b)",
            r"<|channel|>commentary\1",
            "text beside calls in the channel analysis",
        )


@register
class ContentType:
    """Writes the content type of a tool call without a marker."""

    name = "content-type"
    rules = ("content-type-marker",)
    size: Size = "expression"
    what = "writes the content type of tool calls without a marker"

    def apply(self, source: Source) -> str:
        """Remove the marker before json.

        Raises SkippedError when there is none.
        """
        return _reworded(source, r" ?<\|constrain\|> ?json", " json", "a marker before the content type")


@register
class LaterInstructions:
    """Writes system and developer messages that come after the first."""

    name = "later-instructions"
    rules = (
        "message-dropped",
        "role-header",
        "message-added",
        "text-altered",
        "text-trimmed",
        "instructions-altered",
    )
    size: Size = "expression"
    what = "writes system and developer messages that come later"

    def apply(self, source: Source) -> str:
        """Add a branch for these roles to the loop over the messages, or put the reference's in the place of its own.

        Raises SkippedError when it has several.
        """
        loop = message_loop(source)
        variable, iterable = loop_of(loop)
        own_branches = {
            branch.span: branch for role in ("system", "developer") for branch in branches(loop, role)
        }
        own = reference.reference()
        branch = only(branches(message_loop(own), "developer"), "the reference's branch for instructions")
        block = only(branches(loop, "assistant"), "the branch for the role assistant").block
        by = len(source.indent(block)) - len(own.indent(branch.arm.tag))
        inside = reference.indented(own.text[slice(*branch.span)], by)
        inside = reference.renamed(inside, {"message": variable})
        role = f"{variable}['role']"
        inside = inside.replace("{%- set harmony_role", "").replace("harmony_role", role)
        if iterable != "messages":
            # The loop runs over what comes after the first message's instructions.
            inside = inside.replace(" and not loop.first", "")
        if own_branches:
            wrong = only(list(own_branches.values()), "the branch for later instructions")
            refuse_media(source, wrong.arm.children, "the branch for later instructions")
            return reference.with_macros(source, source.replaced((*wrong.span, inside)))
        end = next((arm.tag.start for arm in block.arms if arm.tag.keyword == "else"), block.last.start)
        arm = f"{{%- elif {role} in ['system', 'developer'] -%}}{inside}"
        return reference.with_macros(source, source.replaced((end, end, arm)))


@register
class GenerationPrompt:
    """Ends a prompt with the begin of an assistant message, and nothing else with it."""

    name = "generation-prompt"
    rules = ("generation-prompt",)
    size: Size = "expression"
    what = "writes the generation prompt when it is asked for, and only then"

    def apply(self, source: Source) -> str:
        """Replace what is written after the messages, or add it.

        Raises SkippedError when several blocks write it.
        """
        loop = message_loop(source)
        asked = "add_generation_prompt is defined and add_generation_prompt"
        text = f"{{%- if {asked} -%}}\n  {{{{- '<|start|>assistant' -}}}}\n{{%- endif -%}}"
        after = [part for part in source.parts if part.start >= loop.end]
        found = [
            part
            for part in after
            if (isinstance(part, Block) and "<|start|>" in source.writes([part])) or _says(part, "<|start|>")
        ]
        if not found:
            return source.text + text
        part = only(found, "what writes the generation prompt")
        return source.replaced((part.start, part.end, text))


@register
class ByteOrderMark:
    """Removes the byte order mark in front of a template, which every prompt would begin with."""

    name = "byte-order-mark"
    rules = ("message-added", "role-header", "system-text", "unclassified")
    size: Size = "expression"
    what = "removes the byte order mark in front"

    def apply(self, source: Source) -> str:
        """Remove it.

        Raises SkippedError when there is none.
        """
        if not source.text.startswith("\ufeff"):
            raise SkippedError("there is no byte order mark")
        return source.text.lstrip("\ufeff")


@register
class WhitespaceBetweenTags:
    """Strips the space between tags, which some engines write and others do not."""

    name = "whitespace-between-tags"
    rules = ("extra-newline", "system-text", "role-header", "instructions-altered", "unclassified")
    size: Size = "expression"
    what = "strips the space between tags"

    def apply(self, source: Source) -> str:
        """Mark tags so that they strip the space beside them.

        Raises SkippedError when all do.
        """
        changes = []
        for part in walk(source.parts):
            if isinstance(part, Text) and part.value and not part.value.strip():
                before, after = source.text[part.start - 3 : part.start], source.text[part.end : part.end + 3]
                if before[:1] in ("-", "+") or after[2:] in ("-", "+") or part.start == 0:
                    continue
                if after:
                    changes.append((part.end + 2, part.end + 2, "-"))
                else:
                    changes.append((part.start - 2, part.start - 2, "-"))
        if not changes:
            raise SkippedError("no space between tags is left")
        return source.replaced(*changes)
