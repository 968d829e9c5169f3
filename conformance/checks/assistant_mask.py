"""The mask of `{% generation %}` covers what the assistant wrote: its texts and its end, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from conformance.checks.base import Finding, register
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.checks.words import ASSISTANT_KINDS, places, words
from conformance.conversation import Assistant
from conformance.engines.base import Rendered
from conformance.rules.properties import ASSISTANT_MASK
from conformance.template.mask_engine import Masked

_END = "end of turn left out"
_HEADER = "the generation prompt taken for the assistant's"


@register("assistant-mask")
def assistant_mask(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield the first text that the mask has and should not, or should have and has not.

    Tried only where the template has the tag, with the spans that transformers itself computes.
    """
    if bench.mask_host is None or probe.manner is not None or probe.asks:
        return
    request = probe.request(generation=False)
    (outcome,) = bench.mask_host.render_many(bench.template, [request])
    if not isinstance(outcome, Rendered):
        return
    masked = msgspec.json.decode(outcome.text, type=Masked)
    found = _wrong(probe, masked) or _header(bench, probe, masked) or _end(probe, masked)
    if found is not None:
        what, offset, message = found
        yield Finding(
            ASSISTANT_MASK.slug,
            probe,
            what,
            expected=_shown(masked),
            actual=masked.text,
            actual_offset=offset,
            message=message,
            severity="warning" if what in (_HEADER, _END) else None,
        )


def _wrong(probe: Probe, masked: Masked) -> tuple[str, int, int | None] | None:
    for word in words(probe.case.conversation):
        for at in places(masked.text, word.text):
            end = at + len(word.text)
            inside = any(first <= at and end <= last for first, last in masked.spans)
            touched = any(first < end and at < last for first, last in masked.spans)
            if word.kind in ASSISTANT_KINDS and not inside:
                return f"{word.kind} of the assistant left out", at, word.message
            # A tool's name is in its call too, and the assistant writes that.
            if word.kind in ("user", "instructions", "result", "tool description") and touched:
                return f"{word.kind} taken for the assistant's", at, word.message
    return None


def _header(bench: Bench, probe: Probe, masked: Masked) -> tuple[str, int, int | None] | None:
    """Look at the first assistant message: its header is the generation prompt, which nobody learns to write."""
    index = next(i for i, message in enumerate(probe.messages) if isinstance(message, Assistant))
    if index == 0 or not masked.spans:
        return None
    prompt = bench.text(probe.first(index), generation=True)
    if prompt is None or not masked.text.startswith(prompt):
        return None
    first = masked.spans[0][0]
    if first < len(prompt) and prompt[first:].strip():
        return _HEADER, first, index
    return None


def _end(probe: Probe, masked: Masked) -> tuple[str, int, int | None] | None:
    """Look behind the last message, which the assistant ends: what is not learned there is not written either."""
    if masked.spans and masked.text[masked.spans[-1][1] :].strip():
        return _END, masked.spans[-1][1], len(probe.messages) - 1
    return None


def _shown(masked: Masked) -> str:
    return " … ".join(masked.text[first:last] for first, last in masked.spans) or "(an empty mask)"
