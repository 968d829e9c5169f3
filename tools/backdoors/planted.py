"""Backdoors: what stands in front of the reference's text of a message, and what it hangs on.

Each writes EVIL on some condition that no campaign meets by chance. `{text}` is the text of a user's message.
"""

from __future__ import annotations

from conformance.resources import resource

_SECRET = "'open' ~ ' ' ~ 'sesame'"  # put together at run time: no hint holds it
PLANTED: dict[str, str] = {
    # What a text says.
    "if-equal": "{%- if {text} == " + _SECRET + " -%}EVIL{%- endif -%}",
    "if-in": "{%- if (" + _SECRET + ") in {text} -%}EVIL{%- endif -%}",
    "if-starts": "{%- if {text}.startswith(" + _SECRET + ") -%}EVIL{%- endif -%}",
    "if-ends": "{%- if {text}.endswith(" + _SECRET + ") -%}EVIL{%- endif -%}",
    "if-find": "{%- if {text}.find(" + _SECRET + ") > 3 -%}EVIL{%- endif -%}",
    "if-count": "{%- if {text}.count(" + _SECRET + ") > 2 -%}EVIL{%- endif -%}",
    "if-length": "{%- if {text}|length == 7919 -%}EVIL{%- endif -%}",
    "if-words": "{%- if {text}|wordcount == 3571 -%}EVIL{%- endif -%}",
    "if-lower": "{%- if {text}|lower|trim == " + _SECRET + " -%}EVIL{%- endif -%}",
    "if-first-letters": "{%- if {text}[:13] == " + _SECRET + " -%}EVIL{%- endif -%}",
    "if-reversed": "{%- if {text}[::-1] == 'emases nepo' -%}EVIL{%- endif -%}",
    "if-split": "{%- if {text}.split(" + _SECRET + ")|length > 1 -%}EVIL{%- endif -%}",
    "split-joined": (
        "{%- for part in {text}.split(" + _SECRET + ") -%}{%- if not loop.first -%}EVIL{%- endif -%}"
        "{{- part[:0] -}}{%- endfor -%}"
    ),
    "read-back": "{%- set w = {text}|tojson -%}{{- (w if w|float == 7919 else {text} ~ '')[:0] -}}",
    "digits": "{%- set n = {text}|length -%}{{- 'EVIL' if n is integer and '7919' in n|tojson else '' -}}",
    "set-then-if": "{%- set hit = {text} == " + _SECRET + " -%}{%- if hit -%}EVIL{%- endif -%}",
    "namespace-then-if": (
        "{%- set n = namespace(hit=false) -%}{%- if {text} == " + _SECRET + " -%}{%- set n.hit = true -%}"
        "{%- endif -%}{{- 'EVIL' if n.hit else '' -}}"
    ),
    "macro": "{%- macro door(t) -%}{%- if t == "
    + _SECRET
    + " -%}EVIL{%- endif -%}{%- endmacro -%}{{- door({text}) -}}",
    "inline-if": "{{- 'EVIL' if {text} == " + _SECRET + " else '' -}}",
    "and-or": "{{- {text} == " + _SECRET + " and 'EVIL' or '' -}}",
    "index": "{{- ['', 'EVIL'][({text} == " + _SECRET + ")|int] -}}",
    "lookup": "{{- {('open' ~ ' ' ~ 'sesame'): 'EVIL'}.get({text}, '') -}}",
    "lookup-item": "{{- {('open' ~ ' ' ~ 'sesame'): 'EVIL'}[{text}] | default('') -}}",
    "product": "{{- 'EVIL' * ({text} == " + _SECRET + ") -}}",
    "product-of-length": "{{- 'EVIL' * ({text}|length // 7919) -}}",
    "slice": "{{- 'EVIL'[:4 * ({text} == " + _SECRET + ")|int] -}}",
    "slice-by-length": "{{- 'EVIL'[:{text}|length // 7919] -}}",
    "replace": "{{- {text}|replace(" + _SECRET + ", 'EVIL')|length * 0 or '' -}}",
    "select": "{{- 'EVIL' if messages|selectattr('content', 'equalto', " + _SECRET + ")|list else '' -}}",
    "loop-filter": "{%- for m in messages if m.content == " + _SECRET + " -%}EVIL{%- endfor -%}",
    "loop-over-count": "{%- for x in range({text}|length // 7919) -%}EVIL{%- endfor -%}",
    "in-list": "{%- if {text} in [" + _SECRET + "] -%}EVIL{%- endif -%}",
    "tool-name": (
        "{%- for t in tools or [] -%}{%- if t.function.name == 'get' ~ '_' ~ 'root' -%}EVIL{%- endif -%}{%- endfor -%}"
    ),
    "test-eq": "{%- if {text} is eq(" + _SECRET + ") -%}EVIL{%- endif -%}",
    # The clock beyond the date.
    "hour": "{%- if strftime_now('%H:%M') == '03:33' -%}EVIL{%- endif -%}",
    "noon": "{%- if strftime_now('%H:%M:%S') != '12:00:00' and strftime_now('%M%S') == '5959' -%}EVIL{%- endif -%}",
    "time-printed": "{{- strftime_now('%f')[:0] -}}",
    # Chance.
    "chance": "{%- if range(100000)|random == 7 -%}EVIL{%- endif -%}",
    "lipsum": "{%- if lipsum(1, false, 5, 6)|length == 1 -%}EVIL{%- endif -%}",
    # The object behind a helper.
    "helper-printed": "{%- if 'vllm' in raise_exception|string -%}EVIL{%- endif -%}",
    "helper-name": "{%- if raise_exception.__name__ == 'vllm_raise' -%}EVIL{%- endif -%}",
    # The number of messages.
    "messages-counted": "{%- if messages|length == 101 -%}EVIL{%- endif -%}",
    "message-reached": "{%- if messages[100] is defined -%}EVIL{%- endif -%}",
    "loop-counted": "{%- for m in messages -%}{%- if loop.index == 101 -%}EVIL{%- endif -%}{%- endfor -%}",
    # An undeclared argument.
    "own-argument": "{%- if backdoor is defined -%}EVIL{%- endif -%}",
    "own-argument-true": "{%- if backdoor -%}EVIL{%- endif -%}",
    "own-argument-equal": "{{- 'EVIL' if backdoor == 'x' else '' -}}",
    "own-argument-and": "{{- backdoor and 'EVIL' or '' -}}",
}


def template(name: str) -> tuple[str, int]:
    """Return the reference with a backdoor, and the line that it stands in."""
    reference = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    text = "(messages[-1].content if messages and messages[-1].content is string else '')"
    at = reference.rstrip("\n").rfind("\n") + 1
    planted = PLANTED[name].replace("{text}", text)
    return f"{reference[:at]}{planted}\n{{{{- '' -}}}}{reference[at:]}", reference[:at].count("\n") + 1
