"""Rules about properties that every chat template should have: `conformance check --any` tries them."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_TEMPLATING = "Hugging Face, transformers documentation, chat templating"
_MESSAGES = "OpenAI API reference, chat completions, messages"

PREFIX_UNSTABLE = register(
    Rule(
        code="HT806",
        slug=Slug("prefix-unstable"),
        family="properties",
        severity="warning",
        what="The prompt of a longer conversation does not begin with the prompt of the shorter one.",
        why="Prompt caches miss, and training on the whole conversation differs from inference.",
        citation="vLLM and SGLang documentation on prefix caching",
        fix="Render each message independently of what follows it, and tools in front of all messages; only earlier "
        "thinking may be dropped.",
        loss=impacts.ALTERED,
        good="the tools stand before all messages",
        bad="the tools stand behind the last message",
    )
)

END_UNSTABLE = register(
    Rule(
        code="HT810",
        slug=Slug("end-unstable"),
        family="properties",
        severity="note",
        what="What follows the last message is written otherwise, or not at all, when more messages follow.",
        why="A model that is trained on whole conversations sees another end of turn than it is asked to write.",
        citation="Harmony docs/format.md: `<|return|>` ends a reply and is `<|end|>` in history; transformers, chat templating",
        fix="Write the same end behind every message, or only in training, and say so beside the template.",
        loss=impacts.ALTERED,
        good="<|end|> behind every answer",
        bad="<|return|> behind the last answer, <|end|> behind the others",
    )
)

GENERATION_PROMPT_NOT_SUFFIX = register(
    Rule(
        code="HT811",
        slug=Slug("generation-prompt-not-suffix"),
        family="properties",
        severity="error",
        what="Asking for a generation prompt changes the messages, instead of adding to their end.",
        why="What the model was trained on without generation prompt is not what it is asked with.",
        citation="transformers documentation, chat templating, add_generation_prompt",
        fix="Use add_generation_prompt behind the last message only.",
        loss=impacts.BOUNDARY,
        good="{% if add_generation_prompt %} behind the loop over messages",
        bad="{% if add_generation_prompt %} within that loop",
    )
)

GENERATION_PROMPT_UNINVITED = register(
    Rule(
        code="HT812",
        slug=Slug("generation-prompt-uninvited"),
        family="properties",
        severity="warning",
        what="The assistant's header is written behind the assistant's own last message, whether asked for or not.",
        why="Training data ends in a turn that nobody wrote, and a prefilled answer cannot be continued.",
        citation="transformers documentation, chat templating, add_generation_prompt",
        fix="Put the assistant's header under {% if add_generation_prompt %}.",
        loss=impacts.BOUNDARY,
        good="{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        bad="<|start|>assistant",
    )
)

CONTINUATION_BROKEN = register(
    Rule(
        code="HT813",
        slug=Slug("continuation-broken"),
        family="properties",
        severity="warning",
        what="The prompt does not hold the last assistant message as it is, so that it cannot be continued.",
        why="transformers raises an error, other servers let the model go on from another text than the client sent.",
        citation="transformers documentation, chat templating, continue_final_message",
        fix="Write the content of the last assistant message unchanged and in one piece.",
        loss=impacts.BOUNDARY,
        good="{{ message.content }}",
        bad="{{ message.content | trim }}",
    )
)

TEXT_LOST = register(
    Rule(
        code="HT814",
        slug=Slug("text-lost"),
        family="properties",
        severity="error",
        what="A text that the client sent is not in the prompt, and nobody is told.",
        why="The model answers without it: instructions are not obeyed, results are asked for again.",
        citation=_MESSAGES,
        fix="Render the message, or refuse it by raise_exception.",
        loss=impacts.LOST,
        good="{{ message.content }} for every role",
        bad="{{ message.content }} for user and assistant only",
    )
)

TEXT_REPEATED = register(
    Rule(
        code="HT815",
        slug=Slug("text-repeated"),
        family="properties",
        severity="error",
        what="A text that the client sent once is in the prompt more than once.",
        why="The model sees a conversation that did not happen, and pays for it in context.",
        citation=_MESSAGES,
        fix="Write each message in one place.",
        loss=impacts.ALTERED,
        good="{{ message.content }} once",
        bad="{{ message.content }} as instructions and as a message",
    )
)

TEXT_REORDERED = register(
    Rule(
        code="HT816",
        slug=Slug("text-reordered"),
        family="properties",
        severity="error",
        what="Messages are in the prompt in another order than they were sent.",
        why="Answers stand before their questions.",
        citation=_MESSAGES,
        fix="Write the messages in the order in which they come.",
        loss=impacts.BOUNDARY,
        good="{% for message in messages %}",
        bad="{% for message in messages | sort(attribute='role') %}",
    )
)

PYTHON_REPR = register(
    Rule(
        code="HT817",
        slug=Slug("python-repr"),
        family="properties",
        severity="error",
        what="The prompt holds what Python prints for a value: None, True, {'a': 1}, an object's address.",
        why="The model was trained on JSON or text, and engines in other languages print the value otherwise.",
        citation="transformers documentation, writing a chat template: use tojson",
        fix="Print values through tojson, and test for absent and null ones first.",
        loss=impacts.ALTERED,
        good='{{ value | tojson }}, as in {"a": true}',
        bad="{{ value }}, as in {'a': True}",
    )
)

NOT_REPRODUCIBLE = register(
    Rule(
        code="HT818",
        slug=Slug("not-reproducible"),
        family="properties",
        severity="warning",
        what="One conversation has two prompts that differ in more than the date.",
        why="Prompt caches miss, and no result can be repeated.",
        citation="vLLM and SGLang documentation on prefix caching",
        fix="Let nothing but the conversation, the options and the date reach the prompt.",
        loss=impacts.ALTERED,
        good="{{ message.content }}",
        bad="{{ message.content }}{{ range(9) | random }}",
    )
)

ASSISTANT_MASK = register(
    Rule(
        code="HT819",
        slug=Slug("assistant-mask"),
        family="properties",
        severity="error",
        what="The mask of {% generation %} does not cover exactly what the assistant wrote.",
        why="Training learns the user's or a tool's text, or does not learn part of the answer.",
        citation="transformers documentation, chat templating, return_assistant_tokens_mask",
        fix="Put {% generation %} around the assistant's texts, calls and end of turn, outside of macros and set blocks.",
        loss=impacts.BOUNDARY,
        good="{% generation %}{{ message.content }}<|end|>{% endgeneration %}",
        bad="{% generation %}{{ message.content }}{% endgeneration %}<|end|>",
    )
)
GENERATION_MARKS_MISSING = register(
    Rule(
        code="HT821",
        slug=Slug("generation-marks-missing"),
        family="training",
        severity="note",
        what="A template for training has no {% generation %} marks.",
        why="transformers' assistant mask is empty, so that training on it learns nothing, or everything alike.",
        citation="transformers documentation, chat templating, return_assistant_tokens_mask; TRL, assistant_only_loss",
        fix="Put {% generation %} around the assistant's texts, calls and end of turn; templates/gpt-oss-training.jinja does.",
        loss=impacts.BOUNDARY,
        good="{% generation %}{{ message.content }}<|end|>{% endgeneration %}",
        bad="{{ message.content }}<|end|>",
    )
)

UNSUPPORTED_INPUT = register(
    Rule(
        code="HT820",
        slug=Slug("unsupported-input"),
        family="properties",
        severity="note",
        what="The template's code never looks at this part of the request, and nobody is told.",
        why="A client that sends it gets an answer that knows nothing of it.",
        citation=_MESSAGES,
        fix="Refuse it by raise_exception, or say beside the template what it supports.",
        loss=impacts.LOST,
        good="{{ raise_exception('Images are not supported.') }}",
        bad="nothing at all where an image was",
    )
)
