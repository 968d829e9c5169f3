"""Template sources with private-use marks around what each output node writes, and the reading of marked text."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import jinja2
import jinja2.ext
from jinja2.exceptions import TemplateSyntaxError
from jinja2.nodes import Template

from conformance.bounds import READ_CHARS
from conformance.engines.jinja2_plain import Generation

# The settings with which chat templates are read everywhere; only used to lex and parse, never to render.
GRAMMAR = jinja2.Environment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
# Private-use areas, the basic one first: there a mark is one unit in every engine's strings.
_AREAS = ((0xE000, 0xF8FF), (0xF0002, 0xFFFFD), (0x100000, 0x10FFFD))
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010fffd]")


def parse(template: str) -> Template:
    """Return a template's syntax tree.

    Raises TemplateSyntaxError when Jinja cannot parse it, or when it is too long to be read.
    """
    _refuse_long(template)
    return GRAMMAR.parse(template)


def _refuse_long(template: str) -> None:
    if len(template) > READ_CHARS:
        raise TemplateSyntaxError(f"it has {len(template):,} characters, of which {READ_CHARS:,} are read", 1)


@dataclass(frozen=True, slots=True)
class OutputNode:
    """Something in a template that writes text: its first line, and whether it is literal text."""

    line: int
    literal: bool


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of a mark: `plain` stands there without the mark, `before` and `after` around it with it.

    `text` is written with the mark, in front of it.
    """

    node: int
    opens: bool
    plain: str
    before: str
    after: str
    text: str


class MarkedSource:
    """A template cut up so that any of its output nodes can be marked.

    Raises TemplateSyntaxError when Jinja cannot lex the source, or when it is too long to be read.
    """

    def __init__(self, template: str) -> None:
        _refuse_long(template)
        self.template = template
        self.nodes: list[OutputNode] = []
        self._pieces: list[str | _Slot] = []
        raw = False
        # The lexer leaves out the whitespace that tags strip, and so does the marked source: behind a mark
        # the same tag would no longer strip it. Line numbers are the lexer's, which count it.
        for line, token, value in GRAMMAR.lexer.tokeniter(template, None):
            if token == "variable_begin":
                self.nodes.append(OutputNode(line, literal=False))
                # A separate output for the mark leaves the expression as it is, in every engine; the sign
                # that strips whitespace stays outermost.
                self._slot(opens=True, plain=value, before=value, after="}}{{")
            elif token == "variable_end":
                self._slot(opens=False, plain=value, before="}}{{", after=value)
            elif token == "raw_begin":
                raw = True
                self.nodes.append(OutputNode(line + value.count("\n"), literal=True))
                self._slot(opens=True, plain=value, before="{{", after="}}" + value)
            elif token == "raw_end":
                raw = False
                self._slot(opens=False, plain=value, before=value + "{{", after="}}")
            elif token == "data" and not raw:
                self.nodes.append(OutputNode(line, literal=True))
                self._slot(opens=True, plain="", before="{{", after="}}")
                self._pieces.append(text := value.rstrip("{"))
                # A brace that ends the text would make another tag of the braces that come next.
                braces = value[len(text) :]
                plain = f'{{{{"{braces}"}}}}' if braces else ""
                self._slot(opens=False, plain=plain, before="{{", after="}}", text=braces)
            else:
                self._pieces.append(value)
        if template.endswith(("\n", "\r")):
            self._pieces.append("\n")  # the one at the very end, which the lexer leaves out

    def _slot(self, *, opens: bool, plain: str, before: str, after: str, text: str = "") -> None:
        self._pieces.append(_Slot(len(self.nodes) - 1, opens, plain, before, after, text))

    def source(self, nodes: Collection[int], base: int) -> str:
        """Return the template with these nodes marked: node n by the character `base` + n, ends by one more."""
        end = chr(base + len(self.nodes))
        out: list[str] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                out.append(piece)
            elif piece.node in nodes:
                mark = chr(base + piece.node) if piece.opens else end
                out.append(f'{piece.before}"{piece.text}{mark}"{piece.after}')
            else:
                out.append(piece.plain)
        return "".join(out)

    def free_base(self, text: str) -> int | None:
        """Return where marks begin that neither the template nor the text uses, or None when there is no room."""
        used = sorted(set(map(ord, _PRIVATE.findall(self.template) + _PRIVATE.findall(text))))
        needed = len(self.nodes) + 1
        for first, last in _AREAS:
            start = first
            for taken in [code for code in used if first <= code <= last] + [last + 1]:
                if taken - start >= needed:
                    return start
                start = taken + 1
        return None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The innermost node open at an offset, and the text it wrote: from `start` to `stop`."""

    node: int
    start: int
    stop: int


class Reading:
    """A marked text taken apart: `text` without marks, and which node wrote which stretch of it.

    Raises ValueError when the marks are not nested as the template wrote them.
    """

    def __init__(self, marked: str, base: int, count: int) -> None:
        self._base = base
        self._end = base + count
        self._split = re.split(f"([{chr(base)}-{chr(base + count)}])", marked)
        self._stretches: list[Stretch] = []
        length = 0
        opened: list[tuple[int, int]] = []
        for position, piece in enumerate(self._split):
            if position % 2 == 0:
                length += len(piece)
            elif (code := ord(piece)) < self._end:
                opened.append((code - base, length))
            elif not opened:
                raise ValueError("a mark ends that did not begin")
            else:
                self._stretches.append(Stretch(*opened.pop(), length))
        if opened:
            raise ValueError("a mark begins and does not end")
        self.text = "".join(self._split[::2])

    def innermost(self, offset: int) -> Stretch | None:
        """Return the innermost marked stretch that holds the character at an offset."""
        # Stretches come in the order in which they end, so an inner one precedes those around it.
        return next((each for each in self._stretches if each.start <= offset < each.stop), None)

    def only(self, nodes: Collection[int]) -> str:
        """Return the marked text as it would be if only these nodes had been marked."""
        kept: list[bool] = []
        out: list[str] = []
        for position, piece in enumerate(self._split):
            if position % 2 == 0:
                out.append(piece)
                continue
            if (code := ord(piece)) < self._end:
                kept.append(code - self._base in nodes)
                keep = kept[-1]
            else:
                keep = kept.pop()
            if keep:
                out.append(piece)
        return "".join(out)
