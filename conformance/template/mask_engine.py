"""The engine behind the check of assistant masks: transformers' own `return_assistant_tokens_mask`, as text.

It is not registered: it answers where the assistant wrote, beside what was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from conformance.engines.base import Outcome, Rendered, Request
from conformance.engines.jinja_common import SPECIAL_TOKENS, failed
from conformance.engines.transformers_jinja import TransformersEngine

_TAG = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


def has_marks(template: str) -> bool:
    """Return whether a template marks what the assistant wrote."""
    return _TAG.search(template) is not None


class Masked(msgspec.Struct, frozen=True):
    """A prompt and the spans, from and to, that transformers puts in the assistant mask."""

    text: str
    spans: list[tuple[int, int]]


class MaskEngine(TransformersEngine):
    """Renders with transformers' `render_jinja_template` and returns a `Masked` as JSON."""

    name: ClassVar[str] = "transformers-mask"

    _render: Callable[..., Any]

    def load(self) -> None:
        """Import transformers' rendering function beside what the engine needs."""
        super().load()
        from transformers.utils.chat_template_utils import render_jinja_template

        self._render = render_jinja_template

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request, and give the spans with it; before `load` is done, the text alone.

        Raises MemoryError when the worker's limit is reached.
        """
        if not hasattr(self, "_render"):
            return super().render(template, request)
        self._clock.set(request.moment)
        # As apply_chat_template does.
        messages = [{k: v for k, v in m.items() if v is not None} for m in request.messages]
        try:
            self._compile(template).globals["strftime_now"] = self._clock.strftime_now
            texts, spans = self._render(
                conversations=[messages],
                tools=request.tools,
                chat_template=template,
                return_assistant_tokens_mask=True,
                add_generation_prompt=request.add_generation_prompt,
                **{**SPECIAL_TOKENS, **request.kwargs},
            )
        except MemoryError:
            raise
        except Exception as error:
            return failed(error)
        return Rendered(msgspec.json.encode(Masked(texts[0], spans[0])).decode())
