"""What training with a template would learn: the mask of `{% generation %}` over generated conversations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.locate import NOTED_CHARS, Locator
from conformance.campaign.shrink import Shrinker
from conformance.compare.base import Difference, Found
from conformance.conversation import Assistant, Case, case_id, to_json
from conformance.engines.base import Limits, Outcome, Rendered, SyntaxProblem
from conformance.engines.host import EngineHost, Host
from conformance.errors import UnjudgedError
from conformance.report.cut import fitted
from conformance.report.model import Divergence, Example
from conformance.rules.properties import ASSISTANT_MASK, GENERATION_MARKS_MISSING
from conformance.shapes import Shape
from conformance.template.mask_engine import Masked, MaskEngine, has_marks

CHECK = "mask"
# So many conversations with something of the assistant are enough: what is marked hangs on few of their traits.
ENOUGH = 150

_MESSAGE = re.compile(
    r"<\|start\|>(?P<author>[^<]*)(?:<\|channel\|>[^<]*)?(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<content>.*?)(?P<end><\|end\|>|<\|return\|>|<\|call\|>|\Z)",
    re.DOTALL,
)
_FOREIGN, _CONTENT, _END, _HEADER = (
    "text of others is trained on",
    "text of the assistant is left out",
    "the end of turn is left out",
    "the generation prompt is trained on",
)
# What is learned too much or not at all is graver than a header that is learned although it is always given.
_GRAVEST = (_FOREIGN, _CONTENT, _END, _HEADER)


class Fault(NamedTuple):
    """What a mask has wrong at a character of the prompt."""

    what: str
    offset: int
    length: int


def faults(masked: Masked) -> Iterator[Fault]:
    """Yield what the mask has and should not, or should have and has not, in a prompt that is written as Harmony's."""
    covered = bytearray(len(masked.text))
    for first, last in masked.spans:
        covered[first:last] = b"\x01" * (last - first)
    previous = ""
    for message in _MESSAGE.finditer(masked.text):
        author = message["author"]
        if not author.startswith("assistant"):
            if (at := covered.find(1, message.start(), message.end())) >= 0:
                yield Fault(_FOREIGN, at, message.end() - at)
        else:
            if (at := covered.find(0, *message.span("content"))) >= 0:
                yield Fault(_CONTENT, at, message.end("content") - at)
            # The marks of a conversation that ends in a call or a result end there too.
            elif message["end"] and (at := covered.find(0, *message.span("end"))) >= 0:
                yield Fault(_END, at, len(message["end"]))
            # What follows the assistant's own message it writes itself, header and all.
            given = message.start() + len("<|start|>assistant")
            if not previous.startswith("assistant") and (at := covered.find(1, message.start(), given)) >= 0:
                yield Fault(_HEADER, at, given - at)
        previous = author


class _MaskJudge:
    """Judges masks as `Judge` judges texts, so that their cases are shrunk in the same way."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def answer(self, case: Case) -> Answer | None:
        return self._judge.answer(case)

    def judge(
        self,
        answer: Answer,
        outcome: Outcome | SyntaxProblem,
        *,
        confirm: bool = True,
        readings: bool | None = None,
    ) -> Judgement:
        if not isinstance(outcome, Rendered):
            return Judgement("crashed")
        masked = msgspec.json.decode(outcome.text, type=Masked)
        found: dict[str, Found] = {}
        # Text that holds control tokens makes messages of its own; whose they are cannot be told.
        for fault in () if answer.hostile else faults(masked):
            wrong = masked.text[fault.offset : fault.offset + fault.length]
            difference = Difference(None, "message", "", "", wrong, 0, fault.offset)
            found.setdefault(fault.what, Found(ASSISTANT_MASK.slug, difference, cause=fault.what))
        return Judgement("different" if found else "equal", list(found.values()), text=masked.text)


@dataclass(slots=True)
class _Seen:
    case: Case
    shape: Shape
    count: int = 0


def check_mask(
    name: str,
    template: str,
    cases: Sequence[tuple[Case, Shape]],
    judge: Judge,
    locator: Locator,
    *,
    limits: Limits | None = None,
    relatives: Iterable[Host] = (),
) -> list[Divergence]:
    """Judge a template's mask on conversations that are trained on; empty where it is right.

    A template without marks is told so in a note where its name says that it is one for training. Raises
    UnjudgedError where transformers, which makes the mask, cannot be had.
    """
    fit = [(case, shape) for case, shape in cases if _has_assistant(case)][:ENOUGH]
    if not has_marks(template):
        return [_without_marks(fit)] if "train" in name.lower() and fit else []
    own = _MaskJudge(judge)
    seen: dict[str, _Seen] = {}
    limits = replace(limits, output_chars=NOTED_CHARS) if limits is not None else None
    with EngineHost(MaskEngine, limits=limits, relatives=relatives) as host:
        requests = [shape.request(case) for case, shape in fit]
        judged = 0
        for (case, shape), outcome in zip(fit, host.render_many(template, requests), strict=True):
            answer = judge.answer(case)
            if answer is None or not isinstance(outcome, Rendered):
                continue
            judged += 1
            for found in own.judge(answer, outcome).found:
                known = seen.setdefault(found.cause, _Seen(case, shape))
                known.count += 1
                if len(to_json(case)) < len(to_json(known.case)):
                    known.case, known.shape = case, shape
        if fit and not judged:
            raise UnjudgedError("The template wrote nothing on any conversation to train on.")
        gravest = next((what for what in _GRAVEST if what in seen), None)
        if gravest is None:
            return []
        shrinker = Shrinker(own, host, template)  # type: ignore[arg-type]
        best = seen[gravest]
        small = shrinker.shrink(best.case, best.shape, f"{ASSISTANT_MASK.slug}: {gravest}")
        if small is None:
            return []
        request = small.shape.request(small.case)
        (outcome,) = host.collect(host.submit(template, [request]))
        assert isinstance(outcome, Rendered)
        masked = msgspec.json.decode(outcome.text, type=Masked)
        difference = small.found.difference
        assert difference is not None
        line, origin = locator.locate(template, "transformers", host, request, masked.text, difference)
    example = Example(
        case_id=case_id(small.case),
        case=small.case,
        engine="transformers",
        shape=small.shape.name,
        expected=" … ".join(masked.text[first:last] for first, last in masked.spans) or "(an empty mask)",
        actual=masked.text,
        offset=None,
        actual_offset=difference.actual_start,
        region="; ".join(what for what in _GRAVEST if what in seen),
        message_index=None,
        template_line=line,
        minimal=small.minimal,
        origin=origin,
        handed=request.handed,
    )
    count = max(each.count for each in seen.values())
    return [_divergence(fitted(example), count, count / judged, "warning" if gravest == _HEADER else "error")]


def _divergence(example: Example, count: int, share: float, severity: str) -> Divergence:
    return Divergence(
        rule=ASSISTANT_MASK.slug,
        code=ASSISTANT_MASK.code,
        severity="warning" if severity == "warning" else "error",
        check=CHECK,
        count=count,
        share=share,
        engines=["transformers"],
        shapes=[example.shape.partition("+")[0]],
        vanishes_under=[],
        example=example,
    )


def _without_marks(fit: Sequence[tuple[Case, Shape]]) -> Divergence:
    case, shape = min(fit, key=lambda each: len(to_json(each[0])))
    return Divergence(
        rule=GENERATION_MARKS_MISSING.slug,
        code=GENERATION_MARKS_MISSING.code,
        severity=GENERATION_MARKS_MISSING.severity,
        check=CHECK,
        count=len(fit),
        share=1.0,
        engines=["transformers"],
        shapes=[],
        vanishes_under=[],
        example=Example(
            case_id=case_id(case),
            case=case,
            engine="transformers",
            shape=shape.name,
            expected="(an empty mask)",
            actual="",
            offset=None,
            region="the whole template",
            message_index=None,
            template_line=None,
        ),
    )


def _has_assistant(case: Case) -> bool:
    said = (m for m in case.conversation.messages if isinstance(m, Assistant))
    return case.options.mode == "training" and any(m.final or m.calls or m.thinking for m in said)
