"""Rules about the system message and the frame of the developer message."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_SYSTEM = 'Harmony docs/format.md, "System message format"'
_DEVELOPER = 'Harmony docs/format.md, "Developer message format"'

SYSTEM_TEXT = register(
    Rule(
        code="HT101",
        slug=Slug("system-text"),
        family="system",
        severity="error",
        what="The system message differs outside its date, effort, built-in tools and functions note.",
        why="gpt-oss was trained on one exact system message; other wording moves it off its training data.",
        citation=_SYSTEM,
        fix="Write identity, knowledge cutoff, date, effort and channels as Harmony does, with one empty line between blocks.",
        loss=impacts.FIXED,
        good="You are ChatGPT, a large language model trained by OpenAI.\n",
        bad="You are GPT-OSS, a large language model trained by OpenAI.\n",
    )
)

FUNCTIONS_NOTE = register(
    Rule(
        code="HT102",
        slug=Slug("functions-note"),
        family="system",
        severity="error",
        what="The line `Calls to these tools must go to the commentary channel: 'functions'.` is missing, extra or altered.",
        why="The line tells the model which channel function calls belong to; without it calls land in analysis.",
        citation=f'{_SYSTEM}: "If you are defining functions"',
        fix="End the system message with this line exactly when function tools are defined.",
        loss=impacts.MISSING,
        good="for every message.\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>",
        bad="for every message.<|end|>",
    )
)

REASONING_EFFORT = register(
    Rule(
        code="HT103",
        slug=Slug("reasoning-effort"),
        family="system",
        severity="error",
        what="The `Reasoning:` line differs from the effort that was asked for.",
        why="The effort line is how the model learns how long it should think.",
        citation='Harmony docs/format.md, "Reasoning"',
        fix="Write `Reasoning: low`, `medium` or `high`; medium when nothing was asked for.",
        loss=impacts.LOST,
        good="Reasoning: high\n\n",
        bad="Reasoning: medium\n\n",
    )
)

CURRENT_DATE = register(
    Rule(
        code="HT104",
        slug=Slug("current-date"),
        family="system",
        severity="error",
        what="The `Current date:` line differs from the date of the conversation.",
        why="The model dates everything it knows against this line.",
        citation=_SYSTEM,
        fix='Write `Current date: ` and strftime_now("%Y-%m-%d").',
        loss=impacts.LOST,
        good="Current date: 2025-06-28\n\n",
        bad="Current date: 28 June 2025\n\n",
    )
)

BUILTIN_TOOLS = register(
    Rule(
        code="HT105",
        slug=Slug("builtin-tools"),
        family="system",
        severity="error",
        what="The browser or python section of the system message differs.",
        why="The built-in tools were trained with one exact description; a changed one is an unknown tool.",
        citation='Harmony docs/format.md, "Built-in tools"',
        fix="Copy the sections from Harmony, browser before python, between the effort and the channels.",
        loss=impacts.HEADER,
        good="Reasoning: medium\n\n# Tools\n\n## python\n\n",
        bad="Reasoning: medium\n\n# Tools\n\n# Valid channels",
    )
)

INSTRUCTIONS_TRAILING_NEWLINES = register(
    Rule(
        code="HT111",
        slug=Slug("instructions-trailing-newlines"),
        family="developer",
        severity="error",
        what="Newlines were added or lost at the end of the instructions.",
        why="Every conversation with instructions starts with tokens that the model never saw there in training.",
        citation=f"{_DEVELOPER}: `# Instructions`, an empty line, the instructions, `<|end|>`",
        fix="Write the empty line between the sections only when a tools section follows.",
        loss=impacts.BLANK,
        good="# Instructions\n\na<|end|>",
        bad="# Instructions\n\na\n\n<|end|>",
    )
)

SECTION_ORDER = register(
    Rule(
        code="HT112",
        slug=Slug("section-order"),
        family="developer",
        severity="error",
        what="The developer message lacks a section or heading, or has them in another order.",
        why="The model looks for instructions first and tools second, each under its heading.",
        citation=_DEVELOPER,
        fix="Write `# Instructions`, then `# Tools`, each only when it has something to say.",
        loss=impacts.BOUNDARY,
        good="<|start|>developer<|message|># Tools\n\n## functions\n\n",
        bad="<|start|>developer<|message|>## functions\n\n",
    )
)

EMPTY_INSTRUCTIONS = register(
    Rule(
        code="HT113",
        slug=Slug("empty-instructions"),
        family="developer",
        severity="error",
        what="Empty instructions were written as a developer message or as an empty `# Instructions` block.",
        why="The model reads a heading without a text, which Harmony's document shows nowhere.",
        citation=f"{_DEVELOPER}; profiles.toml, empty_instructions",
        setting="empty_instructions",
        fix="Write the instructions section only when there are instructions, and no developer message without content.",
        loss=impacts.FIXED,
        good="<|end|><|start|>user<|message|>",
        bad="<|end|><|start|>developer<|message|><|end|><|start|>user<|message|>",
    )
)

INSTRUCTIONS_ALTERED = register(
    Rule(
        code="HT114",
        slug=Slug("instructions-altered"),
        family="developer",
        severity="error",
        what="The text of the instructions was changed, beyond newlines at its end.",
        why="The model reads other instructions than the developer gave.",
        citation=_DEVELOPER,
        fix="Write the text as it was given: no trimming, escaping or replacing.",
        loss=impacts.ALTERED,
        good="# Instructions\n\na<|end|>",
        bad="# Instructions\n\nA<|end|>",
    )
)

RESPONSE_FORMATS = register(
    Rule(
        code="HT115",
        slug=Slug("response-formats"),
        family="developer",
        severity="error",
        what="The `# Response Formats` section at the end of the developer message is missing, altered or elsewhere.",
        why="The section tells the model which form its answer has to have; without it only the sampler knows.",
        citation='Harmony docs/format.md, "Structured output"',
        fix="End the developer message with `# Response Formats`, and `## NAME` and the schema for each.",
        loss=impacts.LOST,
        good='# Response Formats\n\n## list\n\n{"type":"object"}<|end|>',
        bad="# Instructions\n\nList it.<|end|>",
    )
)
