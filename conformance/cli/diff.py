"""`conformance diff`: one conversation, the oracle's text beside the template's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.console import Console

from conformance.as_sent import SentCase, ignored
from conformance.campaign.assemble import region_words, severity, structure
from conformance.campaign.judge import REFUSED
from conformance.campaign.runner import Runner, own_shapes
from conformance.campaign.settings import Settings
from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.groups import ServerOptions, one_group
from conformance.cli.judging import validate
from conformance.cli.options import (
    Authority,
    KeyVariable,
    Model,
    Offline,
    Plain,
    Profile,
    Server,
    Target,
    Timeout,
)
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.cli.targets import obtain_authority
from conformance.compare.align import align, side_by_side
from conformance.conversation import Case, case_id, plain_case
from conformance.engines.base import CASE_LIMITS
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UnjudgedError, UsageError
from conformance.importers import read_given
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.library import OracleFailedError, OracleRefusedError
from conformance.oracles.profile import written
from conformance.report.diff_view import Finding, plain_diff, render_diff
from conformance.report.files import to_json
from conformance.report.terminal import TerminalWriter
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN
from conformance.servers import KEY_VARIABLE
from conformance.shapes import AS_SENT, families, shapes
from conformance.targets.base import Group


def diff(
    target: Target,
    case: Annotated[
        Path,
        typer.Option(
            "--case", metavar="FILE", help="A case, or an OpenAI chat-completions request, as JSON."
        ),
    ],
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.shapes, help="Shape to hand the conversation over in."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", autocompletion=completion.engines, help="Engine to render with.")
    ] = "transformers",
    profile: Profile = "harmony",
    authority: Authority = DEFAULT,
    plain: Plain = False,
    offline: Offline = False,
    server: Server = None,
    model: Model = None,
    timeout: Timeout = 30.0,
    api_key_variable: KeyVariable = KEY_VARIABLE,
) -> int:
    """Show one conversation as Harmony and as a target write it."""
    chosen = (shape,) if shape else ()
    validate(Settings(engines=(engine,), shapes=chosen, profile=profile, authority=authority))
    read = read_given(case)
    servers = ServerOptions(server, model, timeout, key_variable=api_key_variable, readings=profile)
    console = new_console()
    with one_group(target, servers, offline=offline) as group:
        code, failed = EXIT_CONFORMS, False
        if group.others:
            say(console, f"The template {group.targets[0].name}; not shown: {', '.join(group.others)}.")
        body = read.body if isinstance(read, SentCase) and not chosen else None
        if body is not None:
            say(console, "As sent: the request's own messages, tools and options.")
            if left := ignored(body):
                complain(f"note: not looked at: {', '.join(left)}")
            if read.conversation.response_formats and not (group.hosts or group.targets[0].text is None):
                complain(
                    "note: no template is handed response_format; Harmony has it in the developer message"
                )
            code, failed = run_diff(
                group, read, shape_name=None, engine=engine, profile=profile, authority=authority,
                plain=plain, offline=offline, console=console,
            )  # fmt: skip
        if body is None or failed:
            if failed:
                say(console, "And the same conversation as this project writes it, not as it was sent:")
            second, _ = run_diff(
                group, plain_case(read), shape_name=shape, engine=engine, profile=profile, authority=authority,
                plain=plain, offline=offline, console=console,
            )  # fmt: skip
            code = max(code, second)
        return code


def run_diff(
    group: Group,
    case: Case,
    *,
    shape_name: str | None,
    engine: str,
    profile: str,
    authority: str,
    plain: bool,
    offline: bool,
    console: Console,
) -> tuple[int, bool]:
    """Render one case with the oracle and with a group's one target, and print both.

    A case that was read from a request is handed over as it was sent. Returns the exit code, and whether the target
    wrote nothing.
    """
    target = group.targets[0]
    if group.date is not None and case.options.date != group.date:
        # A server's clock cannot be set.
        case = replace(case, options=replace(case.options, date=group.date))
    engine = next(iter(group.hosts), engine)
    names = [shape_name] if shape_name else list(group.shapes or (*own_shapes([engine]), *families()))
    if isinstance(case, SentCase):
        names = [AS_SENT.name]
    candidates = [shape for name in names for shape in shapes([name])[0]]
    shape = next((shape for shape in candidates if not shape.loses(case)), None)
    if shape is None:
        first = candidates[0]
        raise UsageError(
            f"The shape {first.name} cannot carry this case: {first.loses(case)}; choose another --shape."
        )
    obtain_authority(authority, offline=offline)
    settings = Settings(profile=profile, authority=authority, engines=(engine,), limits=CASE_LIMITS)
    with Runner(settings, hosts=group.hosts) as runner:
        runner.compile_check(target)
        try:
            answer = runner.judge.ask(case)
        except OracleFailedError as error:
            raise UnjudgedError(f"There is nothing to compare the target with: {error}.") from None
        except OracleRefusedError as error:
            raise UsageError(
                f"Harmony refuses this case, so there is nothing to compare the target with ({error})."
            ) from None
        host = runner.hosts[engine]
        request = shape.request(case)
        outcome = host.collect(host.submit(target.text or "", [request]))[0]
        try:
            judgement = runner.judge.judge(answer, outcome)
        except OracleRefusedError as error:
            raise UnjudgedError(f"The target's text cannot be judged: {error}.") from None
    findings = [
        Finding(
            found.rule,
            region_words(found),
            [written(reading) for reading in found.readings],
            severity(found.rule, found.readings, found.severity),
        )
        for found in judgement.found
    ]
    if judgement.status == REFUSED:
        raise UnjudgedError(
            f"{target.name} refuses this conversation, which Harmony renders: {judgement.failure}."
        )
    injected = any(found.rule == INJECTED_SPECIAL_TOKEN.slug for found in judgement.found)
    read = structure(answer, judgement, INJECTED_SPECIAL_TOKEN.slug if injected else "")
    failure = judgement.failure
    if failure is not None and judgement.line is not None:
        failure = f"{failure} (line {judgement.line})"
    messages = None
    if judgement.text is not None:
        messages = side_by_side(answer.rendering, align(answer.rendering, judgement.text))
    handed = to_json(request.handed).decode("utf-8", "replace")
    if plain or not console.is_terminal:
        text = plain_diff(messages, findings=findings, failure=failure, structure=read, handed=handed)
        console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
    else:
        how = "as sent" if shape is AS_SENT else f"shape {shape.name}"
        title = f"{target.name} · case {case_id(case)} · {how} · engine {engine}"
        writer = TerminalWriter(console)
        writer.print(title)
        writer.print(
            render_diff(console, messages, findings=findings, failure=failure, structure=read, handed=handed)
        )
    worse = any(finding.severity != "note" for finding in findings)
    return EXIT_DIVERGES if worse else EXIT_CONFORMS, judgement.text is None
