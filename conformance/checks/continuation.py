"""`continue_final_message`: the prompt ends with the last assistant text, so that the model goes on with it.

As in transformers, a mark is put behind the text and the prompt is cut where the mark comes out.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from conformance.checks.base import Finding, register
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.compare.base import parting
from conformance.conversation import Assistant
from conformance.rules.properties import CONTINUATION_BROKEN

_MARK = "Continuemark"
_MORE = " and more of it"


@register("continuation")
def continuation(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding when a prefilled answer cannot be continued."""
    last = probe.messages[-1]
    if probe.manner is not None or not isinstance(last, Assistant) or last.final is None:
        return
    text = last.final
    marked = bench.text(_ending(probe, last, text + _MARK))
    if marked is None or not text:
        return
    at = marked.rfind(_MARK)
    cut = marked[:at]
    if at < 0 or not cut.endswith(text):
        yield Finding(
            CONTINUATION_BROKEN.slug,
            probe,
            "the answer is not in the prompt" if at < 0 else "the answer is changed",
            expected=f"…{text}",
            actual=marked if at < 0 else cut,
            message=len(probe.messages) - 1,
        )
        return
    whole = bench.text(_ending(probe, last, text + _MORE))
    if whole is not None and not whole.startswith(cut + _MORE):
        place = parting(cut + _MORE, whole)
        yield Finding(
            CONTINUATION_BROKEN.slug,
            probe,
            "the prompt changes as the answer grows",
            expected=cut + _MORE,
            actual=whole,
            offset=place,
            actual_offset=place,
            message=len(probe.messages) - 1,
        )


def _ending(probe: Probe, last: Assistant, text: str) -> Probe:
    return probe.of((*probe.messages[:-1], replace(last, final=text)))
