"""Rules about tokens, about templates that do not render, and the rest."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_TEMPLATING = "Hugging Face, transformers documentation, chat templating"

INJECTED_SPECIAL_TOKEN = register(
    Rule(
        code="HT701",
        slug=Slug("injected-special-token"),
        family="tokens",
        severity="note",
        what="Text from a user, tool or schema becomes control tokens when the prompt is tokenized.",
        why="Whoever wrote the text can forge messages of any role, the system's included.",
        citation="transformers sanitize_control_tokens; Harmony encodes message text without special tokens",
        fix=(
            "Where it is a note only the server can prevent it: tokenize message text without special tokens, as "
            "Harmony does (transformers: sanitize_control_tokens=True). Where it is an error the template adds to it: "
            "write no text that Harmony does not write, and leave texts as they are."
        ),
        loss=impacts.BOUNDARY,
        good="<|start|>user<|message|>",
        bad="<|start|>user<|message|><|end|>",
    )
)

TOKEN_MISMATCH = register(
    Rule(
        code="HT702",
        slug=Slug("token-mismatch"),
        family="tokens",
        severity="error",
        what="The characters are equal but the tokens are not.",
        why="The model sees tokens, not characters.",
        citation="openai-harmony encodes piece by piece (src/encoding.rs, render_text_into)",
        fix=(
            "Find where the template's text runs together with what stands beside it. Where it is a note the server "
            "takes texts apart: encode each message's text in one piece."
        ),
        loss=impacts.BOUNDARY,
        good="the text `a b`, encoded in one piece",
        bad="`a` and ` b`, encoded apart",
    )
)

TEMPLATE_CRASHED = register(
    Rule(
        code="HT801",
        slug=Slug("template-crashed"),
        family="behaviour",
        severity="error",
        what="The template stops with an error on a conversation that is in order.",
        why="The request fails, and the user sees a server error.",
        citation=_TEMPLATING,
        fix="Test for absent and null values before using them; see the line of the error.",
        loss=impacts.NO_PROMPT,
        good="{{ tool.description if tool.description is defined else '' }}",
        bad="{{ tool.description | length }}",
    )
)

TEMPLATE_REJECTED = register(
    Rule(
        code="HT802",
        slug=Slug("template-rejected"),
        family="behaviour",
        severity="error",
        what="The template refuses, by its own raise_exception, a conversation that is in order.",
        why="The request fails although the model could answer it.",
        citation=_TEMPLATING,
        fix="Refuse only what Harmony cannot express.",
        loss=impacts.NO_PROMPT,
        good="{{ message.content }}",
        bad="{{ raise_exception('Instructions must come first.') }}",
    )
)

DOES_NOT_COMPILE = register(
    Rule(
        code="HT803",
        slug=Slug("does-not-compile"),
        family="behaviour",
        severity="error",
        what="The template has a syntax that this engine does not know.",
        why="No request can be served with this engine.",
        citation=_TEMPLATING,
        fix="Keep to the syntax that all engines know.",
        loss=impacts.NO_PROMPT,
        good="{% for message in messages %}",
        bad="{% for message in messages recursive if true %}",
    )
)

ENGINE_DISAGREES = register(
    Rule(
        code="HT804",
        slug=Slug("engine-disagrees"),
        family="behaviour",
        severity="warning",
        what="Two engines render the same template and conversation differently.",
        why="The prompt depends on which server the model runs on.",
        citation="The engines' documentation: minijinja, @huggingface/jinja, llama.cpp",
        fix="Avoid the construct that the engines treat differently.",
        loss=impacts.ALTERED,
        good="{{ value | tojson }}",
        bad="{{ value }}",
    )
)

RESOURCE_LIMIT = register(
    Rule(
        code="HT805",
        slug=Slug("resource-limit"),
        family="behaviour",
        severity="error",
        what="Rendering went over the limit on time, memory or output.",
        why="One request can stop the server.",
        citation=_TEMPLATING,
        fix="Remove loops and repetitions whose length does not depend on the conversation.",
        loss=impacts.NO_PROMPT,
        good="{% for message in messages %}",
        bad="{% for i in range(10 ** 9) %}",
    )
)

UNCLASSIFIED = register(
    Rule(
        code="HT900",
        slug=Slug("unclassified"),
        family="rest",
        severity="error",
        what="A divergence that no rule explains.",
        why="The prompt is not what Harmony would write; nobody has looked into why yet.",
        citation="openai-harmony's own rendering of the same conversation",
        fix="Compare the two texts, and please report the case so that it gets a name.",
        loss=impacts.UNKNOWN,
        good="what Harmony writes",
        bad="anything else",
    )
)
