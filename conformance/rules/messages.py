"""Rules about messages: channels, thinking, what is lost or added, and how messages end."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_CHANNELS = 'Harmony docs/format.md, "Channels"'
_FORMAT = 'Harmony docs/format.md, "Message format"'
_THINKING = 'Harmony docs/format.md, "Handling reasoning output in subsequent sampling"'

FINAL_CHANNEL_MISSING = register(
    Rule(
        code="HT501",
        slug=Slug("final-channel-missing"),
        family="messages",
        severity="error",
        what="An answer is not in the final channel.",
        why="The system message says that every message names its channel; without it the model stops naming its own.",
        citation=_CHANNELS,
        fix="Write `<|start|>assistant<|channel|>final<|message|>`.",
        loss=impacts.HEADER,
        good="<|start|>assistant<|channel|>final<|message|>a<|end|>",
        bad="<|start|>assistant<|message|>a<|end|>",
    )
)

THINKING_CHANNEL = register(
    Rule(
        code="HT502",
        slug=Slug("thinking-channel"),
        family="messages",
        severity="error",
        what="Thinking is not in the analysis channel.",
        why="Private thinking is shown as if the user had read it.",
        citation=_CHANNELS,
        fix="Write thinking as `<|start|>assistant<|channel|>analysis<|message|>…<|end|>` before what it led to.",
        loss=impacts.HEADER,
        good="<|start|>assistant<|channel|>analysis<|message|>a<|end|>",
        bad="<|start|>assistant<|channel|>commentary<|message|>a<|end|>",
    )
)

THINKING_RETENTION = register(
    Rule(
        code="HT503",
        slug=Slug("thinking-retention"),
        family="messages",
        severity="error",
        what="Thinking of earlier turns is kept or dropped otherwise than the profile says.",
        why="The model was trained with a fixed rule on which of its earlier thoughts it still sees.",
        citation=f"{_THINKING}; openai-harmony src/encoding.rs, auto_drop_analysis; openai/harmony issue 96",
        fix="Decide by the reading: `harmony` drops only what precedes the first final, and only once the last message is a final; `documented` drops what precedes the last final. Both keep the thinking of a call that is still being answered.",
        setting="thinking_inference",
        loss=impacts.LOST,
        good="for every message.<|end|><|start|>assistant<|channel|>final<|message|>a<|end|>",
        bad="<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>a<|end|>",
    )
)

THINKING_DROPPED = register(
    Rule(
        code="HT504",
        slug=Slug("thinking-dropped"),
        family="messages",
        severity="error",
        what="Thinking that every retention setting keeps was lost.",
        why="In the middle of a tool call the model loses the plan that it was following.",
        citation=f"{_THINKING}: the exception for tool calls",
        fix="Read `thinking`, `reasoning_content` and `reasoning`, and write whichever is there.",
        loss=impacts.LOST,
        good="<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
        bad="for every message.<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
    )
)

EMPTY_FINAL = register(
    Rule(
        code="HT505",
        slug=Slug("empty-final"),
        family="messages",
        severity="error",
        what="An empty answer was written where there was none.",
        why="The model sees that it answered nothing, and learns to.",
        citation=_FORMAT,
        fix="Write a final message only when there is text for it.",
        loss=impacts.BOUNDARY,
        good="for every message.<|end|><|start|>assistant",
        bad="<|start|>assistant<|channel|>final<|message|><|end|><|start|>assistant",
    )
)

MESSAGE_DROPPED = register(
    Rule(
        code="HT506",
        slug=Slug("message-dropped"),
        family="messages",
        severity="error",
        what="A message of the conversation is missing from the prompt.",
        why="Text that was sent never reaches the model, and nobody is told.",
        citation=_FORMAT,
        fix="Render every role, or raise an exception that says what cannot be rendered.",
        loss=impacts.MISSING,
        good="<|start|>developer<|message|>a<|end|><|start|>assistant",
        bad="for every message.<|end|><|start|>assistant",
    )
)

ROLE_HEADER = register(
    Rule(
        code="HT507",
        slug=Slug("role-header"),
        family="messages",
        severity="error",
        what="A message's header names another role or has another form.",
        why="The role decides how much the model trusts a text.",
        citation='Harmony docs/format.md, "Roles"',
        fix="Write `<|start|>`, the role, the channel where there is one, and `<|message|>`.",
        loss=impacts.HEADER,
        good="<|start|>developer<|message|>a<|end|>",
        bad="<|start|>system<|message|>a<|end|>",
    )
)

MESSAGE_ADDED = register(
    Rule(
        code="HT508",
        slug=Slug("message-added"),
        family="messages",
        severity="error",
        what="The prompt holds a message that the conversation does not.",
        why="The model reads something that nobody said.",
        citation=_FORMAT,
        fix="Render nothing but the messages that were given.",
        loss=impacts.BOUNDARY,
        good="<|start|>user<|message|><|end|><|start|>assistant",
        bad="<|start|>user<|message|><|end|><|start|>user<|message|>Continue.<|end|>",
    )
)

MESSAGE_MOVED = register(
    Rule(
        code="HT513",
        slug=Slug("message-moved"),
        family="messages",
        severity="error",
        what="A message stands in another place of the prompt.",
        why="What the model reads last, and what an answer seems to follow, is not what happened.",
        citation=_FORMAT,
        fix="Write the messages in the order in which they come, the developer message right behind the system message.",
        loss=impacts.ORDER,
        good="analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>a<|end|>",
        bad="commentary<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>a<|end|>",
    )
)

TEXT_TRIMMED = register(
    Rule(
        code="HT509",
        slug=Slug("text-trimmed"),
        family="messages",
        severity="error",
        what="White space at the beginning or end of a message's text was cut off.",
        why="Code, diffs and prefixes change their meaning; a continued answer starts in the wrong place.",
        citation="openai-harmony renders text verbatim (src/encoding.rs, Render<TextContent>)",
        fix="Write the text as it is; leave out `|trim` and check for `-` in the tags beside it.",
        loss=impacts.ALTERED,
        good="<|start|>user<|message|> <|end|>",
        bad="<|start|>user<|message|><|end|>",
    )
)

TEXT_ALTERED = register(
    Rule(
        code="HT510",
        slug=Slug("text-altered"),
        family="messages",
        severity="error",
        what="Characters inside a message's text were changed.",
        why="The model reads something else than was written.",
        citation="openai-harmony renders text verbatim (src/encoding.rs, Render<TextContent>)",
        fix="Write the text as it is: no escaping, splitting or replacing.",
        loss=impacts.ALTERED,
        good="<|start|>user<|message|>R<|end|>",
        bad="<|start|>user<|message|>r<|end|>",
    )
)

RETURN_OR_END = register(
    Rule(
        code="HT601",
        slug=Slug("return-or-end"),
        family="ends",
        severity="error",
        what="A message ends in `<|return|>` where `<|end|>` belongs, or the other way round.",
        why="`<|return|>` is a stop token: in history it is noise, in training its absence teaches the model to run on.",
        citation='Harmony docs/format.md, "Example output", implementation note',
        fix="End history with `<|end|>`, and only a last answer in training with `<|return|>`.",
        loss=impacts.BOUNDARY,
        good="<|channel|>final<|message|>a<|return|>",
        bad="<|channel|>final<|message|>a<|end|>",
    )
)

GENERATION_PROMPT = register(
    Rule(
        code="HT602",
        slug=Slug("generation-prompt"),
        family="ends",
        severity="error",
        what="The prompt does not end in `<|start|>assistant`, or does when it should not.",
        why="The model has to begin with its channel; any other end makes it begin elsewhere.",
        citation='Harmony docs/format.md, "Chat conversation format"',
        fix="Write `<|start|>assistant` and nothing after it when add_generation_prompt is set, and only then.",
        loss=impacts.BOUNDARY,
        good="for every message.<|end|>",
        bad="for every message.<|end|><|start|>assistant",
    )
)

EXTRA_NEWLINE = register(
    Rule(
        code="HT603",
        slug=Slug("extra-newline"),
        family="ends",
        severity="error",
        what="White space was added or lost between or around messages.",
        why="Each stray newline is a token that training did not have there.",
        citation=_FORMAT,
        fix="Use `{%-` and `-%}` around blocks, and write newlines only inside expressions.",
        loss=impacts.BLANK,
        good="<|start|>user<|message|><|end|><|start|>assistant",
        bad="<|start|>user<|message|><|end|>\n<|start|>assistant",
    )
)
