"""Hypothesis strategies over the report model."""

from __future__ import annotations

from hypothesis import strategies as st

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
)
from conformance.report import model

text = st.text(max_size=12)
maybe = st.none() | text
count = st.integers(0, 2**40)
share = st.floats(0, 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(text, values, max_size=2)

calls = st.builds(ToolCall, name=text, arguments=objects | text)
messages = st.one_of(
    st.builds(Instructions, text=text),
    st.builds(User, text=text),
    st.builds(
        Assistant, thinking=maybe, preamble=maybe, calls=st.lists(calls, max_size=2).map(tuple), final=maybe
    ),
    st.builds(ToolResult, call=st.integers(0, 3), content=text),
)
tools = st.builds(Tool, name=text, description=maybe, parameters=st.none() | objects)
cases = st.builds(
    Case,
    conversation=st.builds(
        Conversation,
        messages=st.lists(messages, max_size=3).map(tuple),
        tools=st.lists(tools, max_size=2).map(tuple),
    ),
    options=st.builds(Options, model_identity=maybe, mode=st.sampled_from(["generation", "training"])),
)
examples = st.builds(
    model.Example,
    case_id=text,
    case=cases,
    engine=text,
    shape=text,
    expected=text,
    actual=maybe,
    offset=st.none() | count,
    region=text,
    message_index=st.none() | count,
    template_line=st.none() | count,
    also=st.lists(text, max_size=2),
    failure=maybe,
    minimal=st.booleans(),
    actual_offset=st.none() | count,
)
divergences = st.builds(
    model.Divergence,
    rule=text,
    code=text,
    severity=st.sampled_from(["error", "warning", "note"]),
    check=text,
    count=count,
    share=share,
    engines=st.lists(text, max_size=2),
    shapes=st.lists(text, max_size=2),
    vanishes_under=st.lists(text, max_size=2),
    example=examples,
    features=st.lists(text, max_size=2),
)
coverages = st.builds(
    model.Coverage,
    features=share,
    pairs=share,
    template_branches=st.none() | share,
    branches_never_run=st.lists(st.builds(model.Branch, line=count, what=text), max_size=2),
)
targets = st.builds(
    model.Target,
    name=text,
    sha256=text,
    source=objects,
    verdict=st.sampled_from(["conforms", "diverges", "error"]),
    engines=st.lists(text, max_size=2),
    shapes=st.lists(text, max_size=2),
    cases=st.builds(model.CaseCounts, total=count, inexpressible=count),
    coverage=coverages,
    right_under=st.dictionaries(text, share, max_size=2),
    divergences=st.lists(divergences, max_size=2),
    error=maybe,
    harmony=st.booleans(),
    aliases=st.lists(text, max_size=1),
)
reports = st.builds(
    model.Report,
    tool=st.builds(model.ToolInfo, name=text, version=text),
    environment=st.builds(
        model.Environment, python=text, platform=text, packages=st.dictionaries(text, text, max_size=2)
    ),
    run=st.builds(model.Run, seed=count, profile=text, elapsed_s=share, cases=count, complete=st.booleans()),
    targets=st.lists(targets, max_size=2),
    left_out=st.lists(st.builds(model.LeftOut, name=text, reason=text), max_size=1),
)
