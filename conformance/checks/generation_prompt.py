"""The generation prompt is a pure suffix of the prompt without it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks.base import Finding, register
from conformance.checks.bench import Bench
from conformance.checks.prefix import without_dropped
from conformance.checks.probe import Probe
from conformance.checks.words import text_end
from conformance.rules.properties import END_UNSTABLE, GENERATION_PROMPT_NOT_SUFFIX


@register("generation-prompt")
def generation_prompt(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding when asking for a generation prompt changes what stands before it.

    An end token that is written only where no answer is asked for (`{% else %}{{ eos_token }}`) is
    `end-unstable`; an empty generation prompt is legal. How much thinking is kept may depend on whether an answer is
    asked for: looked at are conversations without any, and empty thoughts may be dropped.
    """
    if probe.manner is not None or not probe.asks:
        return
    probe = probe.without_thinking()
    asked, plain = bench.text(probe, generation=True), bench.text(probe, generation=False)
    if asked is None or plain is None or asked.startswith(plain):
        return
    legal, place, other = without_dropped(plain, asked, probe)
    if legal:
        return
    after_text = place >= text_end(plain, probe.case.conversation)
    yield Finding(
        END_UNSTABLE.slug if after_text else GENERATION_PROMPT_NOT_SUFFIX.slug,
        probe,
        "what follows the last message" if after_text else "text of the messages",
        expected=plain,
        actual=asked,
        offset=place,
        actual_offset=other,
        message=len(probe.messages) - 1,
    )
