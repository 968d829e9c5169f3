"""Judges what a package says against what gpt-oss needs; one function a rule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache

from conformance.errors import UnjudgedError
from conformance.package_checks.facts import CONTEXT_LENGTH, SPECIAL_TOKENS, Package, Text, Vocabulary
from conformance.report.model import Finding
from conformance.responses.judge import Tally
from conformance.responses.judge import judge as judge_responses
from conformance.rules import package as rules
from conformance.rules import rule
from conformance.rules.base import Slug
from conformance.rules.responses import RESPONSE_TEMPLATE_UNREADABLE
from conformance.sources.model_folder import DEFAULT

_ENDS = ("<|return|>", "<|end|>", "<|call|>")
# Values that do as OpenAI recommends; the first one is what to write.
_RECOMMENDED = {"temperature": (1.0,), "top_p": (1.0,), "top_k": (0.0,)}
_WRITTEN = 240  # characters of a step that a finding shows
_END, _RETURN, _CALL = (SPECIAL_TOKENS[text] for text in ("<|end|>", "<|return|>", "<|call|>"))


def judge(package: Package, beside: Iterable[Package] = ()) -> list[Finding]:
    """Return what is wrong with a package of gpt-oss, and what could not be checked; nothing for others.

    `beside` are packages that lie with it and should hold the same template.
    """
    ours = package.is_gpt_oss()
    if not ours and package.claims is False:
        return []
    findings = [
        _finding(rules.PACKAGE_UNREADABLE.slug, problem, where=where) for where, problem in package.unreadable
    ]
    if not ours:
        # Whose the package is may be what the broken file says.
        return findings
    findings += _ids(package)
    findings += _types(package)
    findings += _stops(package)
    findings += _added(package)
    findings += _context(package)
    findings += _named_tokens(package)
    findings += _sampling(package)
    findings += _flags(package)
    findings += _response(package)
    findings += _drift(package, list(beside))
    findings += [
        _finding(slug, f"not checked: {why}", where=package.location, checked=False)
        for slug, why in package.absent
    ]
    return findings


def _finding(
    slug: Slug, message: str, *, where: str, expected: str = "", actual: str = "", checked: bool = True
) -> Finding:
    found = rule(slug)
    return Finding(
        rule=slug,
        code=found.code,
        severity=found.severity if checked else "note",
        message=message,
        where=where,
        expected=expected,
        actual=actual,
        checked=checked,
    )


def _ids(package: Package) -> Iterator[Finding]:
    for vocabulary in package.vocabularies:
        wrong = [text for text in SPECIAL_TOKENS if _wrong(vocabulary, text)]
        if wrong:
            expected = ", ".join(f"{text} {SPECIAL_TOKENS[text]}" for text in wrong)
            actual = ", ".join(_has(vocabulary, text) for text in wrong)
            yield _finding(
                rules.SPECIAL_TOKEN_IDS.slug,
                f"{actual}; o200k_harmony has {expected}",
                where=vocabulary.where,
                expected=expected,
                actual=actual,
            )


def _wrong(vocabulary: Vocabulary, text: str) -> bool:
    number = vocabulary.ids.get(text)
    return vocabulary.whole if number is None else number != SPECIAL_TOKENS[text]


def _has(vocabulary: Vocabulary, text: str) -> str:
    if text in vocabulary.ids:
        return f"{text} {vocabulary.ids[text]}"
    instead = vocabulary.instead.get(SPECIAL_TOKENS[text])
    return f"{text} not there" if instead is None else f"{instead} {SPECIAL_TOKENS[text]}"


def _types(package: Package) -> Iterator[Finding]:
    for vocabulary in package.vocabularies:
        if vocabulary.ordinary:
            actual = ", ".join(vocabulary.ordinary)
            yield _finding(
                rules.SPECIAL_TOKEN_TYPE.slug,
                f"stored as ordinary text: {actual}",
                where=vocabulary.where,
                expected="control or user-defined",
                actual=actual,
            )


def _stops(package: Package) -> Iterator[Finding]:
    stops = package.stops
    if stops is None:
        return
    # llama.cpp finds <|return|> and <|call|> by their text; others go by the ids alone, and no GGUF names <|call|>.
    needed = (_RETURN,) if stops.by_text else (_RETURN, _CALL)
    names = {number: text for text, number in SPECIAL_TOKENS.items()}
    problems = [
        f"does not stop at {names[number]} ({number})" for number in needed if number not in stops.ids
    ]
    if _END in stops.ids:
        problems.append(f"stops at {names[_END]} ({_END}), which ends every message")
    if problems:
        yield _finding(
            rules.STOP_TOKENS.slug,
            f"generation {' and '.join(problems)}",
            where=stops.where,
            expected=", ".join(str(number) for number in needed),
            actual=", ".join(str(number) for number in stops.ids) or "none",
        )


def _added(package: Package) -> Iterator[Finding]:
    for added in package.added:
        if added.what is not None:
            yield _finding(
                rules.BOS_ADDED.slug,
                added.what,
                where=added.where,
                expected="nothing added",
                actual=added.what,
            )


def _context(package: Package) -> Iterator[Finding]:
    for where, length in package.context:
        if length != CONTEXT_LENGTH:
            yield _finding(
                rules.CONTEXT_LENGTH.slug,
                f"{length:,} tokens; gpt-oss has {CONTEXT_LENGTH:,}",
                where=where,
                expected=str(CONTEXT_LENGTH),
                actual=str(length),
            )


def _named_tokens(package: Package) -> Iterator[Finding]:
    for token in package.named:
        if token.purpose == "eos_token" and token.text != "<|return|>":
            yield _finding(
                rules.EOS_TOKEN.slug, f"eos_token is {token.text}", where=token.where, expected="<|return|>",
                actual=token.text,
            )  # fmt: skip
        if token.purpose == "pad_token" and token.text in _ENDS:
            yield _finding(
                rules.PAD_TOKEN.slug, f"the padding is {token.text}", where=token.where, expected="<|endoftext|>",
                actual=token.text,
            )  # fmt: skip


def _sampling(package: Package) -> Iterator[Finding]:
    for where, name, value in package.sampling:
        if value not in _RECOMMENDED[name]:
            yield _finding(
                rules.SAMPLING.slug,
                f"{name} is {value:g}",
                where=where,
                expected=f"{_RECOMMENDED[name][0]:g}",
                actual=f"{value:g}",
            )


def _flags(package: Package) -> Iterator[Finding]:
    for token in package.flagged:
        yield _finding(
            rules.ADDED_TOKEN_FLAGS.slug,
            f"{token.text} is {', '.join(token.flags)}",
            where=token.where,
            expected="special, and nothing stripped",
            actual=", ".join(token.flags),
        )


def _response(package: Package) -> Iterator[Finding]:
    if package.response is None:
        return
    where = "tokenizer_config.json, response_template"
    try:
        tally = judged_responses(json.dumps(package.response))
    except UnjudgedError as error:
        yield _finding(RESPONSE_TEMPLATE_UNREADABLE.slug, f"not checked: {error}", where=where, checked=False)
        return
    for slug, (step, fault) in tally.shortest.items():
        if not tally.judged:
            yield _finding(fault.rule.slug, fault.parsed, where=where)
            continue
        share = f"in {tally.faults[slug]} of {tally.judged} steps of the assistant"
        yield _finding(
            fault.rule.slug,
            f"{share}; of {json.dumps(step.written, ensure_ascii=False)[:_WRITTEN]} came back {fault.parsed}",
            where=where,
            expected=fault.said,
            actual=fault.parsed,
        )


@lru_cache(maxsize=4)
def judged_responses(template: str) -> Tally:
    """Return what became of a response template, given as JSON; each is judged once."""
    return judge_responses(json.loads(template))


def _drift(package: Package, beside: list[Package]) -> Iterator[Finding]:
    pairs = [(first, other) for first, other in _same_names(package.templates)]
    for name in dict.fromkeys(text.name for text in package.templates):
        first = package.template(name)
        for neighbour in beside:
            theirs = neighbour.template(name)
            if first is not None and theirs is not None:
                pairs.append((first, theirs))
    for first, other in pairs:
        if _essence(first.text) != _essence(other.text):
            yield _finding(
                rules.TEMPLATE_DRIFT.slug,
                f"another template than in {first.where}{_named(first)}",
                where=other.where,
                expected=f"the text of {first.where} ({len(first.text):,} characters)",
                actual=f"another text ({len(other.text):,} characters)",
            )


def _same_names(templates: list[Text]) -> Iterator[tuple[Text, Text]]:
    """Pair each template with the first of its name, which is the one that transformers takes."""
    first: dict[str, Text] = {}
    for text in templates:
        if text.name in first:
            yield first[text.name], text
        else:
            first[text.name] = text


def _named(text: Text) -> str:
    return "" if text.name == DEFAULT else f" called {text.name}"


def _essence(text: str) -> str:
    """Return a template without what no engine sees: Jinja drops one newline at the end and reads CRLF as LF."""
    return text.replace("\r\n", "\n").removesuffix("\n")
