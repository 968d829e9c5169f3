"""The one registry for whatever can be added: engines, sources, checks, writers, fixes, shapes, precision paths.

Imports nothing but the standard library, so that every part of the package can use it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from conformance.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """Things of one kind by name: those built in, those that this program registered, those of installed packages.

    `kind` is the word for them in messages, `group` their entry point group, and `built_in` names the module that
    registers each when it is imported, which happens when it is first asked for. `check` raises what is wrong with
    a thing that is about to be registered.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, str] | None = None,
        *,
        check: Callable[[str, T], None] | None = None,
    ) -> None:
        self.kind, self.group = kind, group
        self._modules, self._check = dict(built_in or {}), check
        self._known: dict[str, T] = {}

    def add(self, name: str, thing: T) -> None:
        """Register a thing; raises ValueError when another has its name."""
        known = self._known.get(name)
        # The same thing may be loaded twice (as __main__ and by name); two different ones are a mistake.
        if known is not None and _place(known) != _place(thing):
            raise ValueError(
                f"the {self.kind} {name} is registered twice: {_place(known)} and {_place(thing)}"
            )
        if self._check is not None:
            self._check(name, thing)
        self._known[name] = thing

    def register(self, thing: U) -> U:
        """Register a class under its `name`; to be used as a decorator."""
        self.add(getattr(thing, "name", ""), thing)  # type: ignore[arg-type]
        return thing

    def named(self, name: str) -> Callable[[U], U]:
        """Return a decorator that registers a function under a name."""

        def register(thing: U) -> U:
            self.add(name, thing)  # type: ignore[arg-type]
            return thing

        return register

    def names(self) -> list[str]:
        """Return all names: those built in, in their order, those registered, those of plug-ins."""
        return list(dict.fromkeys([*self._modules, *self._known, *self._plugins()]))

    @property
    def built_in(self) -> Mapping[str, str]:
        """The names built in, with the modules that register them."""
        return self._modules

    def own(self) -> dict[str, T]:
        """Return what this program registered and no other process knows by name."""
        elsewhere = {*self._modules, *self._plugins()}
        return {name: thing for name, thing in self._known.items() if name not in elsewhere}

    def __getitem__(self, name: str) -> T:
        """Return the thing of a name.

        Raises UsageError when there is none, or when the plug-in that offers it cannot be loaded.
        """
        if name not in self._known and name in self._modules:
            importlib.import_module(self._modules[name])
        elif name not in self._known and (point := self._plugins().get(name)) is not None:
            try:
                self.add(name, point.load())
            except Exception as error:  # a stranger's module may fail in any way
                raise UsageError(
                    f"The {self.kind} {name!r} ({point.value}) cannot be loaded: {error}; "
                    "update or uninstall the package that offers it."
                ) from error
        if name not in self._known:
            raise UsageError(f"There is no {self.kind} {name!r}; choose from {', '.join(self.names())}.")
        return self._known[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield names and things in the order of `names`; what nobody iterates up to is not loaded."""
        seen: set[str] = set()
        for some in (lambda: self._modules, lambda: self._known, self._plugins):
            for name in [name for name in some() if name not in seen]:
                seen.add(name)
                yield name, self[name]

    def _plugins(self) -> dict[str, EntryPoint]:
        # The current folder is no place for them: `launch.distrust_current_folder` took it off the path.
        return {point.name: point for point in entry_points(self.group)}


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group that installed packages have."""
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Read what all packages on the path offer, which takes 20 ms."""
    from importlib.metadata import entry_points as installed

    return tuple(installed(group=group))


def _place(thing: Any) -> str:
    """Return where a class, function or object was defined."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"
