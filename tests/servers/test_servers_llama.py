"""The real llama-server, on a tiny model with the real vocabulary: what it does, and the engine that stands for it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import gguf
import msgspec
import pytest
from command_line import Run
from msgspec.structs import replace

from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.campaign.shrink import Shrinker
from conformance.conversation import Case, Conversation, Tool, User
from conformance.engines import Refused, get_engine
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, GoneError
from conformance.oracles.load import tokenizer
from conformance.report.json_file import read
from conformance.report.model import Target
from conformance.resources import resource
from conformance.servers import llama_local, tiny_gguf
from conformance.servers.client import Access
from conformance.servers.host import ServerHost
from conformance.shapes import shapes
from conformance.sources import catalogue, resolve
from conformance.targets.base import Group
from conformance.targets.server import open_server
from tools.server_engine import BOTH_FAIL, beside

MISSING = llama_local.available()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
# A thousand take minutes; they were run, and are run again by setting this.
# A server's 500 is a refusal, an engine's exception a failure of the template.
FAILURES = ("template-crashed", "template-rejected")
CASES = int(os.environ.get("CONFORMANCE_AGREEMENT_CASES", "60"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with llama_local.llama_server(REFERENCE) as found:
        yield found


@pytest.fixture
def group(address: str) -> Iterator[Group]:
    made = open_server(Access(address))
    yield made
    made.close()


def host(group: Group) -> ServerHost:
    found = group.hosts["llama-server"]
    assert isinstance(found, ServerHost)
    return found


def target(place: Path) -> Target:
    (found,) = read(place / "out").targets
    return found


def test_the_vocabulary_is_harmonys() -> None:
    """The tokens of the file, read by gguf-py, are those of the library; each merge makes a token."""
    reader = gguf.GGUFReader(tiny_gguf.cached())
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == 201_088
    harmony = tokenizer()
    for special, number in harmony.special_tokens().items():
        if number >= len(tokens):  # Harmony reserves one token more than the published models have
            continue
        # Harmony calls the last one reserved; the published tokenizer gives it its old name.
        assert tokens[number] == special or tokens[number] == "<|endofprompt|>"
    assert tokens[harmony.encode("hello")[0]] == "hello"
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    known = set(tokens)
    assert len(merges) == 446_189
    assert all(merge.replace(" ", "") in known for merge in merges[::997])


def test_a_short_campaign_on_the_real_server(run: Run, place: Path, address: str) -> None:
    result = run("check", address, "--examples", "60", "--output", "out")
    found = target(place)
    assert found.source["protocol"] == "llama-server"
    assert found.source["template"].startswith(f"{found.source['template_sha256'][:12]} ")
    # What it accepts it writes as Harmony, but for what it does to arguments before the template runs.
    own = "arguments-altered arguments-formatting default-literal empty-parameters message-dropped preamble-channel"
    assert {each.rule for each in found.divergences if each.check == "text"} <= set(own.split())
    assert found.cases.refused > 0
    assert any("Failed to parse tool call arguments as JSON" in refusal.cause for refusal in found.refusals)
    assert result.code == EXIT_DIVERGES
    assert "curl -s" in result.out


@pytest.mark.parametrize("name", ["reference", "openai-gpt-oss-120b"])
def test_the_engine_llama_cpp_is_the_server(name: str) -> None:
    """On every conversation that its shape carries the engine does what the server does with the client's form.

    The reference template is then right to the character: what is not, the server changed before the template ran.
    """
    if (reason := get_engine("llama.cpp").available()) is not None:
        pytest.skip(reason)
    if name != "reference" and not catalogue.is_cached(name):
        pytest.skip(f"conformance templates fetch {name}")
    template = REFERENCE if name == "reference" else resolve(name)[0].text
    found = beside(template, CASES, 11)
    assert found.carried > CASES / 5
    assert found.explained, found.examples
    assert all(theirs == mine for rule, (theirs, mine) in found.rules.items() if rule not in FAILURES)
    if name == "reference":
        assert found.right == found.carried
        assert not found.outcomes[BOTH_FAIL]


@pytest.mark.parametrize(
    ("schema", "refused"),
    [
        ({"type": "object", "properties": {"a": {"type": []}}}, True),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/X"}}}, True),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/X"}},
                "$defs": {"X": {"type": "string"}},
            },
            False,
        ),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, False),
    ],
)
def test_the_shape_knows_which_schemas_the_server_refuses(
    group: Group, schema: dict[str, object], refused: bool
) -> None:
    case = Case(
        conversation=Conversation(messages=(User(text="a"),), tools=(Tool(name="f", parameters=schema),))
    )
    outcome = host(group).render(shapes(["openai"])[0][0].request(case))
    assert isinstance(outcome, Refused) is refused
    assert (shapes(["llama-server"])[0][0].loses(case) is not None) is refused


def test_its_tokenizer_differs_on_one_word_with_combining_marks(
    group: Group, run: Run, place: Path, address: str
) -> None:
    """llama.cpp's gpt-4o pattern drops marks (pull 28054); found by the campaign, shrunk to one word."""
    case = Case(conversation=Conversation(messages=(User(text="The word नमस्ते means hello."),)))
    file = place / "case.json"
    file.write_bytes(msgspec.json.encode(case))
    result = run("diff", address, "--case", file)
    assert result.code == EXIT_DIVERGES
    assert "token-mismatch" in result.out
    found = shrunk(group, case)
    (user,) = found.conversation.messages
    assert isinstance(user, User)
    assert len(user.text) <= 3
    assert any(unicodedata.category(letter).startswith("M") for letter in user.text)


def shrunk(group: Group, case: Case) -> Case:
    with Runner(Settings(date=group.date, shapes=("openai",)), hosts=group.hosts) as runner:
        shrinker = Shrinker(runner.judge, host(group), "", date=group.date)
        dated = replace(case, options=replace(case.options, date=group.date or ""))
        small = shrinker.shrink(dated, runner.choices[0][0], "token-mismatch")
    assert small is not None
    assert small.minimal
    difference = small.found.difference
    assert difference is not None
    assert difference.expected != difference.actual
    return small.case


def test_a_plain_conversation_conforms_and_its_line_can_be_pasted(
    run: Run, place: Path, address: str, group: Group
) -> None:
    case = place / "case.json"
    case.write_text('{"messages": [{"role": "user", "content": "Hi"}]}')
    assert run("diff", address, "--case", case).code == EXIT_CONFORMS
    request = shapes(["openai"])[0][0].request(Case(conversation=Conversation(messages=(User(text="'é"),))))
    line = group.targets[0].reproduce(request)
    done = subprocess.run(shlex.split(line), capture_output=True, check=True, timeout=60)
    assert "<|message|>'é<|end|>" in json.loads(done.stdout)["prompt"]


def test_whose_template_it_is(place: Path) -> None:
    """A server that was given another template than its file's says so, by the file on this machine."""
    model = place / "model.gguf"
    tiny_gguf.write(model, REFERENCE)
    assert resolve(str(model))[0].text == REFERENCE
    for template, says in (
        (REFERENCE, ", the model file's own"),
        (REFERENCE + "{{ '' }}", ", not the model file's own"),
    ):
        with llama_local.llama_server(template, model=model) as address:
            group = open_server(Access(address))
            group.close()
            assert group.targets[0].source.template.endswith(says)


def test_it_ends_with_whoever_started_it() -> None:
    code = (
        "import os, sys\n"
        "from conformance.servers.llama_local import llama_server\n"
        "with llama_server('x') as address:\n"
        "    print(address, flush=True)\n"
        "    os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    for _ in range(100):
        try:
            open_server(Access(done.stdout.strip(), 1.0)).close()
        except GoneError:
            return
    pytest.fail("it still answers")


def test_logged_requests_are_handed_to_it_as_they_were_sent(
    address: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tool = {"type": "function", "function": {"name": "get.time", "parameters": {"type": "object"}}}
    bodies = [
        {"messages": [{"role": "user", "content": "Hello"}], "tools": [tool], "reasoning_effort": "high"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
        {"messages": [{"role": "user", "content": "Hello"}], "tool_choice": "none", "temperature": 0.5},
    ]
    Path("log.jsonl").write_text("\n".join(json.dumps(body) for body in bodies), encoding="utf-8")
    result = run("requests", "log.jsonl", address, "--output", "out")
    assert result.code == 0, result.err
    assert read(Path("out")).targets[0].cases.equal == len(bodies)
    assert "tool_choice (1)" in result.out
