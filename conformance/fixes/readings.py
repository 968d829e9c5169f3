"""The reference template under other readings of the format: variants made by edits of the one source."""

from __future__ import annotations

from conformance.oracles.profile import Profile, Reading

# Edits are made in the order of the table: some move what a later one changes.

# An edit: a stretch of the source that stands there once, and what takes its place.
_Edit = tuple[str, str]

_NAME = "function_name(call, 'A tool call')"
_INFERENCE = "{%- set drop = look.assistant_ends_final and loop.index <= look.first_final -%}"
_TRAINING = (
    "{%- set drop = loop.index <= look.last_final and "
    "not (look.ends_final and loop.index >= look.kept_from) -%}"
)
_PREAMBLE = """    {%- if content -%}
      {{- '<|start|>assistant<|channel|>commentary<|message|>' ~ content ~ '<|end|>' -}}
    {%- endif -%}
"""
_THINKING = "  {%- if keep_thinking -%}\n    {%- set thought = thinking(message) -%}\n"
_LATER = "'<|start|>developer<|message|>' ~ content ~ '<|end|>'"
_LATER_ROLES = (
    "or (role in ['system', 'developer'] and "
    "text_at(message, 'content', 'the content of a ' ~ role ~ ' message'))"
)
_FIRST = """  {%- set instructions = text_at(messages[0], 'content', 'the content of the first message') -%}
{%- endif -%}
"""
_MERGED = """{%- set merged = namespace(text='') -%}
{%- for message in messages -%}
  {%- if 'role' in message and message['role'] in ['system', 'developer'] -%}
    {%- set content = text_at(message, 'content', 'the content of a system or developer message') -%}
    {%- set merged.text = merged.text ~ ('\\n\\n' if merged.text and content else '') ~ content -%}
  {%- endif -%}
{%- endfor -%}
{%- set instructions = merged.text -%}
"""

_IF_CALLS = "  {%- if 'tool_calls' in message and message['tool_calls'] -%}\n"
_SECTION = "  {%- if instructions -%}\n    {{- '# Instructions"
_HEADED = """  {%- set heading = instructions or (has_tools and messages|length > 0 and 'role' in messages[0]
    and messages[0]['role'] in ['system', 'developer']) -%}
"""

_PARAMETERS = "  {%- if 'parameters' in function and function['parameters'] is not none -%}"
# An object schema, or one without a type, that names no properties.
_TAKES_SOMETHING = """  {%- set schema = function['parameters']
    if 'parameters' in function and function['parameters'] is mapping else {} -%}
  {%- set takes_something = ('properties' in schema and schema['properties']) or 'oneOf' in schema
    or ('type' in schema and schema['type'] != 'object') -%}
"""

_EDITS: dict[Reading, tuple[_Edit, ...]] = {
    ("recipient", "channel"): (
        (
            f"'<|start|>assistant to=functions.' ~ {_NAME} ~ '<|channel|>commentary",
            f"'<|start|>assistant<|channel|>commentary to=functions.' ~ {_NAME} ~ '",
        ),
    ),
    ("result_recipient", "channel"): (
        (" to=assistant<|channel|>commentary<|message|>", "<|channel|>commentary to=assistant<|message|>"),
    ),
    ("content_type", "constrain"): ((" json<|message|>", " <|constrain|>json<|message|>"),),
    ("content_type", "constrain-spaced"): ((" json<|message|>", " <|constrain|> json<|message|>"),),
    ("content_type", "none"): ((" json<|message|>", "<|message|>"),),
    ("later_instructions", "heading"): (
        (_LATER, "'<|start|>developer<|message|># Instructions\\n\\n' ~ content ~ '<|end|>'"),
    ),
    ("later_instructions", "system"): ((_LATER, "'<|start|>' ~ role ~ '<|message|>' ~ content ~ '<|end|>'"),),
    ("later_instructions", "merged"): (
        (_FIRST, _FIRST + _MERGED),
        (_LATER_ROLES, ""),
        ("{%- if content and not loop.first -%}", "{%- if false -%}"),
    ),
    ("empty_instructions", "section"): (
        (_SECTION, _HEADED + _SECTION.replace("if instructions", "if heading")),
        ("    {%- if instructions -%}\n      {{- '\\n\\n' -}}", "    {%- if heading -%}\n      {{- '\\n\\n' -}}"),
    ),
    ("no_arguments", "none"): ((_PARAMETERS, f"{_TAKES_SOMETHING}{_PARAMETERS[:-4]} and takes_something -%}}"),),
    ("thinking_inference", "documented"): ((_INFERENCE, "{%- set drop = loop.index <= look.last_final -%}"),),
    ("thinking_inference", "keep-all"): ((_INFERENCE, "{%- set drop = false -%}"),),
    ("thinking_training", "harmony"): ((_TRAINING, _INFERENCE),),
    ("thinking_training", "keep-all"): ((_TRAINING, "{%- set drop = false -%}"),),
    ("preamble_place", "before-thinking"): (
        (_THINKING, f"{_IF_CALLS}{_PREAMBLE}  {{%- endif -%}}\n{_THINKING}"),
        (f"and message['tool_calls'] -%}}\n{_PREAMBLE}    {{%- for", "and message['tool_calls'] -%}\n    {%- for"),
    ),
    ("preamble_channel", "analysis"): (
        (_PREAMBLE, _PREAMBLE.replace("commentary", "analysis").replace("if content", "if content and keep_thinking")),
    ),
    ("exponents", "1e+20"): (("    {%- elif python -%}\n      {{- '+' -}}", "    {%- else -%}\n      {{- '+' -}}"),),
    ("user_name", "omitted"): (("'<|start|>user' ~ (':' ~ name if name else '') ~ '", "'<|start|>user"),),
    ("arguments_json", "compact"): (
        ("(': ' if python else ':')", "':'"),
    ),
}  # fmt: skip
# Instructions that are sent empty have their heading later too, where both of these are read so.
_EMPTY_HEADING: tuple[_Edit, ...] = (
    ("{%- if content and not loop.first -%}", "{%- if not loop.first -%}"),
    (_LATER_ROLES, "or (role in ['system', 'developer'] and not loop.first)"),
)
_COMMA = "{{- ', ' if python else ',' -}}"


def reading_variant(source: str, chosen: Profile) -> str:
    """Return the reference template's source edited so that it writes what the oracle does under a profile.

    Raises ValueError when an edit does not find its place once.
    """
    readings = chosen.readings()
    edits = [
        edit for reading, found in _EDITS.items() if readings[reading[0]] == reading[1] for edit in found
    ]
    if readings["later_instructions"] == "heading" and readings["empty_instructions"] == "section":
        edits += _EMPTY_HEADING
    for find, put in edits:
        if source.count(find) != 1:
            raise ValueError(f"the template has {find!r} {source.count(find)} times instead of once")
        source = source.replace(find, put)
    if readings["arguments_json"] == "compact":
        source = source.replace(_COMMA, "{{- ',' -}}")
    return source
