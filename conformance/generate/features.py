"""The table of features: what a case can have, and which two of them can never meet in one case.

Impossible pairs are not listed one by one but follow from what features are: members of one group exclude
each other, a feature brings along those it needs, and a few exclude each other by what the words mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of cases: name, one line of meaning, and what it needs or excludes."""

    name: str
    meaning: str
    group: str = ""  # at most one of a group is true of a case
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


def _group(group: str, /, **meanings: str) -> Iterator[Feature]:
    for name, meaning in meanings.items():
        yield Feature(name.replace("_", "-"), meaning, group=group)


def _all(
    needs: tuple[str, ...] = (), excludes: tuple[str, ...] = (), /, **meanings: str
) -> Iterator[Feature]:
    for name, meaning in meanings.items():
        yield Feature(name.replace("_", "-"), meaning, needs=needs, excludes=excludes)


_OPTIONS = (
    *_group(
        "effort",
        effort_none="the reasoning effort is left out",
        effort_low="reasoning effort low",
        effort_medium="reasoning effort medium",
        effort_high="reasoning effort high",
    ),
    *_all(
        builtin_browser="the built-in browser tool",
        builtin_python="the built-in python tool",
        identity_custom="a model identity other than the default",
        date_custom="a date other than the default",
    ),
    *_all(("builtin-browser", "builtin-python"), builtin_python_first="both built-in tools, python first"),
    *_group(
        "mode",
        mode_generation="the prompt ends where the model goes on",
        mode_training="no generation prompt: the conversation as training data",
    ),
)

_MESSAGES = (
    *_group(
        "instructions",
        instructions_absent="no system or developer message",
        instructions_system="the instructions are a system message",
        instructions_developer="the instructions are a developer message",
    ),
    *_all((), ("instructions-absent",), instructions_later="a second system or developer message"),
    *_all(
        (),
        ("instructions-absent", "instructions-trailing-newline"),
        instructions_empty="the instructions are an empty text",
    ),
    *_all((), ("instructions-absent",), instructions_trailing_newline="the instructions end in a newline"),
    *_group(
        "turns",
        turns_one="one turn of the user",
        turns_two_or_three="two or three turns of the user",
        turns_many="four or more turns of the user",
    ),
    *_all(
        messages_many="twelve or more messages",
        user_empty="an empty user message",
        users_in_a_row="two user messages in a row",
        starts_assistant="the assistant speaks first",
    ),
    Feature("ends-user", "the last message is the user's", "end"),
    Feature("ends-instructions", "the last message is a later instruction", "end", ("instructions-later",)),
    Feature("ends-result", "the last message is a tool result", "end", ("results",)),
    Feature("ends-call", "the last message is a tool call", "end", ("results-missing",)),
    Feature("ends-final", "the last message is a final", "end", ("final",)),
    Feature("ends-thinking", "the last message is thinking alone", "end", ("thinking-alone",)),
    *_all(final="a final answer", thinking_alone="an assistant message with thinking only"),
    *_all(("final",), thinking_before_final="thinking before a final", final_empty="a final that is empty"),
    *_all((), ("turns-one",), thinking_several_turns="thinking in two or more turns"),
    *_all(empty_aside="thinking or a preamble given as an empty text"),
)

_CALLS = (
    *_all(calls="a tool call"),
    *_all(
        ("calls",),
        thinking_before_call="thinking before a tool call",
        preamble="text shown before a tool call",
        parallel_calls="two or more calls in one message",
        calls_several_steps="calls, results and calls again in one turn",
        call_unknown_tool="a call of a tool that is not on offer",
        results="a tool result",
        results_missing="a call that is never answered",
        arguments_object="arguments as an object",
        arguments_string="arguments as a JSON string of an object",
        arguments_not_json="arguments that are not JSON",
        arguments_no_object="arguments as JSON that is no object",
        arguments_empty_string="arguments as an empty string",
    ),
    *_all(
        ("preamble", "thinking-before-call"), preamble_with_thinking="thinking and a preamble in one message"
    ),
    *_all(("parallel-calls", "results"), results_out_of_order="results in another order than their calls"),
    *_all(
        ("results",),
        result_empty="an empty tool result",
        result_json="a tool result that is JSON",
        result_multiline="a tool result of several lines",
    ),
    *_all(
        ("arguments-object",),
        arguments_empty_object="arguments as an object without keys",
        arguments_nested="arguments with an object or array inside",
        arguments_float="a float among the arguments",
        arguments_big_integer="an integer beyond 2^53 among the arguments",
        arguments_constant="true, false or null among the arguments",
        arguments_not_ascii="an argument object with characters beyond ASCII",
    ),
    *_all(
        ("arguments-string",),
        arguments_string_compact="a JSON string without blanks between its parts",
        arguments_string_lines="a JSON string with newlines or blanks around it",
    ),
)

_TOOLS = (
    *_group(
        "tools",
        tools_none="no tools",
        tools_one="one tool on offer",
        tools_several="two or more tools on offer",
    ),
    *_all(
        (),
        ("tools-none",),
        tool_description_missing="a tool without description",
        tool_description_empty="a tool with an empty description",
        tool_description_multiline="a tool description of several lines",
        tool_description_trailing_newline="a tool description that ends in a newline",
        parameters_absent="a tool without parameters",
        parameters_empty="parameters {}",
        parameters_no_properties="parameters without properties",
        parameters_empty_properties="parameters with an empty properties object",
        schema_property="a tool with a parameter",
        parameters_description="a description of the parameters object",
    ),
)

_SCHEMAS = (
    *_all(
        ("schema-property",),
        schema_required="a required property",
        schema_optional="an optional property",
        schema_type_string="type string",
        schema_type_integer="type integer",
        schema_type_number="type number",
        schema_type_boolean="type boolean",
        schema_type_null="type null",
        schema_type_array="type array",
        schema_type_object="type object, below the parameters",
        schema_type_absent="no type and nothing that stands for it",
        schema_type_union="a list of two or more types",
        schema_type_union_null="a list of types with null",
        schema_type_list_single="a list of one type, or of none",
        schema_nullable="nullable: true",
        schema_enum_strings="an enum of strings",
        schema_enum_integers="an enum of integers",
        schema_enum_mixed="an enum of several types, or of other types",
        schema_default_string="a string as default",
        schema_default_integer="an integer as default",
        schema_default_float="a float as default",
        schema_default_boolean="a boolean as default",
        schema_default_null="null as default",
        schema_default_array="an array as default",
        schema_default_object="an object as default",
        schema_one_of="a oneOf",
        schema_any_of="an anyOf",
        schema_ref="a $ref",
        schema_const="a const",
        schema_all_of="an allOf",
        schema_title="a title",
        schema_examples="examples",
        schema_description="a property's description",
        schema_bounds="minimum, pattern, format and the like",
        property_name_keyword="a property called like a schema keyword or a method of dict",
        property_name_null="a property whose name contains null",
        property_name_odd="a property whose name is no identifier",
        schema_enum_default="an enum with a default, at property level or deeper",
        schema_additional_properties="additionalProperties, here or in the parameters object",
        schema_nested_depth_3="schemas nested three levels deep",
    ),
    *_all(
        ("schema-type-union", "schema-type-union-null"),
        schema_type_null_first="null first in a list of types",
    ),
    *_all(("schema-nullable",), schema_nullable_other="nullable: true on another type than string"),
    *_all(
        ("schema-default-string",),
        schema_default_string_special="quotes, backslashes or newlines in a default",
    ),
    *_all(("schema-default-integer",), schema_default_big_integer="a default beyond 2^53"),
    *_all(
        ("schema-default-float",),
        schema_default_float_exponent="a float default that Python writes with an exponent",
        schema_default_float_whole="a float default without a fraction, such as 1.0",
    ),
    *_all(
        ("schema-one-of",),
        schema_one_of_single="oneOf with one variant",
        schema_one_of_described="a oneOf variant with a description",
        schema_one_of_default="a oneOf variant with a default",
        schema_one_of_own_default="oneOf with a default beside it",
        schema_one_of_enum_default="a oneOf variant with an enum and a default",
        schema_one_of_object="an object among the oneOf variants",
    ),
    *_all(("schema-examples",), schema_examples_other="examples that are not strings"),
    *_all(
        ("schema-description",),
        schema_description_multiline="a property's description of several lines",
        schema_description_hostile="a property's description with other than plain words",
    ),
    *_all(
        ("schema-type-array",),
        schema_array_no_items="an array without items, or with items {}",
        schema_array_of_arrays="an array of arrays",
        schema_array_of_objects="an array of objects",
        schema_array_of_enums="an array of enum values",
        schema_array_of_one_of="an array with oneOf items",
    ),
    *_all(
        ("schema-type-object",),
        schema_nested_object="an object with properties inside a property",
        schema_nested_empty="an object without properties inside a property",
        schema_object_description="an object inside a property, with a description",
    ),
)

_TEXTS = tuple(
    _all(
        text_quotes="a quotation mark in a text",
        text_backslash="a backslash in a text",
        text_html="<, > or & in a text",
        text_multiline="a text of several lines",
        text_edge_newline="a text that starts or ends with a newline",
        text_edge_blank="a text that starts or ends with a blank or tab",
        text_newline_run="an empty line in a text",
        text_blank_run="two blanks in a row in a text",
        text_carriage_return="a carriage return in a text",
        text_tab="a tab in a text",
        text_emoji="an emoji in a text",
        text_combining="a combining character in a text",
        text_right_to_left="right-to-left letters or marks in a text",
        text_not_ascii="a character beyond ASCII in a text",
        text_control="a control character in a text",
        text_unicode_break="U+0085, U+2028 or U+2029 in a text",
        text_odd_space="a no-break or zero-width space in a text",
        text_jinja="Jinja syntax in a text",
        text_json="braces or brackets as in JSON in a text",
        text_special_token="one of Harmony's special tokens in a text",
        text_code="Markdown code in a text",
        text_long="a text of 10 kB or more",
    )
)

FEATURES: tuple[Feature, ...] = (*_OPTIONS, *_MESSAGES, *_CALLS, *_TOOLS, *_SCHEMAS, *_TEXTS)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
BIT: dict[str, int] = {name: 1 << index for name, index in INDEX.items()}
MEANINGS: dict[str, str] = {feature.name: feature.meaning for feature in FEATURES}


def names_of(mask: int) -> frozenset[str]:
    """Return the names of the features in a mask (bit i stands for `NAMES[i]`)."""
    return frozenset(NAMES[index] for index in bits(mask))


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _closures() -> list[int]:
    direct = {feature.name: feature.needs for feature in FEATURES}
    out = []
    for feature in FEATURES:
        mask, todo = 0, [feature.name]
        while todo:
            name = todo.pop()
            if not mask & BIT[name]:
                mask |= BIT[name]
                todo.extend(direct[name])
        out.append(mask)
    return out


def _possible() -> tuple[int, ...]:
    """Return for each feature the mask of those it can meet in one case (itself left out)."""
    apart = [0] * len(FEATURES)
    for i, feature in enumerate(FEATURES):
        rivals = [*feature.excludes, *(f.name for f in FEATURES if f.group and f.group == feature.group)]
        for name in rivals:
            if name != feature.name:
                apart[i] |= BIT[name]
                apart[INDEX[name]] |= 1 << i
    closures = _closures()
    excluded = []  # by the feature or by anything it needs
    for closure in closures:
        mask = 0
        for index in bits(closure):
            mask |= apart[index]
        excluded.append(mask)
    return tuple(
        sum(1 << j for j, closure in enumerate(closures) if j != i and not closure & excluded[i])
        for i in range(len(FEATURES))
    )


POSSIBLE: tuple[int, ...] = _possible()
