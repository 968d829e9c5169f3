"""`conformance requests`: logged requests, handed to targets as they were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec.structs import replace

from conformance.campaign.settings import Settings
from conformance.cli.gate_options import Gate, Ignore, Select, Severities
from conformance.cli.groups import ServerOptions
from conformance.cli.judging import judge_targets, validate
from conformance.cli.options import (
    DEFAULT_ENGINES,
    Authority,
    Cards,
    Concurrency,
    Engines,
    FailOnOption,
    Formats,
    Jobs,
    KeyVariable,
    Model,
    Offline,
    OptionalTargets,
    Output,
    Profile,
    Renderer,
    Seconds,
    Server,
    Timeout,
)
from conformance.cli.publish import TERMINAL, Publisher
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.cli.targets import all_engines
from conformance.engines.base import CASE_LIMITS
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UnjudgedError, UsageError
from conformance.gate.policy import FailOn
from conformance.logged.lines import Log, Reasons, read_log
from conformance.oracles.authorities import DEFAULT
from conformance.report.compact import plural
from conformance.report.files import write_file
from conformance.report.model import Logged, LoggedCause, Report, Target
from conformance.servers import KEY_VARIABLE
from conformance.shapes import AS_SENT
from conformance.targets.renderer import open_renderer

SMALLEST = "report.requests.jsonl"
_LISTED = 10


def requests(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSON Lines: chat-completions, Responses or Anthropic bodies, batch files."
        ),
    ],
    targets: OptionalTargets = None,
    command: Renderer = None,
    most: Annotated[
        int | None, typer.Option("--examples", metavar="N", help="Only the first N requests.")
    ] = None,
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Put all examples in other words, so that they can be shown.")
    ] = False,
    engine: Engines = None,
    profile: Profile = "harmony",
    authority: Authority = DEFAULT,
    seconds: Seconds = None,
    jobs: Jobs = 1,
    cards: Cards = 5,
    format: Formats = None,
    output: Output = None,
    fail_on: FailOnOption = FailOn.error,
    select: Select = None,
    ignore: Ignore = None,
    severity: Severities = None,
    offline: Offline = False,
    server: Server = None,
    model: Model = None,
    timeout: Timeout = 30.0,
    concurrency: Concurrency = 4,
    api_key_variable: KeyVariable = KEY_VARIABLE,
) -> int:
    """Judge logged requests as they were sent, one body on each line."""
    if not targets and command is None:
        raise UsageError("Name a target, or a program with --command; see `conformance requests --help`.")
    if most is not None and most < 1:
        raise UsageError(f"--examples is {most}; give at least 1, since a run of no request proves nothing.")
    if not anonymise:
        _only_in_the_folder(format or ())
    gate = Gate(select, ignore, severity, None, fail_on)
    engines, no_engine = all_engines(engine or DEFAULT_ENGINES)
    read = read_log(log, most)
    for line in _sentences(read.unreadable):
        complain(f"{log}, {line}")
    if not read.cases:
        _nothing_to_judge(log, read)
    settings = Settings(
        cases=len(read.cases),
        replayed=tuple(read.cases),
        shapes=(AS_SENT.name,),
        profile=profile,
        authority=authority,
        engines=engines,
        seconds=seconds,
        jobs=jobs,
        anonymised=anonymise,
        limits=CASE_LIMITS,
    )
    validate(settings)
    publisher = Publisher(format or (), output, cards if anonymise else 0)
    servers = ServerOptions(server, model, timeout, concurrency, api_key_variable)
    program = None if command is None else open_renderer(command, limit_s=timeout, readings=profile)
    judged = judge_targets(
        targets or (),
        settings,
        gate,
        publisher,
        servers=servers,
        program=program,
        offline=offline,
        no_engine=no_engine,
        label=log.name,
    )
    folder = judged.folder
    report = _of_a_log(judged.report, _logged(log, read, anonymised=anonymise))
    smallest = _smallest(report)
    write_file(folder / SMALLEST, smallest)
    publisher.publish(report, folder, shown=report if anonymise else _without_words(report))
    if publisher.shows:
        for line in _summary(log, read, report, folder, anonymised=anonymise):
            say(publisher.console, line)
    # Unknown is not pass: what the whole log would say is not known.
    unknown = read.left_over and most is None
    return max(
        judged.code,
        EXIT_USAGE if read.unreadable else EXIT_CONFORMS,
        EXIT_UNJUDGED if unknown else EXIT_CONFORMS,
    )


def _only_in_the_folder(formats: Sequence[str]) -> None:
    """Refuse formats that would carry people's words out of the run's folder."""
    for asked in formats:
        if asked != TERMINAL:
            raise UsageError(
                f"--format {asked} would carry the requests' own words out of the run's folder; add --anonymise, or "
                "read report.json there (--output DIR says where)."
            )


def _nothing_to_judge(log: Path, read: Log) -> None:
    reasons = read.inexpressible or read.unreadable
    first = next(_sentences(reasons))
    if read.inexpressible:
        raise UnjudgedError(f"No request of {log} can be said to gpt-oss: {first}.")
    raise UsageError(f"No line of {log} is a request: {first}.")


def _sentences(reasons: Reasons) -> Iterator[str]:
    """Yield one sentence for each reason, the commonest first."""
    for reason, count in reasons.counts.most_common():
        more = f" ({count - 1:,} more like it)" if count > 1 else ""
        yield f"line {reasons.first[reason]}: {reason}{more}"


def _causes(reasons: Reasons) -> list[LoggedCause]:
    return [
        LoggedCause(reason=reason, count=count, first=reasons.first[reason])
        for reason, count in reasons.counts.most_common()
    ]


def _logged(log: Path, read: Log, *, anonymised: bool) -> Logged:
    return Logged(
        file=log.name,
        lines=read.lines,
        requests=len(read.cases),
        unreadable=_causes(read.unreadable),
        inexpressible=_causes(read.inexpressible),
        translated=dict(read.translated.most_common()),
        ignored=dict(read.ignored.most_common()),
        anonymised=anonymised,
        left_over=read.left_over,
    )


def _of_a_log(report: Report, logged: Logged) -> Report:
    """Return the report with its log; what a log does not hold is no gap of ours, and is not listed."""
    targets = [
        replace(target, coverage=replace(target.coverage, missing_features=[])) for target in report.targets
    ]
    return replace(report, targets=targets, logged=logged)


def _smallest(report: Report) -> bytes:
    """Return the smallest request of each divergence, one on a line, each once."""
    bodies = [
        msgspec.json.encode(divergence.example.handed)
        for target in report.targets
        for divergence in target.divergences
        if divergence.example.handed
    ]
    return b"".join(body + b"\n" for body in dict.fromkeys(bodies))


def _without_words(report: Report) -> Report:
    """Return a report for the terminal in which a target's sentences quote no request."""

    def quiet(target: Target) -> Target:
        refusals = [replace(refusal, message=refusal.cause) for refusal in target.refusals]
        return replace(target, refusals=refusals)

    return replace(report, targets=[quiet(target) for target in report.targets])


def _summary(log: Path, read: Log, report: Report, folder: Path, *, anonymised: bool) -> Iterator[str]:
    """Yield what the log was, where the smallest requests are, and where people's words went."""
    for target in report.targets:
        for divergence in target.divergences:
            example = divergence.example
            again = f"; conformance replay {example.case_id} --run {folder}" if example.handed else ""
            yield f"{divergence.code} {divergence.rule}: smallest in line {example.line}{again}"
    judged = f"{plural(len(read.cases), 'request')} of {plural(read.lines, 'line')} judged"
    apart = [
        f"{sum(reasons.counts.values()):,} {word}"
        for reasons, word in (
            (read.unreadable, "unreadable"),
            (read.inexpressible, "that gpt-oss cannot be told, counted apart"),
        )
        if reasons
    ]
    yield f"{log.name}: {'; '.join([judged, *apart])}"
    for sentence in list(_sentences(read.inexpressible))[:_LISTED]:
        yield f"  cannot be told: {sentence}"
    for name, count in read.translated.items():
        yield f"  {plural(count, f'{name} body').replace('bodys', 'bodies')} judged as chat completions"
    if read.ignored:
        counted = [f"{key} ({count:,})" for key, count in read.ignored.most_common()]
        yield f"  not looked at: {', '.join(counted)}"
    if read.left_over:
        yield "  the log goes on: the rest was not read"
    if anonymised:
        yield f"Examples are in other words than the log. As requests: {folder / SMALLEST}"
    else:
        yield f"The requests' own words are in {folder} and nowhere else; --anonymise makes examples to show."
