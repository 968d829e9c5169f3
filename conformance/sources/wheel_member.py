"""What a `wheel://` target names."""

from __future__ import annotations

import re

import msgspec

from conformance.errors import UsageError

SCHEME = "wheel://"

_TARGET = re.compile(
    r"wheel://(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+!_-]*)"
    r"/(?P<path>[^#]+)(?:#(?P<constant>[^#]+))?"
)


class WheelMember(msgspec.Struct, frozen=True):
    """A file of a wheel, or a string constant at the top level of a module in it."""

    package: str
    version: str
    path: str
    constant: str | None = None

    @property
    def uri(self) -> str:
        """The canonical target."""
        constant = f"#{self.constant}" if self.constant else ""
        return f"{SCHEME}{self.package}=={self.version}/{self.path}{constant}"

    @property
    def member(self) -> str:
        """The place within the wheel."""
        return f"{self.path}#{self.constant}" if self.constant else self.path


def parse_target(target: str) -> WheelMember:
    """Return the parts of a `wheel://` target; raises UsageError if it has another form."""
    match = _TARGET.fullmatch(target)
    if match is None or (match["constant"] and not match["constant"].isidentifier()):
        raise UsageError(
            f"{target} is no wheel target; write wheel://package==version/path/in/wheel.jinja "
            "or wheel://package==version/module.py#CONSTANT"
        )
    if match["path"].endswith(".py") and not match["constant"]:
        raise UsageError(f"{target} names a Python module; add #CONSTANT for the string that is the template")
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()
    return WheelMember(package, match["version"], match["path"], match["constant"])
