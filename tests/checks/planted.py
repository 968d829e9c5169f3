"""A small template that has every property, and one wrong edit of it for each rule."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = """\
{{- bos_token -}}
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}{%- elif content -%}{%- for part in content -%}{{ part.text }}{%- endfor -%}
{%- endif -%}{%- endmacro -%}
{%- macro arguments(call) -%}
{{ call.arguments if call.arguments is string else call.arguments | tojson }}{%- endmacro -%}
{%- if tools -%}[tools]{{ tools | tojson }}[end]{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
[assistant]{%- generation -%}
{%- if message.thinking -%}[think]{{ message.thinking }}[/think]{%- endif -%}
{{ text(message.content) }}
{%- for call in message.tool_calls or [] -%}
[call]{{ call.function.name }} {{ arguments(call.function) }}[/call]
{%- endfor -%}
[end]{%- endgeneration -%}
{%- else -%}
[{{ message.role }}]{{ text(message.content) }}[end]
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}[assistant]{%- endif -%}
"""


@dataclass(frozen=True)
class Wrong:
    """An edit that breaks one rule, and what the finding should say."""

    rule: str
    old: str
    new: str
    what: str
    severity: str

    @property
    def template(self) -> str:
        assert GOOD.count(self.old) == 1, self.old
        return GOOD.replace(self.old, self.new)


_SAID = "{{ text(message.content) }}\n{%- for call"
_OTHER = "[{{ message.role }}]{{ text(message.content) }}[end]"
_CALLS = "{%- for call in message.tool_calls or [] -%}"
_CALL = "\n[call]{{ call.function.name }} {{ arguments(call.function) }}[/call]\n{%- endfor -%}\n"
_END = "[end]{%- endgeneration -%}"
_ANSWER = "[assistant]{%- generation -%}"
_PROMPT = "{%- if add_generation_prompt -%}[assistant]{%- endif -%}"

WRONG = [
    Wrong(
        "template-crashed",
        _SAID,
        "{{ (message['content'] ~ '') if message.content is defined else message.content.x }}\n{%- for call",
        "tool-loop+null-content",
        "error",
    ),
    Wrong(
        "template-crashed",
        "{%- if tools -%}[tools]",
        "{%- if tools -%}[tools]{{ tools[0].function.description.strip() }}",
        "tool-user+no-description",
        "error",
    ),
    Wrong(
        "template-rejected",
        _CALLS,
        "{%- if message.tool_calls is defined and message.tool_calls | length != 1 -%}"
        "{{ raise_exception('one call at a time') }}{%- endif -%}" + _CALLS,
        "user-final-user+empty-tool-calls",
        "warning",
    ),
    Wrong(
        "template-rejected",
        _OTHER,
        _OTHER + "{{ raise_exception('no') if messages | length == 1 }}",
        "user",
        "error",
    ),
    Wrong(
        "prefix-unstable",
        _OTHER,
        "[{{ message.role }} of {{ messages | length }}]{{ text(message.content) }}[end]",
        "text of earlier messages",
        "warning",
    ),
    Wrong(
        "end-unstable",
        _END,
        "{{ '[eos]' if loop.last else '[end]' }}{%- endgeneration -%}",
        "what follows the last message",
        "note",
    ),
    Wrong(
        "end-unstable",
        _PROMPT,
        "{%- if add_generation_prompt -%}[assistant]{%- else -%}{{ eos_token }}{%- endif -%}",
        "what follows the last message",
        "note",
    ),
    Wrong(
        "generation-prompt-not-suffix",
        _OTHER,
        "[{{ message.role }}{{ '!' if add_generation_prompt }}]{{ text(message.content) }}[end]",
        "text of the messages",
        "error",
    ),
    Wrong("generation-prompt-uninvited", _PROMPT, "[assistant]", "what follows the last answer", "warning"),
    Wrong(
        "continuation-broken",
        _SAID,
        "{{ text(message.content) | replace('.', '!') }}\n{%- for call",
        "the answer is changed",
        "warning",
    ),
    Wrong(
        "continuation-broken",
        _ANSWER,
        "[assistant {{ (message.content or '') | length }}]{%- generation -%}",
        "the prompt changes as the answer grows",
        "warning",
    ),
    Wrong(
        "text-lost",
        _SAID,
        "{{ text(message.content) if not message.tool_calls }}\n{%- for call",
        "preamble",
        "error",
    ),
    Wrong(
        "text-lost",
        _CALLS,
        "{%- for call in (message.tool_calls or [])[:1] -%}",
        "argument of parallel calls",
        "error",
    ),
    Wrong(
        "text-lost",
        "{%- if message.role == 'assistant' -%}",
        "{%- if message.role == 'system' and not loop.first -%}{%- elif message.role == 'assistant' -%}",
        "later instructions",
        "error",
    ),
    Wrong(
        "text-lost",
        "{{ tools | tojson }}",
        "{{ tools | map(attribute='function.name') | join }}",
        "tool description",
        "error",
    ),
    Wrong(
        "text-repeated",
        _OTHER,
        _OTHER + "{{ text(message.content) if message.role == 'system' }}",
        "instructions",
        "error",
    ),
    Wrong(
        "text-reordered",
        "{%- for message in messages -%}",
        "{%- for message in messages | sort(attribute='role') -%}",
        "final before user",
        "error",
    ),
    Wrong(
        "python-repr",
        "{{ tools | tojson }}",
        "{{ tools }}",
        "tool definitions printed as a Python dict",
        "error",
    ),
    Wrong(
        "python-repr",
        "call.arguments | tojson",
        "call.arguments",
        "arguments printed as a Python dict",
        "error",
    ),
    Wrong(
        "python-repr",
        "{{ arguments(call.function) }}",
        "{% for key, value in call.function.arguments.items() %}<{{ key }}>{{ value }}</{{ key }}>{% endfor %}",
        "nested arguments printed as a Python dict or list",
        "error",
    ),
    Wrong(
        "python-repr",
        "[tools]{{",
        "[tools]{{ tools[0].function.get('description') }}{{",
        "None printed for a value",
        "error",
    ),
    Wrong(
        "python-repr",
        "{%- if content is string -%}{{ content }}{%- elif content -%}",
        "{%- if content is string or true -%}{{ content or '' }}{%- elif content -%}",
        "text parts printed as a Python list",
        "warning",
    ),
    Wrong(
        "not-reproducible",
        "{{- bos_token -}}",
        "{{- bos_token -}}{{ 'late' if strftime_now('%Y') | int > 2030 else 'early' }}",
        "another date",
        "warning",
    ),
    Wrong("assistant-mask", _END, "{%- endgeneration -%}[end]", "end of turn left out", "warning"),
    Wrong(
        "assistant-mask",
        _ANSWER,
        "{%- generation -%}[assistant]",
        "the generation prompt taken for the assistant's",
        "warning",
    ),
    Wrong(
        "assistant-mask",
        _OTHER,
        "{%- generation -%}" + _OTHER + "{%- endgeneration -%}",
        "user taken for the assistant's",
        "error",
    ),
    Wrong(
        "assistant-mask",
        f"{_CALLS}{_CALL}{_END}",
        f"{{%- endgeneration -%}}{_CALLS}{_CALL}[end]",
        "argument of the assistant left out",
        "error",
    ),
    Wrong(
        "arguments-double-encoded",
        "{{ call.arguments if call.arguments is string else call.arguments | tojson }}",
        "{{ call.arguments | tojson }}",
        "arguments",
        "warning",
    ),
    Wrong(
        "unsupported-input",
        "{%- if tools -%}[tools]{{ tools | tojson }}[end]{%- endif -%}",
        "",
        "tools",
        "note",
    ),
    Wrong(
        "unsupported-input",
        "{%- else -%}\n[{{ message.role }}]",
        "{%- elif message.role in ('user', 'system', 'tool') -%}\n[{{ message.role }}]",
        "the role developer",
        "note",
    ),
]
