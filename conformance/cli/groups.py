"""Targets in groups that are judged together: templates are loaded, servers recognised, the rest is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from conformance.cli.targets import load_templates
from conformance.errors import EXIT_CONFORMS, ConformanceError
from conformance.report.model import LeftOut
from conformance.servers import KEY_VARIABLE
from conformance.sources import resolve
from conformance.targets.base import Group, is_address, is_known


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How servers and renderers among the targets are asked; `readings` is the profile that a renderer is told."""

    protocol: str | None = None
    model: str | None = None
    timeout_s: float = 30.0
    concurrency: int = 4
    key_variable: str = KEY_VARIABLE
    readings: str = "harmony"

    def open(self, target: str) -> Group:
        """Make ready to judge a server or a known renderer; raises ConformanceError where that fails."""
        # What asks servers and starts programs is needed for those alone.
        if is_known(target):
            from conformance.targets.renderer import open_known

            return open_known(target, limit_s=self.timeout_s, readings=self.readings)
        from conformance.servers.client import Access
        from conformance.targets.server import open_server

        access = Access(target, self.timeout_s, self.key_variable, self.concurrency)
        return open_server(access, server=self.protocol, model=self.model)


@dataclass
class Loaded:
    """Targets in groups that are judged together, and those of several that cannot be had."""

    groups: list[Group] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    exit_code: int = EXIT_CONFORMS

    def leave_out(self, target: str, error: ConformanceError) -> None:
        """Note that a target cannot be had, and why."""
        self.left_out.append(LeftOut(name=target, reason=str(error)))
        self.exit_code = max(self.exit_code, error.exit_code)


def _is_running(target: str) -> bool:
    return is_address(target) or is_known(target)


@contextlib.contextmanager
def load_groups(
    targets: Sequence[str], servers: ServerOptions, *, offline: bool, program: Group | None = None
) -> Iterator[Loaded]:
    """Load targets, and close what was opened for them when the block ends.

    Raises the error of a single target; of several, UsageError or UnjudgedError only when none of them can be had.
    """
    loaded = Loaded()
    names = list(dict.fromkeys(targets))
    running = [name for name in names if _is_running(name)]
    problem: ConformanceError | None = None
    with contextlib.ExitStack() as stack:
        if program is not None:
            stack.callback(program.close)
            loaded.groups.append(program)
        if templates := [name for name in names if name not in running]:
            try:
                found, left_out = load_templates(templates, offline=offline)
                loaded.groups.append(Group(found))
                for left in left_out:
                    loaded.left_out.append(left)
                    loaded.exit_code = max(loaded.exit_code, 2)
            except ConformanceError as error:
                problem = error
                loaded.leave_out(", ".join(templates), error)
        for name in running:
            try:
                group = servers.open(name)
            except ConformanceError as error:
                problem = error
                loaded.leave_out(name, error)
                continue
            stack.callback(group.close)
            loaded.groups.append(group)
        if not loaded.groups:
            assert problem is not None
            raise problem
        yield loaded


@contextlib.contextmanager
def one_group(target: str, servers: ServerOptions, *, offline: bool) -> Iterator[Group]:
    """Load the one target of a command (the first template of several), and close it when the block ends."""
    if not _is_running(target):
        found = resolve(target, offline=offline)
        yield Group(found[:1], others=[template.name for template in found[1:]])
        return
    group = servers.open(target)
    try:
        yield group
    finally:
        group.close()
