"""The attacks: templates written against one stage each, of the worker or of the process that judges.

All but a few are the reference template with something added, so that every stage behind the renders is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from conformance.resources import resource

Stage = Literal["reading", "branches", "lines", "hints", "comparison", "tokens", "report", "worker"]


@dataclass(frozen=True, slots=True)
class Attack:
    """A template, the stage that it is written against, and what it does in a few words."""

    name: str
    stage: Stage
    what: str
    make: Callable[[], str]


ATTACKS: dict[str, Attack] = {}
_NEVER = "{%- if builtin_tools is string -%}"


def _attack(stage: Stage) -> Callable[[Callable[[], str]], Callable[[], str]]:
    def add(make: Callable[[], str]) -> Callable[[], str]:
        name = make.__name__.replace("_", "-")
        ATTACKS[name] = Attack(name, stage, (make.__doc__ or "").removeprefix("Write ").rstrip("."), make)
        return make

    return add


def _reference() -> str:
    return resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


def _before(text: str) -> str:
    """Return the reference with something in front that writes nothing."""
    return text + _reference()


def _behind(text: str) -> str:
    """Return the reference with something behind, and so a prompt that is wrong in every case."""
    return _reference().rstrip("\n") + text


@_attack("reading")
def long_text() -> str:
    """Write 3 MB of plain text in a branch that never runs."""
    return _before(_NEVER + "lorem ipsum " * 250_000 + "{%- endif -%}")


@_attack("reading")
def tags_on_one_line() -> str:
    """Write 3 MB of tags on one line."""
    return _before("{%- if false -%}{%- endif -%}" * 103_000)


@_attack("reading")
def fewer_tags_on_one_line() -> str:
    """Write 200 kB of tags on one line."""
    return _before("{%- if false -%}{%- endif -%}" * 7_000)


@_attack("reading")
def deep_expression() -> str:
    """Write expressions nested 5,000 deep."""
    return _before(_NEVER + "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}{%- endif -%}")


@_attack("reading")
def long_sum() -> str:
    """Write a sum of 20,000 terms."""
    return _before(_NEVER + "{{ " + "1 + " * 20_000 + "1 }}{%- endif -%}")


@_attack("reading")
def deep_branches() -> str:
    """Write 200 branches inside each other."""
    return _before("{%- if false -%}" * 90 + "{%- endif -%}" * 90)


@_attack("branches")
def branches_of_open_tags() -> str:
    """Write 54 kB whose branches took cubic time to describe."""
    return _before("{%- if false -%}{%- endif -%}" * 900 + "{#" + "{% " * 9_000 + "#}")


@_attack("branches")
def branches_of_open_expressions() -> str:
    """Write braces that open an expression and never close it."""
    return _before(f"{_NEVER}{'{{ 1 }}' * 3_000}{{%- endif -%}}{{#{'{{ ' * 9_000}#}}")


@_attack("branches")
def branches_of_blanks() -> str:
    """Write a tag of 20,000 blanks in a comment, beside branches."""
    return _before("{%- if false -%}{%- endif -%}{# {%" + " " * 20_000 + "x #}")


@_attack("hints")
def hint_words() -> str:
    """Write 240 kB of words that the template seems to wait for."""
    words = "".join(f"{{%- if builtin_tools == 'w{n:06}x' -%}}{{%- endif -%}}" for n in range(4_800))
    return _before(words)


@_attack("hints")
def hint_list() -> str:
    """Write a list of 20,000 words that is compared with."""
    words = ",".join(repr(f"w{n}") for n in range(20_000))
    return _before(f"{{%- set w = [{words}] -%}}" + "{%- if x in w -%}{%- endif -%}" * 200)


@_attack("lines")
def chain_of_values() -> str:
    """Write a chain of 240 kB of values, each taken from the one before."""
    links = "".join(f"{{%- set v{n} = v{n - 1} -%}}" for n in range(1, 8_000))
    return _behind("{%- set v0 = 'x' -%}" + links + "{{- v7999 -}}")


@_attack("lines")
def chain_backwards() -> str:
    """Write a chain of 200 kB of values that are looked at in the wrong order."""
    links = "".join(f"{{%- set v{n - 1} = v{n} -%}}" for n in range(6_000, 0, -1))
    return _behind("{%- set v6000 = 'x' -%}" + links + "{{- v0 -}}{%- if v0 == 'y' -%}z{%- endif -%}")


@_attack("lines")
def many_outputs() -> str:
    """Write 8,000 outputs that write nothing."""
    return _behind("{{- '' -}}" * 8_000 + "x")


@_attack("lines")
def deep_macros() -> str:
    """Write a macro that calls itself 300 deep for each letter."""
    macro = (
        "{%- macro down(n) -%}{%- if n > 0 -%}{{- down(n - 1) -}}{%- else -%}x{%- endif -%}{%- endmacro -%}"
    )
    return macro + _behind("{{- down(60) ~ down(61) ~ down(62) -}}")


@_attack("lines")
def many_events() -> str:
    """Write a loop that notes 100,000 events."""
    return _behind("{%- for n in range(99999) -%}{%- if n == 5 -%}x{%- endif -%}{%- endfor -%}")


@_attack("comparison")
def many_messages() -> str:
    """Write a prompt of 100,000 messages."""
    return _behind("{%- for n in range(99999) -%}<|start|>user<|message|>x<|end|>{%- endfor -%}")


@_attack("comparison")
def many_openings() -> str:
    """Write 100,000 openings of messages that are none."""
    return _behind("{%- for n in range(99999) -%}<|start|>{%- endfor -%}")


@_attack("comparison")
def one_letter() -> str:
    """Write 3 MB of one letter in front."""
    return _before("{{- 'a' * 3000000 -}}")


@_attack("comparison")
def fewer_messages() -> str:
    """Write a prompt of 6,000 messages."""
    return _behind("{%- for n in range(6000) -%}<|start|>user<|message|>x<|end|>{%- endfor -%}")


@_attack("comparison")
def fewer_openings() -> str:
    """Write 20,000 openings of messages that are none."""
    return _behind("{%- for n in range(20000) -%}<|start|>{%- endfor -%}")


@_attack("comparison")
def fewer_letters() -> str:
    """Write 200 kB of one letter in front."""
    return _before("{{- 'a' * 200000 -}}")


@_attack("comparison")
def user_text_again() -> str:
    """Write a user's text 1,000 times over."""
    text = "messages[-1].content if messages[-1].content is string else 'x'"
    return _behind(f"{{%- for n in range(1000) -%}}{{{{- {text} -}}}}{{%- endfor -%}}")


@_attack("comparison")
def blanks() -> str:
    """Write 2 MB of blanks behind every line's end in the tools."""
    return _behind("{{- ' ' * 2000000 -}}x")


@_attack("comparison")
def default_of_blanks() -> str:
    """Write 60,000 blanks where a default is written."""
    return _reference().replace("' // default: '", "' ' * 60000 ~ '// default: ' ~ ' ' * 60000")


@_attack("comparison")
def many_properties() -> str:
    """Write 20,000 properties that are not there."""
    # In the place of every text, and so in every description.
    return _reference().replace("{{- content -}}", "{{- content ~ '\\np: string,' * 20000 -}}", 1)


@_attack("comparison")
def many_functions() -> str:
    """Write 20,000 functions that are not there."""
    return _behind("{%- for n in range(20000) -%}{{- '\\n' ~ 'type f = () => any;' -}}{%- endfor -%}")


@_attack("tokens")
def chinese() -> str:
    """Write one run of 1,000,000 Chinese characters."""
    return _behind("{{- '中文' * 500000 -}}")


@_attack("tokens")
def less_chinese() -> str:
    """Write one run of 200,000 Chinese characters."""
    return _behind("{{- '中文' * 100000 -}}")


@_attack("tokens")
def chinese_texts() -> str:
    """Write runs of 12,000 Chinese characters in the place of texts."""
    return _reference().replace("{{- content -}}", "{{- content ~ '语' * 12000 -}}", 1)


@_attack("tokens")
def letters_and_tokens() -> str:
    """Write 300 kB of one letter, with control tokens."""
    return _behind("{{- '<|end|>' ~ 'a' * 300000 ~ '<|start|>' -}}")


@_attack("tokens")
def many_tokens() -> str:
    """Write 200,000 control tokens."""
    return _behind("{%- for n in range(99999) -%}<|end|><|return|>{%- endfor -%}")


@_attack("tokens")
def fewer_tokens() -> str:
    """Write 20,000 control tokens."""
    return _behind("{%- for n in range(10000) -%}<|end|><|return|>{%- endfor -%}")


@_attack("report")
def long_prompts() -> str:
    """Write 4 MB behind every prompt, another each time."""
    return _behind("{{- (messages|length ~ (messages|string)[:40] ~ ' ') * 30000 -}}")


@_attack("report")
def many_rules() -> str:
    """Write every line of the prompt wrong in another way, and 100 kB behind it."""
    text = _behind("{{- 'many words of no use ' * 5000 -}}")
    for old, new in (
        ("Knowledge cutoff", "Knowledge  cutoff"),
        ("// default: ", "// Default= "),
        ("# Instructions", "## Instructions"),
        ("<|call|>", "<|end|>"),
    ):
        text = text.replace(old, new)
    return text


@_attack("report")
def many_errors() -> str:
    """Write an error of 2,000 characters, another for every conversation."""
    return _before(
        "{%- if messages|length > 1 -%}{{- raise_exception((messages|string)[:1900] * 3) -}}{%- endif -%}"
    )


@_attack("report")
def long_line() -> str:
    """Write a line of 250 kB that is traced and shown."""
    return _behind("{#" + "x" * 250_000 + "#}x")


@_attack("report")
def escapes() -> str:
    """Write branches with descriptions that steer a terminal."""
    return _before(_NEVER + "\x1b[2J\x1b]0;title\x07\u202e{%- endif -%}")


@_attack("worker")
def endless() -> str:
    """Write a loop without an end."""
    loops = "{%- for a in range(99999) -%}" * 4
    return _behind(loops + "{%- endfor -%}" * 4)


@_attack("worker")
def memory() -> str:
    """Write a text that doubles until memory is full."""
    doubled = "{%- for i in range(40) -%}{%- set n.t = n.t ~ n.t -%}{%- endfor -%}"
    return _behind("{%- set n = namespace(t='x' * 1000) -%}" + doubled + "{{- n.t|length|string -}}")


@_attack("worker")
def output() -> str:
    """Write more than 4 million characters of output."""
    return _behind("{{- 'output ' * 900000 -}}")


@_attack("worker")
def recursion() -> str:
    """Write recursion without an end."""
    return _behind("{%- macro down(n) -%}{{- down(n + 1) -}}{%- endmacro -%}{{- down(0) -}}")


@_attack("worker")
def slow() -> str:
    """Write conversations that each take 0.4 s."""
    return _behind("{%- for a in range(40) -%}{%- for b in range(20000) -%}{%- endfor -%}{%- endfor -%}")
