"""Readings of the format: the settings where authorities leave room, their cited values, and profiles, sets of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from conformance.decode import decode_toml, read_toml
from conformance.errors import UsageError

ContentType: TypeAlias = Literal["json", "constrain", "constrain-spaced", "none"]
Place: TypeAlias = Literal["role", "channel"]
LaterInstructions: TypeAlias = Literal["plain", "heading", "system", "merged"]
EmptyInstructions: TypeAlias = Literal["omitted", "section"]
NoArguments: TypeAlias = Literal["object", "none"]
Retention: TypeAlias = Literal["harmony", "documented", "keep-all"]
PreambleChannel: TypeAlias = Literal["commentary", "analysis"]
PreamblePlace: TypeAlias = Literal["after-thinking", "before-thinking"]
Exponents: TypeAlias = Literal["1e20", "1e+20"]
ArgumentsJson: TypeAlias = Literal["python", "compact"]
BuiltinContentType: TypeAlias = Literal["code", "constrain"]
UserName: TypeAlias = Literal["written", "omitted"]
ResponseFormats: TypeAlias = Literal["section", "omitted"]

# A reading: a setting and one of its values.
Reading: TypeAlias = tuple[str, str]

_FILE = Path(__file__).parent / "profiles.toml"
_LARGEST = 2**16


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of readings, one of every setting; see `profiles.toml` for whose word each is."""

    name: str
    content_type: ContentType = "json"
    thinking_inference: Retention = "harmony"
    thinking_training: Retention = "documented"
    preamble_channel: PreambleChannel = "commentary"
    arguments_json: ArgumentsJson = "python"
    recipient: Place = "role"
    result_recipient: Place = "role"
    later_instructions: LaterInstructions = "plain"
    empty_instructions: EmptyInstructions = "omitted"
    no_arguments: NoArguments = "object"
    preamble_place: PreamblePlace = "after-thinking"
    exponents: Exponents = "1e20"
    builtin_content_type: BuiltinContentType = "code"
    user_name: UserName = "written"
    response_formats: ResponseFormats = "section"

    @lru_cache(maxsize=256)  # noqa: B019 (profiles are few, and live as long as the process)
    def differs_in(self, other: Profile) -> frozenset[str]:
        """Return the settings that another profile has otherwise."""
        return frozenset(name for name in SETTINGS if getattr(self, name) != getattr(other, name))

    def with_setting(self, **settings: str) -> Profile:
        """Return a copy with some settings changed, for asking which reading explains a divergence."""
        return replace(self, **settings)  # type: ignore[arg-type]

    def as_rendered_by(self, own: Profile) -> Profile:
        """Return this profile as a library renders it whose own readings are those of `own`.

        No input changes where it writes recipients, how exponents, and what it makes of a bare content type.
        """
        given = self.content_type
        return replace(
            self,
            recipient=own.recipient if own.recipient != "role" else self.recipient,
            result_recipient=own.result_recipient
            if own.result_recipient != "role"
            else self.result_recipient,
            exponents=own.exponents if own.exponents != "1e20" else self.exponents,
            content_type=own.content_type if given == "json" else given,
            builtin_content_type=own.builtin_content_type
            if own.builtin_content_type != "code"
            else self.builtin_content_type,
        )

    def readings(self) -> dict[str, str]:
        """Return every setting with its value."""
        return {name: getattr(self, name) for name in SETTINGS}


SETTINGS = tuple(setting.name for setting in fields(Profile) if setting.name != "name")


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return read_toml(_FILE, "the list of profiles")


@lru_cache(maxsize=1)
def profiles() -> dict[str, Profile]:
    """Return the published profiles by name, the default first."""
    return {name: Profile(name=name, **settings) for name, settings in _data()["profiles"].items()}


def setting_citations() -> dict[str, dict[str, str]]:
    """Return for every setting and value the software, document or issue that stands behind it."""
    settings: dict[str, dict[str, str]] = _data()["settings"]
    return settings


def citation(reading: Reading) -> str:
    """Return on whose word a reading stands."""
    setting, value = reading
    return setting_citations()[setting][value]


def written(reading: Reading) -> str:
    """Return a reading as people write it: `recipient=channel`."""
    return "=".join(reading)


@lru_cache(maxsize=64)
def profile(said: str) -> Profile:
    """Return the profile that a text names: `NAME`, `FILE.toml`, and `SETTING=VALUE` for what differs from it.

    These are separated by commas, as in `documented,recipient=channel`; without a name the rest is `harmony`'s. A
    file holds readings as TOML, `recipient = "channel"`, and may begin from a profile with `profile = "documented"`.
    Raises UsageError when a name, setting or value is unknown or a setting has two values.
    """
    base, *rest = said.split(",") if "=" not in said.split(",", 1)[0] else ("harmony", *said.split(","))
    chosen = _from_file(Path(base)) if base.endswith(".toml") else _named(base)
    readings: dict[str, str] = {}
    for part in rest:
        setting, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise UsageError(f"--profile {said!r}: {part!r} is not SETTING=VALUE.")
        if readings.setdefault(setting, value) != value:
            raise UsageError(
                f"--profile {said!r}: {setting} has two values, {readings[setting]} and {value}; choose one."
            )
    return chosen.with_setting(name=said, **_checked(readings, f"--profile {said!r}"))


def _named(name: str) -> Profile:
    try:
        return profiles()[name]
    except KeyError:
        raise UsageError(
            f"No profile is called {name!r}; choose from {', '.join(profiles())}, or write readings as "
            "SETTING=VALUE (`conformance settings` lists them) or in a .toml file."
        ) from None


def _from_file(path: Path) -> Profile:
    """Read a profile from a file; raises UsageError naming the file and what is wrong in it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"The profile {path} cannot be read: {reason}.") from None
    read = decode_toml(data, f"The profile {path}")
    base = read.pop("profile", "harmony")
    if not isinstance(base, str):
        raise UsageError(f"The profile {path}: profile is not the name of one.")
    return _named(base).with_setting(**_checked(read, f"The profile {path}"))


def _checked(readings: Mapping[str, object], where: str) -> dict[str, str]:
    """Return readings after checking each; raises UsageError naming `where`."""
    checked: dict[str, str] = {}
    known = setting_citations()
    for setting, value in readings.items():
        if setting not in known:
            near = difflib.get_close_matches(setting, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}."
            raise UsageError(f"{where}: no setting is called {setting!r}; {hint}")
        if isinstance(value, list):
            raise UsageError(f"{where}: {setting} has {len(value)} values; choose one of {_listed(setting)}.")
        if not isinstance(value, str) or value not in known[setting]:
            raise UsageError(f"{where}: {setting} cannot be {value!r}; choose from {_listed(setting)}.")
        checked[setting] = value
    return checked


def _listed(setting: str) -> str:
    return ", ".join(setting_citations()[setting])
