"""What the shell offers after the Tab key; each list is read only when it is asked for."""

from __future__ import annotations


def _beginning(names: list[str], typed: str) -> list[str]:
    return [name for name in names if name.startswith(typed)]


def targets(incomplete: str) -> list[str]:
    """Return catalogue names; where none fits, the shell goes on with files."""
    from conformance.sources import catalogue

    templates = [name for entry in catalogue.entries() for name in (entry.name, *entry.aliases)]
    return _beginning([*templates, *(f"renderer:{name}" for name in renderers(""))], incomplete)


def rules(incomplete: str) -> list[str]:
    """Return rule slugs and codes."""
    from conformance.rules import catalogue

    return _beginning([name for rule in catalogue() for name in (rule.slug, rule.code)], incomplete)


def engines(incomplete: str) -> list[str]:
    """Return engine names."""
    from conformance.engines import engine_names

    return _beginning([*engine_names(), "all"], incomplete)


def shapes(incomplete: str) -> list[str]:
    """Return the families of shapes, and the word for all of them."""
    from conformance.shapes import ALL, families

    return _beginning([*families(), ALL], incomplete)


def profiles(incomplete: str) -> list[str]:
    """Return profile names."""
    from conformance.oracles.profile import profiles as known

    return _beginning(list(known()), incomplete)


def formats(incomplete: str) -> list[str]:
    """Return the names of report formats."""
    from conformance.report.base import formats as known

    return _beginning(known(), incomplete)


def protocols(incomplete: str) -> list[str]:
    """Return the names of the protocols that servers are asked in."""
    from conformance.servers.protocols import protocol_names

    return _beginning(protocol_names(), incomplete)


def renderers(incomplete: str) -> list[str]:
    """Return the names of the renderers that can be fetched."""
    from conformance.renderers.known import known

    return _beginning(list(known()), incomplete)


def authorities(incomplete: str) -> list[str]:
    """Return the names of authorities."""
    from conformance.oracles.authorities import pinned

    return _beginning(list(pinned()), incomplete)


def workloads(incomplete: str) -> list[str]:
    """Return the names of workloads."""
    return _beginning(["fuzz", "realistic"], incomplete)
