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

EOS_TOKEN = register(
    Rule(
        code="HT858",
        slug=Slug("eos-token"),
        family="package",
        severity="error",
        what="The tokenizer's eos_token is not `<|return|>`.",
        why="Training writes it behind answers and servers stop at it, but the model ends its answers in another token.",
        citation=f"{_FORMAT}; openai/gpt-oss-20b tokenizer_config.json: eos_token `<|return|>`",
        fix="Write eos_token `<|return|>` into tokenizer_config.json.",
        loss=impacts.STOPS,
        good='"eos_token": "<|return|>"',
        bad='"eos_token": "<|endoftext|>"',
    )
)

PAD_TOKEN = register(
    Rule(
        code="HT859",
        slug=Slug("pad-token"),
        family="package",
        severity="error",
        what="The padding is a token that ends a message or a turn.",
        why="Training leaves padding out of the loss, and with it the end of every answer: the model never learns to stop.",
        citation="huggingface/transformers issue 22794 (pad_token = eos_token: the model never stops); openai/gpt-oss-20b: `<|endoftext|>`",
        fix="Write pad_token `<|endoftext|>` (199999), which no prompt of Harmony holds.",
        loss=impacts.STOPS,
        good='"pad_token": "<|endoftext|>"',
        bad='"pad_token": "<|return|>"',
    )
)

SAMPLING = register(
    Rule(
        code="HT860",
        slug=Slug("sampling"),
        family="package",
        severity="warning",
        what="The package samples otherwise than OpenAI recommends: temperature 1, top-p 1, top-k off.",
        why="Programs that take these settings unasked get answers that were never evaluated.",
        citation='openai/gpt-oss README, "Recommended Sampling Parameters": temperature 1.0 and top_p 1.0',
        fix="Remove temperature, top_p and top_k from generation_config.json, or write 1.0, 1.0 and 0.",
        loss=impacts.ALTERED,
        good='"temperature": 1.0',
        bad='"temperature": 0.7, "top_k": 50',
    )
)

ADDED_TOKEN_FLAGS = register(
    Rule(
        code="HT861",
        slug=Slug("added-token-flags"),
        family="package",
        severity="error",
        what="A special token of Harmony strips white space, stands only between blanks, is normalized, or is not special.",
        why="White space beside it is lost from what the model reads, the token is not found, or it is shown to users.",
        citation="tokenizers documentation, AddedToken (lstrip, rstrip, single_word, normalized, special)",
        fix="Set lstrip, rstrip, single_word and normalized to false and special to true for it.",
        loss=impacts.STOPS,
        good='{"content": "<|message|>", "rstrip": false, "special": true}',
        bad='{"content": "<|message|>", "rstrip": true, "special": false}',
    )
)
