"""What a command is given: the templates of its targets, and the engines by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from conformance.cli.streams import complain
from conformance.errors import UsageError, printable
from conformance.report.model import LeftOut
from conformance.sources import Template, resolve

ALL = "all"
_FIRST = ("transformers", "jinja2")


def load_templates(targets: Sequence[str], *, offline: bool) -> tuple[list[Template], list[LeftOut]]:
    """Return the templates of all targets, and those targets of several that cannot be read.

    Raises UsageError when none of them can be.
    """
    templates: list[Template] = []
    left_out: list[LeftOut] = []
    for target in dict.fromkeys(targets):
        try:
            templates += resolve(target, offline=offline)
        except UsageError as error:
            if len(set(targets)) == 1:
                raise
            left_out.append(LeftOut(name=target, reason=str(error)))
    if not templates:
        raise UsageError("; ".join(f"{left.name}: {left.reason}" for left in left_out))
    return _told_apart(templates), left_out


def _told_apart(templates: list[Template]) -> list[Template]:
    """Name templates that have one name and different texts after their places: reports look up by name."""
    texts: dict[str, set[str]] = {}
    for template in templates:
        texts.setdefault(template.name, set()).add(template.sha256)
    return [
        replace(template, name=_place(template)) if len(texts[template.name]) > 1 else template
        for template in templates
    ]


def _place(template: Template) -> str:
    location, member = template.source.location, template.source.member
    return printable(location if member is None else f"{location}:{member}", 200)


def all_engines(names: Iterable[str]) -> tuple[tuple[str, ...], list[LeftOut]]:
    """Replace the engine name `all` by those that work here; return also those that do not, each with the cure."""
    names = tuple(dict.fromkeys(names))
    if ALL not in names:
        return names, []
    from conformance.engines import engine_names, get_engine

    # What every user has comes first: the others are compared with it.
    known = sorted(
        engine_names(), key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)
    )
    missing = {name: reason for name in known if (reason := get_engine(name).available()) is not None}
    left_out = [LeftOut(name=f"engine {name}", reason=reason) for name, reason in missing.items()]
    for left in left_out:
        complain(f"the {left.name} was left out: {left.reason}")
    return tuple(name for name in known if name not in missing), left_out


def obtain_authority(name: str, *, offline: bool) -> None:
    """Make sure that an authority can be asked; where its copy had to be fetched, say so.

    Raises UsageError when none has this name, UnjudgedError when it cannot be had.
    """
    from conformance.oracles.load import authority, obtain

    if obtain(name, offline=offline):
        complain(f"note: fetched a copy of {name}, to judge with {authority(name).authority}")


def check_engines(names: Sequence[str]) -> None:
    """Raise UsageError when one of these engines does not exist."""
    from conformance.engines import engine_names

    known = engine_names()
    for name in names:
        if name not in known:
            raise UsageError(f"No engine is called {name!r}; choose from {', '.join(known)}, or all.")


def one_template(
    target: str, *, offline: bool, sha256: str | None = None, name: str | None = None
) -> Template:
    """Return the template of a target; of several the one with this hash, else of this name, else the first."""
    found = resolve(target, offline=offline)
    same = [template for template in found if template.sha256 == sha256]
    return (same or [template for template in found if template.name == name] or found)[0]
