"""Rules about the way back: a response template, which reads what the model wrote."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_PARSING = "transformers documentation, chat response parsing (response_template, parse_response)"

RESPONSE_TEMPLATE_UNREADABLE = register(
    Rule(
        code="HT871",
        slug=Slug("response-template-unreadable"),
        family="responses",
        severity="error",
        what="transformers cannot read the response template.",
        why="parse_response stops with an error on every answer.",
        citation=f"{_PARSING}; transformers src/transformers/utils/chat_parsing/response_templates.py",
        fix="Correct what the message names; `templates/gpt-oss-response.json` is one that is read.",
        loss=impacts.UNREACHED,
        good='"version": 1',
        bad='"version": 2',
    )
)

RESPONSE_NOT_PARSED = register(
    Rule(
        code="HT872",
        slug=Slug("response-not-parsed"),
        family="responses",
        severity="error",
        what="The response template stops with an error on an answer that follows Harmony's format.",
        why="The answer is lost to whoever asked, although the model did nothing wrong.",
        citation=f'{_PARSING}; Harmony docs/format.md, "Receiving tool calls"',
        fix="Let arguments that are no JSON pass as text: content_args allow_non_json.",
        loss=impacts.UNREACHED,
        good='"content": "json", "content_args": {"allow_non_json": true}',
        bad='"content": "json"',
    )
)

RESPONSE_THINKING = register(
    Rule(
        code="HT873",
        slug=Slug("response-thinking"),
        family="responses",
        severity="error",
        what="The thinking of an answer is not given back as it was written.",
        why="Thinking that is lost between calls is missing from the next prompt; what is mixed in is shown to the user.",
        citation=f'{_PARSING}; Harmony docs/format.md, "Chain-of-thought"',
        fix="Give the analysis channel a field of its own, closed by `<|end|>`, with content_args strip false.",
        loss=impacts.LOST,
        good='"close": "<|end|>", "content_args": {"strip": false}',
        bad='"close": "<|end|>"',
    )
)

RESPONSE_CONTENT = register(
    Rule(
        code="HT874",
        slug=Slug("response-content"),
        family="responses",
        severity="error",
        what="The text of an answer is not given back as it was written.",
        why="The user reads another text than the model wrote, and the next prompt holds it.",
        citation=f'{_PARSING}; Harmony docs/format.md, "Channels"',
        fix="Open the content at the final channel, and at commentary without recipient; set content_args strip false.",
        loss=impacts.LOST,
        good="<\\\\|channel\\\\|>(?:final|commentary)<\\\\|message\\\\|>",
        bad="<\\\\|channel\\\\|>final<\\\\|message\\\\|>",
    )
)

RESPONSE_CALLS = register(
    Rule(
        code="HT875",
        slug=Slug("response-calls"),
        family="responses",
        severity="error",
        what="The calls of an answer are not given back: one is missing, or has another name or other arguments.",
        why="Another function runs than the model called, or none.",
        citation=f'{_PARSING}; Harmony docs/format.md, "Receiving tool calls"',
        fix="Take the name from the recipient, wherever it stands, and the arguments as JSON; let the field repeat.",
        loss=impacts.UNREACHED,
        good='"repeats": true',
        bad='"repeats": false',
    )
)

RESPONSE_TEMPLATE_MISSING = register(
    Rule(
        code="HT876",
        slug=Slug("response-template-missing"),
        family="responses",
        severity="note",
        what="The package has no response template.",
        why="parse_response cannot be used: whoever runs the model has to take its answers apart.",
        citation=_PARSING,
        fix="Put `templates/gpt-oss-response.json` under response_template into tokenizer_config.json.",
        loss=impacts.UNREACHED,
        good='"response_template": {"version": 1, …}',
        bad='"chat_template": "…"',
    )
)
