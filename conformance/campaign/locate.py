"""Where in the template a divergence comes from: its lines, by the best means that its engine allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.compare.base import Difference, Found
from conformance.engines.base import Engine, Limits, Rendered, Request
from conformance.engines.host import EngineHost, Host
from conformance.errors import UnjudgedError
from conformance.report.model import Origin
from conformance.template.lines import LineTracer
from conformance.template.origin import OriginTracer
from conformance.template.provenance import Jinja2Provenance, TransformersProvenance

NOTED_CHARS = 16 << 20

Located = tuple[int | None, Origin | None]

# A mended text goes on as Harmony's does, for so many characters at least, before it is judged as a whole.
_AFTER, _FAR = 12, 200


def mended(judge: Judge, answer: Answer, judgement: Judgement, found: Found) -> Callable[[str], bool]:
    """Return what says of another text for the same case that one finding is gone from it, and no other has come."""
    actual, expected, difference = judgement.text or "", answer.rendering.text, found.difference
    if difference is None:
        return expected.__eq__
    at, offset = difference.actual_offset, difference.offset
    known = {each.rule for each in judgement.found}
    length = min(len(difference.expected) - (offset - difference.start) + _AFTER, _FAR)

    def right(text: str) -> bool:
        if text == expected:
            return True
        here = text[:at] == actual[:at] and text[at : at + length] == expected[offset : offset + length]
        if not here or text == actual:
            return False
        judged = judge.judge(answer, Rendered(text), confirm=False).found
        return known.issuperset(one.rule for one in judged) and all(one.key != found.key for one in judged)

    return right


class Locator:
    """Finds lines of templates; `close` ends its workers, each of which starts with the first question.

    Text that transformers or Jinja2 write too is traced there, with all that Jinja2 can tell; what only another engine
    writes is traced by marks in the template, on that engine. Loaded workers of the `relatives` make those for this.
    """

    def __init__(self, *, limits: Limits | None = None, relatives: Iterable[Host] = ()) -> None:
        self._relatives = tuple(relatives)
        # What is noted beside a text is longer than the text.
        self._limits = replace(limits, output_chars=NOTED_CHARS) if limits is not None else None
        self._hosts: dict[type[Engine], EngineHost] = {}
        self._useless: set[type[Engine]] = set()
        self._origins: dict[tuple[type[Engine], str], OriginTracer] = {}
        self._lines: dict[tuple[str, str], LineTracer] = {}

    def locate(
        self,
        template: str,
        engine: str,
        host: Host,
        request: Request,
        text: str,
        difference: Difference,
        right: Callable[[str], bool] | None = None,
    ) -> Located:
        """Return the line that wrote what differs, None where nothing was written or it is unknown, and the rest.

        `text` is what the template wrote for the request on the engine behind the host; `right` says of another text
        whether the difference is mended in it.
        """
        program = Jinja2Provenance if engine == "jinja2" else TransformersProvenance
        try:
            line, origin = self._origin(program, template).origin(
                request, text, difference.actual_start, difference.expected, difference.actual, right
            )
            if origin is not None:
                return line, origin
        except UnjudgedError:
            # This version of transformers cannot be noted in; the marks need nothing of it.
            self._useless.add(program)
        if not difference.actual:
            return None, None
        key = (engine, template)
        if key not in self._lines:
            self._lines[key] = LineTracer(host, template)
        return self._lines[key].line(request, text, difference.actual_offset), None

    def failure(
        self, template: str, engine: str, request: Request, right: Callable[[str], bool]
    ) -> Origin | None:
        """Return what decided on a failure beside the line that failed, None where nothing is known of it."""
        program = Jinja2Provenance if engine == "jinja2" else TransformersProvenance
        try:
            return self._origin(program, template).failure(request, right)
        except UnjudgedError:
            self._useless.add(program)
            return None

    def _origin(self, program: type[Engine], template: str) -> OriginTracer:
        if program in self._useless:
            raise UnjudgedError(f"The engine {program.name} does not work here.")
        if program not in self._hosts:
            self._hosts[program] = EngineHost(program, limits=self._limits, relatives=self._relatives)
        key = (program, template)
        if key not in self._origins:
            self._origins[key] = OriginTracer(self._hosts[program], template)
        return self._origins[key]

    def close(self) -> None:
        """End the workers."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()
        self._origins.clear()
