"""Rules about a model package: tokenizer, configurations and templates that lie side by side."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register

_FORMAT = 'Harmony docs/format.md, "Special Tokens"'

PACKAGE_UNREADABLE = register(
    Rule(
        code="HT851",
        slug=Slug("package-unreadable"),
        family="package",
        severity="error",
        what="A file of the package cannot be read, so that nothing in it could be checked.",
        why="Programs that need the file stop, or go on with settings of their own.",
        citation="transformers documentation, from_pretrained; GGUF specification, docs/gguf.md of ggml",
        fix="Repair the file, or download it again.",
        loss=impacts.NO_PROMPT,
        good='{"bos_token": null}',
        bad='{"bos_token": null',
    )
)

SPECIAL_TOKEN_IDS = register(
    Rule(
        code="HT852",
        slug=Slug("special-token-ids"),
        family="package",
        severity="error",
        what="A special token of Harmony has another id than in o200k_harmony, or is missing.",
        why="The model was trained on these ids; any other number is another word to it, and the frame of messages is lost.",
        citation=f"{_FORMAT}; openai-harmony src/tiktoken_ext/public_encodings.rs (o200k_harmony)",
        fix="Take the tokenizer files of openai/gpt-oss-20b, and let no tool add tokens or renumber them.",
        loss=impacts.STOPS,
        good="<|start|> 200006",
        bad="<|start|> 200019",
    )
)

SPECIAL_TOKEN_TYPE = register(
    Rule(
        code="HT853",
        slug=Slug("special-token-type"),
        family="package",
        severity="error",
        what="A special token of Harmony is stored as ordinary text.",
        why="The tokenizer then takes the token apart when it reads a prompt, and the model sees its letters.",
        citation="llama.cpp src/llama-vocab.cpp (only control and user-defined tokens are matched as a whole); tokenizers, AddedToken",
        fix="Mark it as control (3) or user-defined (4) in tokenizer.ggml.token_type, or list it under added_tokens.",
        loss=impacts.STOPS,
        good="<|start|> control",
        bad="<|start|> normal",
    )
)

STOP_TOKENS = register(
    Rule(
        code="HT854",
        slug=Slug("stop-tokens"),
        family="package",
        severity="error",
        what="Generation does not stop at `<|return|>` and `<|call|>`, or stops at `<|end|>`.",
        why="Without them the model goes on after its answer or invents the tool's result; with `<|end|>` it stops after thinking.",
        citation=f"{_FORMAT} (stop tokens); openai/gpt-oss-20b generation_config.json: eos_token_id [200002, 199999, 200012]",
        fix="Write eos_token_id [200002, 199999, 200012] in generation_config.json; in a GGUF tokenizer.ggml.eos_token_id 200002.",
        loss=impacts.STOPS,
        good='"eos_token_id": [200002, 199999, 200012]',
        bad='"eos_token_id": [200002, 200007]',
    )
)

BOS_ADDED = register(
    Rule(
        code="HT855",
        slug=Slug("bos-added"),
        family="package",
        severity="error",
        what="The tokenizer adds a token of its own before or after the prompt.",
        why="A Harmony prompt begins with `<|start|>` and ends where the model goes on; anything else the model has never seen.",
        citation="openai-harmony src/encoding.rs (render_conversation writes no begin-of-text token)",
        fix="Set add_bos_token to false and remove the token from tokenizer.json's post_processor; tokenizer.ggml.add_bos_token false.",
        loss=impacts.STOPS,
        good='"add_bos_token": false',
        bad='"add_bos_token": true',
    )
)

CONTEXT_LENGTH = register(
    Rule(
        code="HT856",
        slug=Slug("context-length"),
        family="package",
        severity="warning",
        what="The package says another context length than 131,072 tokens.",
        why="A shorter one cuts conversations off that the model could read; a longer one lets it run where it was not trained.",
        citation="gpt-oss model card, section 2; openai/gpt-oss-20b config.json: max_position_embeddings 131072",
        fix="Write max_position_embeddings 131072 in config.json, gpt-oss.context_length 131072 in a GGUF.",
        loss=impacts.LOST,
        good='"max_position_embeddings": 131072',
        bad='"max_position_embeddings": 4096',
    )
)

TEMPLATE_DRIFT = register(
    Rule(
        code="HT857",
        slug=Slug("template-drift"),
        family="package",
        severity="error",
        what="Two places of the package hold different chat templates under the same name.",
        why="Which prompt the model gets then depends on the program that reads the package; only one of them is judged.",
        citation="transformers documentation, chat templates: chat_template.jinja goes before tokenizer_config.json; llama.cpp reads the GGUF's",
        fix="Keep one template: remove chat_template from tokenizer_config.json, and write the same text into the GGUF.",
        loss=impacts.ALTERED,
        good="one template in chat_template.jinja and tokenizer_config.json",
        bad="two templates that differ",
    )
)
