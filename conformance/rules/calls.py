"""Rules about tool calls and tool results."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_CALLS = 'Harmony docs/format.md, "Receiving tool calls"'
_RESULTS = 'Harmony docs/format.md, "Handling tool calls"'

ARGUMENTS_DOUBLE_ENCODED = register(
    Rule(
        code="HT301",
        slug=Slug("arguments-double-encoded"),
        family="tool calls",
        severity="error",
        what="Arguments that came as a string were encoded as JSON once more.",
        why="The model sees its own call as a quoted string with backslashes and starts to call that way.",
        citation=f"{_CALLS}: the arguments stand as plain JSON; openai/gpt-oss template reports of escaped arguments",
        fix="Write arguments as they are when they are a string, and through `tojson` only when they are a mapping.",
        loss=impacts.ALTERED,
        good="<|message|>{}<|call|>",
        bad='<|message|>"{}"<|call|>',
    )
)

ARGUMENTS_FORMATTING = register(
    Rule(
        code="HT302",
        slug=Slug("arguments-formatting"),
        family="tool calls",
        severity="warning",
        what="The arguments are the same JSON value, formatted differently.",
        why="The value is right, but the tokens of earlier calls are not those the model wrote; prompt caches miss.",
        citation="profiles.toml, arguments_json",
        fix="Write objects with `, ` and `: ` separators, unescaped Unicode and the order of keys kept.",
        setting="arguments_json",
        loss=impacts.FORMATTING,
        good='<|message|>{"a": 0}<|call|>',
        bad='<|message|>{"a":0}<|call|>',
    )
)

CONTENT_TYPE_MARKER = register(
    Rule(
        code="HT303",
        slug=Slug("content-type-marker"),
        family="tool calls",
        severity="error",
        what="The content type of a call, ` json` before `<|message|>`, is missing or written differently.",
        why="The marker tells the model that it is writing JSON.",
        citation=f"{_CALLS}; openai/harmony issues 40, 76, 91",
        fix="Write ` json` between the channel and `<|message|>`.",
        setting="content_type",
        loss=impacts.FIXED,
        good="<|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
        bad="<|start|>assistant to=functions.f<|channel|>commentary<|message|>",
    )
)

RECIPIENT_PLACEMENT = register(
    Rule(
        code="HT304",
        slug=Slug("recipient-placement"),
        family="tool calls",
        severity="error",
        what="The recipient ` to=functions.NAME` is missing, altered, or stands in another place of the header.",
        why="A call without its recipient reads as a preamble; one in another place than the rest shows two forms of calls.",
        citation=f"{_CALLS}: in the role or in the channel; openai/harmony issues 49 and 81; profiles.toml, recipient",
        fix="Write `<|start|>assistant to=functions.NAME<|channel|>commentary`, or keep to one other cited place.",
        loss=impacts.HEADER,
        good="<|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
        bad="<|start|>assistant<|channel|>commentary to=functions.f json<|message|>",
        setting="recipient",
    )
)

PARALLEL_CALLS_DROPPED = register(
    Rule(
        code="HT305",
        slug=Slug("parallel-calls-dropped"),
        family="tool calls",
        severity="error",
        what="Of several calls in one step not all were rendered.",
        why="Results follow for calls that the model does not see; it loses track of what it asked for.",
        citation=_CALLS,
        fix="Loop over all of `tool_calls`, one message each.",
        loss=impacts.MISSING,
        good="<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
        bad="<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}<|call|><|start|>assistant",
    )
)

CALL_TERMINATOR = register(
    Rule(
        code="HT306",
        slug=Slug("call-terminator"),
        family="tool calls",
        severity="error",
        what="A call does not end in `<|call|>`.",
        why="`<|call|>` is the stop token of a call; history without it teaches the model not to stop.",
        citation=_CALLS,
        fix="End every call with `<|call|>`.",
        loss=impacts.BOUNDARY,
        good="json<|message|>{}<|call|>",
        bad="json<|message|>{}<|end|>",
    )
)

PREAMBLE_CHANNEL = register(
    Rule(
        code="HT307",
        slug=Slug("preamble-channel"),
        family="tool calls",
        severity="error",
        what="Text beside a tool call is not written as a preamble in the commentary channel.",
        why="What the user was shown becomes private thinking, and is dropped with it later.",
        citation='Harmony docs/format.md, "Preambles"',
        fix="Write the content beside tool calls as `<|start|>assistant<|channel|>commentary<|message|>…<|end|>`.",
        setting="preamble_channel",
        loss=impacts.HEADER,
        good="<|start|>assistant<|channel|>commentary<|message|>a<|end|>",
        bad="<|start|>assistant<|channel|>analysis<|message|>a<|end|>",
    )
)

ARGUMENTS_ALTERED = register(
    Rule(
        code="HT308",
        slug=Slug("arguments-altered"),
        family="tool calls",
        severity="error",
        what="The arguments of a call are another value, or changed text.",
        why="The model sees a call that it did not make.",
        citation=_CALLS,
        fix="Write strings as they are, and mappings as JSON.",
        loss=impacts.ALTERED,
        good='<|message|>{"a": 0}<|call|>',
        bad="<|message|>{}<|call|>",
    )
)

RESULT_JSON_ENCODED = register(
    Rule(
        code="HT401",
        slug=Slug("result-json-encoded"),
        family="tool results",
        severity="error",
        what="A tool result that is text was encoded as JSON once more.",
        why="The model reads quotes and backslashes that the tool never sent, and pays tokens for them.",
        citation=_RESULTS,
        fix="Write the content as it is, without `tojson`.",
        loss=impacts.ALTERED,
        good="to=assistant<|channel|>commentary<|message|><|end|>",
        bad='to=assistant<|channel|>commentary<|message|>""<|end|>',
    )
)

RESULT_AUTHOR = register(
    Rule(
        code="HT402",
        slug=Slug("result-author"),
        family="tool results",
        severity="error",
        what="A tool result is attributed to another function, or its header differs.",
        why="The model takes the answer of one tool for that of another.",
        citation=_RESULTS,
        fix="Find the call by `tool_call_id` and write `<|start|>functions.NAME to=assistant<|channel|>commentary`.",
        loss=impacts.HEADER,
        good="<|start|>functions.f to=assistant<|channel|>commentary<|message|>",
        bad="<|start|>tool to=assistant<|channel|>commentary<|message|>",
        setting="result_recipient",
    )
)
