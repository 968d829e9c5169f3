"""Lines of planted templates: what they write says which line wrote it."""

import re

import pytest

from conformance.engines.base import Rendered, Request
from conformance.engines.in_process import InProcessHost
from conformance.sources import catalogue
from conformance.template.lines import LineTracer
from conformance.template.marks import GRAMMAR, MarkedSource


def request(*contents: str) -> Request:
    messages = [{"role": "user", "content": content} for content in contents or ("hello",)]
    return Request(messages, None, {}, False, "2025-06-28")


@pytest.fixture(scope="module", name="host")
def _host() -> InProcessHost:
    return InProcessHost("jinja2")


def render(host: InProcessHost, template: str, *contents: str) -> str:
    outcome = host.render(template, request(*contents))
    assert isinstance(outcome, Rendered), outcome
    return outcome.text


def traced(host: InProcessHost, template: str, *contents: str) -> list[tuple[int, int | None]]:
    """Return (line written in the text, line traced) for every <n> in what the template writes."""
    text = render(host, template, *contents)
    tracer = LineTracer(host, template)
    found = [
        (int(match[1]), tracer.line(request(*contents), text, match.start()))
        for match in re.finditer(r"<(\d+)>", text)
    ]
    assert found
    return found


# In each, <n> is written by line n.
PLANTED = {
    "plain text": "<1>\n<2>\n\n<4> {{ messages[0].content }} <4>\n<5>",
    "expressions": "{{ '<1>' }}\n{{- '<2>' -}}\n  {{ '<3>' ~ 1 ~ none }}{{ '<3>' }}\n\n{{- {'a': {'b': '<5>'}}.a.b }}",
    "several lines in one literal": "{% if true %}\n<2>\n  <3>\n\n<5>{% endif %}<5>\n<6>\n",
    "braces in strings": "{{ '<1>}}{{' }}{{ \"<1>%}\" }}\n{{ '}}<2>' }}{% set x = '%}{{' %}<2>",
    "literals that end in braces": "<1>{\n{{- '<2>' }}{\n  {%- if true %}<3>{{ '{' }}{%- endif %}{{ '<3>' }}}\n<4>",
    "comments": "<1>{# {{ '<1>' }} #}\n{#- a\nb -#}\n<4>{# {% if %}\n#}\n{{ '<6>' }}",
    "raw blocks": "{% raw %}<1>{{ x }}{% endraw %}\n<2>\n{%- raw -%}\n<4>\n<5>{% if %}\n{%- endraw -%}\n{{ '<7>' }}",
    "loops": "{% for m in messages %}\n  <2>{{ m.content }}\n{%- if loop.first %}\n"
    "{{ '<4>' }}{% else %}<4>\n<5>{% endif %}\n"
    "{% endfor %}\n<7>",
    "whitespace kept by hand": "  {%+ if true %}<1>\n{%- endif +%}\n<3>\n   {%+ set x = 1 +%}\n<5>{{+ 1 }}",
    "macros": "{% macro a(x) -%}\n<2>{{ x }}\n{{ '<3>' }}\n{%- endmacro %}\n<5>{{ a(1) }}{{ '<5>' + a('y') + '<5>' }}",
    "nested macros": "{% macro a(n) -%}\n{{ '<2>' }}{% if n %}{{ a(n - 1) }}<2>{% endif %}\n{%- endmacro %}\n"
    "{% macro b() %}\n<5>{{ a(2) }}\n{% macro c() %}<6>\n{% endmacro %}{{ c() }}<7>\n{% endmacro %}\n{{ b() }}<9>",
    "call blocks": "{% macro box() -%}\n<2>{{ caller() }}<2>\n{%- endmacro %}\n{% call box() %}\n<5>\n{{ '<6>' }}"
    "{% endcall %}<6>",
    "set blocks": "{% set x -%}\n<2>{{ '<2>' }}\n{%- endset %}\n<4>{{ x }}{{ '<4>' ~ x }}",
    "a value that is only passed on": "{% macro a() %}<1>{% endmacro %}\n{% set x = a() %}\n<3>{{ x }}",
    "recursive loops": "{% for m in [[[]], []] recursive %}\n<2>{{ loop(m) }}\n{% endfor %}",
    "filter blocks": "{% filter upper %}<1>\n{{ '<2>' }}{% endfilter %}<2>",
    "generation": "<1>{% generation %}<1>\n{{ '<2>' }}{% endgeneration %}",
    "inheritance's blocks": "{% block a %}<1>\n{{ '<2>' }}{% endblock %}",
    "carriage returns": "<1>\r\n{{ '<2>' }}\r\n<3>",
    # What follows is looked at by the template, so that marks could change it.
    "measured": "{% macro a(x) %}<1>{{ x }}{% endmacro %}\n{% set x = a('yy') %}\n"
    "{% if x|length > 6 %}<3>{% else %}\n<4>{{ x }}{% endif %}{{ '<4>' }}{{ a('z') }}",
    "compared": "{% macro a() %}object{% endmacro %}\n{% if a() == 'object' %}<2>{% else %}{{ '<2>' }}{% endif %}\n<3>",
    "trimmed": "{% macro a() %}\n<2>\n{% endmacro %}{{ a()|trim }}",
}
UNKNOWN = {"measured": {1}, "trimmed": {2}}


@pytest.mark.parametrize("name", PLANTED)
def test_the_line_is_the_one_that_wrote_it(host: InProcessHost, name: str) -> None:
    for said, line in traced(host, PLANTED[name], "a\nb", "c"):
        assert line == said or (line is None and said in UNKNOWN.get(name, ()))


def test_every_character_of_the_text_has_a_line(host: InProcessHost) -> None:
    template = "a\n\n{% if true %}\n  {{ 1 }}\n\n{% endif %}\n  b{{ messages[0].content }}\n\n"
    text = render(host, template, "x\ny")
    tracer = LineTracer(host, template)
    assert text == "a\n\n  1\n\n  bx\ny\n"
    lines = [tracer.line(request("x\ny"), text, offset) for offset in range(len(text))]
    assert lines == [1, 1, 2, 4, 4, 4, 4, 5, 7, 7, 7, 7, 7, 7, 7]
    assert tracer.line(request("x\ny"), text, len(text)) is None
    assert tracer.line(request("x\ny"), text, -1) is None


def test_a_branch_that_only_the_marks_take_is_no_line(host: InProcessHost) -> None:
    # Both branches write the same: that stripping the marks restores the text proves nothing here.
    template = (
        "{% macro a() %}x{% endmacro %}\n"
        "{% if a() == 'x' %}\n{{ 'same' }}\n{%- else %}\n{{ 'same' }}\n{%- endif %}"
    )
    text = render(host, template)
    assert LineTracer(host, template).line(request(), text, text.index("same")) == 3


def test_what_cannot_be_marked_leaves_the_rest_traced(host: InProcessHost) -> None:
    template = (
        "{% macro bad() %}{{ 'abc' }}{% endmacro %}\n{% macro good() %}{{ 'def' }}{% endmacro %}\n"
        "{% set x = bad() %}{% set y = good() %}\n{% if x|length > 3 or y|length > 99 %}long{% endif %}\n"
        "{{ x }}{{ y }}end"
    )
    text = render(host, template)
    tracer = LineTracer(host, template)
    lines = {part: tracer.line(request(), text, text.index(part)) for part in ("abc", "def", "end")}
    assert lines == {"abc": None, "def": 2, "end": 5}


def test_the_number_of_compilations_is_bounded() -> None:
    class Counting(InProcessHost):
        def submit(self, template, requests):  # type: ignore[no-untyped-def]
            seen.add(template)
            return super().submit(template, requests)

    seen: set[str] = set()
    host = Counting("jinja2")
    macros = "".join(
        f"{{% macro m{n}() %}}{{{{ 'a{n}' }}}}{{% endmacro %}}"
        f"{{% if m{n}() == 'a{n}' %}}yes{{% endif %}}{{{{ m{n}() }}}}\n"
        for n in range(40)
    )
    text = render(host, macros)
    tracer = LineTracer(host, macros)
    for offset in range(0, len(text), 7):
        tracer.line(request(), text, offset)
    assert len(seen) <= 16
    assert tracer.line(request(), text, text.rindex("yes")) == 40


def test_private_use_characters_of_the_case_are_no_marks(host: InProcessHost) -> None:
    template = "{{ messages[0].content }}\n{{ '<2>' }}"
    content = "".join(map(chr, range(0xE000, 0xE100)))
    text = render(host, template, content)
    tracer = LineTracer(host, template)
    assert tracer.line(request(content), text, 3) == 1
    assert tracer.line(request(content), text, text.index("<2>")) == 2
    everything = "".join(
        map(chr, [*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE)])
    )
    assert tracer.line(request(everything), render(host, template, everything), 3) is None


@pytest.mark.parametrize(
    "template",
    ["a\n\n", "{{ 1 }}\n\n\n", "{% if 1 %}a{% endif %}\n", "{% if 1 %}a{% endif %}\n\n", "a{\n", "a {"],
)
def test_the_end_of_the_source_is_kept(host: InProcessHost, template: str) -> None:
    text = render(host, template)
    marked = MarkedSource(template)
    for nodes in ([], *([node] for node in range(len(marked.nodes))), range(len(marked.nodes))):
        written = render(host, marked.source(nodes, 0xE000))
        assert re.sub("[\ue000-\uf8ff]", "", written) == text


@pytest.mark.parametrize("template", ["{{ 'a", "{% if x %}", "{{ a ]] }}", "{% unknown %}x", ""])
def test_templates_that_do_not_compile_have_no_lines(host: InProcessHost, template: str) -> None:
    assert LineTracer(host, template).line(request(), "text", 1) is None


def test_another_text_than_the_templates_has_no_lines(host: InProcessHost) -> None:
    assert LineTracer(host, "{{ messages[0].content }}").line(request("a"), "b", 0) is None


@pytest.fixture(scope="module", name="openai")
def _openai() -> str:
    if not catalogue.is_cached("openai-gpt-oss-120b"):
        pytest.skip("openai's template is not cached: conformance templates fetch")
    (fetched,) = catalogue.fetch(["openai-gpt-oss-120b"], offline=True)
    assert fetched.template is not None
    return fetched.template.text


def test_without_marks_the_source_means_the_same(openai: str) -> None:
    marked = MarkedSource(openai)
    base = marked.free_base("")
    assert base is not None
    plain = GRAMMAR.from_string(marked.source([], base))
    context = {"messages": [{"role": "user", "content": "x"}], "add_generation_prompt": True}
    context |= {"strftime_now": lambda _: "2025-06-28"}
    assert plain.render(context) == GRAMMAR.from_string(openai).render(context)


def test_lines_of_openais_template(host: InProcessHost, openai: str) -> None:
    properties = {
        "a": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "b": {"type": "string", "enum": ["x"], "default": "y"},
    }
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": properties}}
    tools = [{"type": "function", "function": function}]
    asked = Request([{"role": "user", "content": "hi"}], tools, {}, True, "2025-06-28")
    outcome = host.render(openai, asked)
    assert isinstance(outcome, Rendered)
    text = outcome.text
    tracer = LineTracer(host, openai)
    lines = openai.split("\n")

    def source(part: str) -> str:
        line = tracer.line(asked, text, text.index(part))
        return lines[line - 1].strip() if line else "unknown"

    assert source("string[][]") == '{{- "string[]" }}'
    assert source("[],") == '{{- inner_type + "[]" }}'
    assert source(", // default: y") == '{{- ", // default: " + param_spec.default }}'
    assert source("Current date") == '{{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}'
    assert source("// d\n") == '{{- "// " + tool.description + "\\n" }}'
    assert source("user<|message|>hi").startswith('{{- "<|start|>user<|message|>" + message.content')
