"""Runs in SGLang's own environment: reads chat-completions bodies, writes what its pipeline hands to the template."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from llm_router_utils.sglang.srt.entrypoints.openai.protocol import ChatCompletionRequest
from llm_router_utils.sglang.srt.entrypoints.openai.serving_chat import OpenAIServingChat
from llm_router_utils.sglang.srt.managers.tokenizer_manager import TokenizerManager
from llm_router_utils.sglang.srt.parser.template_manager import TemplateManager
from llm_router_utils.sglang.srt.server_args import PortArgs, ServerArgs

arguments = ServerArgs(model_path=os.environ["CONFORMANCE_MODEL"], device="cpu")
manager, templates = TokenizerManager(arguments, PortArgs()), TemplateManager()
templates.initialize_templates(
    tokenizer_manager=manager, model_path=arguments.model_path, chat_template=arguments.chat_template
)
serving = OpenAIServingChat(manager, templates)
handed: list[Any] = []


def spy(messages: Any, *, tools: Any, template_kwargs: Any, encode_kwargs: Any, use_cache: bool) -> Any:
    """Note what would be rendered."""
    handed.append({"messages": messages, "tools": tools, "kwargs": template_kwargs})
    return [1], None


serving._render_and_encode_chat_template = spy
for line in sys.stdin:
    handed.clear()
    try:
        serving._process_messages(ChatCompletionRequest.model_validate(json.loads(line)), is_multimodal=False)
        print(json.dumps(handed[0]), flush=True)
    except ValueError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
