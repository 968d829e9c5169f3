"""Judge the real servers that can be started here, and keep what was seen in reports/servers.md.

`python -m tools.servers` judges llama-server; `--server vllm` judges vLLM's render server in the environment of
`conformance renderers fetch vllm` (`nox -s servers` does both). Each has its own part of the page.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.conversation import Case, to_json
from conformance.errors import ConformanceError, UnjudgedError
from conformance.oracles.load import authority, tokenizer
from conformance.renderers.environments import installed
from conformance.renderers.known import find
from conformance.report.cards import percent
from conformance.report.markdown import between, case_cell, cell, excerpt_cell
from conformance.report.model import Divergence, Target
from conformance.report.renderers_page import best
from conformance.resources import resource
from conformance.servers import llama_local, model_folder
from conformance.servers.client import Access, Client
from conformance.servers.vllm_local import vllm_server
from conformance.sources import resolve
from conformance.targets.server import open_server
from tools.server_engine import BOTH_FAIL, SAME, Beside, beside

PAGE = Path("reports", "servers.md")
OPENAI = "openai-gpt-oss-120b"


def judged(address: str, examples: int, seed: int) -> Target:
    """Return what a campaign found about a running server; raises UnjudgedError where it found nothing."""
    group = open_server(Access(address))
    try:
        settings = Settings(
            seed=seed, cases=examples, engines=tuple(group.hosts), shapes=group.shapes, date=group.date
        )
        (target,) = check(group.targets, settings, hosts=group.hosts).targets
    finally:
        group.close()
    if target.verdict == "error":
        raise UnjudgedError(f"{target.name}: {target.error}.")
    return target


def summary(target: Target) -> Iterator[str]:
    """Yield a server's verdict: shares, what it could not be asked or refuses, its divergences."""
    cases, source = target.cases, target.source
    name, share = best(target)
    asked = cases.total + cases.refused
    yield (
        f"{source['protocol']} {cell(source['version'])}: {percent(target.right_under['harmony'])} of {cases.total:,} "
        f"conversations right under `harmony`"
        + ("" if name == "harmony" else f", {percent(share)} under `{name}`, the best profile")
        + (
            ""
            if target.right_under_readings is None
            else f"; {percent(target.right_under_readings)} under cited readings"
        )
        + f". {cases.inexpressible:,} could not be asked; {cases.refused:,} of {asked:,} were refused."
    )
    if target.refusals:
        yield ""
        for refusal in target.refusals:
            yield f"- refused, {percent(refusal.share)}: {cell(refusal.cause)}"
    yield from ("", "| Rule | Severity | Share | Harmony | Server | Smallest conversation | Not under |")
    yield "|---|---|--:|---|---|---|---|"
    for each in target.divergences:
        yield _rule(each)


def _rule(each: Divergence) -> str:
    shown = each.example
    cells = [
        f"{each.code} {cell(each.rule)}",
        each.severity,
        percent(each.share),
        excerpt_cell(shown.expected_part),
        excerpt_cell((shown.failure if shown.actual is None else shown.actual_part) or ""),
        case_cell(shown.case),
        cell(", ".join(str(reading) for reading in each.readings)),
    ]
    return f"| {' | '.join(cells)} |"


def before_the_template(found: Beside) -> Iterator[str]:
    """Yield what the server does to requests before the template runs, and what becomes of the rest."""
    share = percent(found.right / found.carried) if found.carried else "none"
    yield (
        f"Of {found.requests:,} generated conversations {sum(found.not_asked.values()):,} cannot be asked, and "
        f"{sum(found.changed.values()):,} are changed or refused by the server before the template runs (below). The "
        f"other {found.carried:,} reach the template as they were sent: {found.right:,} of them ({share}) are right "
        "to the character."
    )
    yield from (
        "",
        "| What is done before the template runs | The prompt is then | Conversations |",
        "|---|---|--:|",
    )
    for reason, count in found.not_asked.most_common():
        yield f"| {cell(reason)} | not asked for | {count:,} |"
    for (reason, did), count in sorted(found.changed.items(), key=lambda item: (-item[1], item[0])):
        yield f"| {cell(reason)} | {did} | {count:,} |"


def beside_the_engine(found: Beside) -> Iterator[str]:
    """Yield how server and engine compare on what reaches the template."""
    yield (
        f"{found.requests:,} requests; {found.carried:,} reach the template as they were sent. On "
        f"{found.outcomes[SAME]:,} of these server and engine write the same text, on {found.outcomes[BOTH_FAIL]:,} "
        f"neither makes a prompt, on {found.carried - found.outcomes[SAME] - found.outcomes[BOTH_FAIL]:,} they differ. "
        "What the others are is in the table of the reference template above: the shape `llama-server` leaves them out."
    )
    if found.failures:
        yield from ("", "| The server says | The engine says | Requests |", "|---|---|--:|")
        for (theirs, mine), count in found.failures.most_common():
            yield f"| {cell(theirs)} | {cell(mine)} | {count:,} |"
    yield from ("", "| Rule | On the server | On the engine |", "|---|--:|--:|")
    for rule, (server, engine) in sorted(found.rules.items(), key=lambda item: (-max(item[1]), item[0])):
        yield f"| {cell(rule)} | {server:,} | {engine:,} |"
    for kind, (case, theirs, mine) in found.examples.items():
        yield from ("", f"{kind}: {case_cell(case)}", "", f"- server: {cell(theirs[-300:])}")
        yield f"- engine: {cell(mine[-300:])}"


def token_word(target: Target, client: Client) -> Iterator[str]:
    """Yield the smallest text that the server cuts into other tokens, letter by letter."""
    found = [each for each in target.divergences if each.rule == "token-mismatch"]
    if not found:
        yield "No text was cut into other tokens."
        return
    example = found[0].example
    yield (
        f"`token-mismatch` in {percent(found[0].share)} of the conversations: the same text in other tokens. Shrunk by "
        f"the campaign to {case_cell(example.case)}."
    )
    for word in sorted(_words(example.case)):
        letters = ", ".join(
            f"U+{ord(c):04X} {unicodedata.name(c, '?')} ({unicodedata.category(c)})" for c in word
        )
        asked = {"content": word, "parse_special": True, "add_special": False}
        theirs = client.post("/tokenize", asked).value["tokens"]
        mine = list(tokenizer().encode(word))
        yield f"{cell(word)} is {letters}: Harmony makes {mine} of it, the server {theirs}."


def _words(case: Case) -> set[str]:
    """Return the words with combining marks in a case, wherever they stand."""
    said = json.loads(to_json(case))
    words: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, str):
            words.update(
                word for word in value.split() if any(unicodedata.category(c)[0] == "M" for c in word)
            )
        elif isinstance(value, dict):
            for key, item in value.items():
                look(key)
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    look(said)
    return words


def llama_server(examples: int, requests: int, seed: int) -> Iterator[str]:
    """Yield llama-server's part of the page."""
    reference = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    yield f"## llama-server ({llama_local.package_version()})"
    yield from ("", "On a tiny model with the real vocabulary, with this project's reference template.", "")
    with llama_local.llama_server(reference) as address:
        target = judged(address, examples, seed)
        client = Client(Access(address))
        words = list(token_word(target, client))
        client.close()
    yield from summary(target)
    yield from ("", "### What it does to a request before the template runs", "")
    yield from before_the_template(beside(reference, requests, seed))
    yield from ("", "### OpenAI's template on the server and on the engine `llama.cpp`", "")
    yield from beside_the_engine(beside(resolve(OPENAI)[0].text, requests, seed))
    yield from ("", "### Its tokenizer", "")
    yield from words


def vllm(examples: int, requests: int, seed: int) -> Iterator[str]:
    """Yield the part of vLLM's render server."""
    entry = find("vllm")
    here = installed(entry)
    if here is None:
        raise UnjudgedError(
            "vLLM is not here: `conformance renderers fetch vllm` installs it, `nox -s servers` too."
        )
    with vllm_server(here.program, model_folder.cached()) as address:
        target = judged(address, examples, seed)
    harmony = [name for name in here.packages if name.partition("==")[0] in ("openai-harmony", "oss-harmony")]
    yield f"## vLLM's render server ({entry}, {', '.join(harmony)})"
    yield from ("", "`vllm launch render` on a model folder with the real tokenizer and no weights.", "")
    yield from summary(target)


PARTS: dict[str, Callable[[int, int, int], Iterator[str]]] = {"llama-server": llama_server, "vllm": vllm}


def _page() -> str:
    if PAGE.is_file() and all(f"<!-- {name} -->" in PAGE.read_text("utf-8") for name in PARTS):
        return PAGE.read_text("utf-8")
    parts = "\n\n".join(f"<!-- {name} -->\n\nNot judged yet.\n\n<!-- end of {name} -->" for name in PARTS)
    return (
        "# Real servers, judged\n\nMade by `python -m tools.servers --server NAME`; `nox -s servers` installs and "
        f"judges them all. Judged by {authority().authority}.\n\n{parts}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge servers and write the page; the exit code is 0, or that of what could not be judged."""
    parser = argparse.ArgumentParser(prog="tools.servers", description=__doc__)
    parser.add_argument("--server", choices=[*PARTS, "all"], default="llama-server")
    parser.add_argument("--examples", type=int, default=300, help="conversations of each campaign")
    parser.add_argument("--requests", type=int, default=1000, help="requests beside the engine")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    code = 0
    for name in PARTS if chosen.server == "all" else [chosen.server]:
        try:
            text = "\n".join(PARTS[name](chosen.examples, chosen.requests, chosen.seed))
        except ConformanceError as error:
            print(f"{name}: {error}")
            code = max(code, error.exit_code)
            continue
        text += (
            f"\n\n`python -m tools.servers --server {name} --examples {chosen.examples} --seed {chosen.seed}`"
        )
        text += f" with `--requests {chosen.requests}`." if name == "llama-server" else "."
        PAGE.write_text(between(_page(), f"<!-- {name} -->", f"<!-- end of {name} -->", text), "utf-8")
        print(f"{name}: {PAGE}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
