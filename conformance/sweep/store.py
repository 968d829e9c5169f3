"""Where a sweep keeps its records: an SQLite file, one row for each target and engine, written as they come."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from conformance.errors import UsageError
from conformance.sweep.unit import Record

_SCHEMA = """
create table if not exists sweep (name text primary key, value text not null) without rowid;
create table if not exists record (
    target text not null, engine text not null, sha256 text not null, verdict text not null, record blob not null,
    primary key (target, engine)
) without rowid;
"""


class Store:
    """The records of one sweep; a context manager.

    Raises UsageError when the file is no sweep's, another process has it, or it was begun with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, str] | None = None) -> None:
        """Open the file; `settings` are those of a sweep that begins or goes on, None only reads."""
        self.path = path
        if settings is None and not path.is_file():
            raise UsageError(
                f"There is no sweep in {path}; `conformance sweep run LIST --output {path}` makes one."
            )
        with self._told():
            self._database = sqlite3.connect(path, timeout=10)
            try:
                self._database.executescript(_SCHEMA)
                known = dict(self._database.execute("select name, value from sweep"))
            except BaseException:
                self._database.close()
                raise
        if settings is not None:
            self._begin(settings, known)
        self.settings = settings or known

    def _begin(self, settings: dict[str, str], known: dict[str, str]) -> None:
        other = [f"{name} {known[name]}" for name in known if known[name] != settings.get(name)]
        if other:
            raise UsageError(
                f"{self.path} holds a sweep with {', '.join(other)}; go on with that, or name another --output."
            )
        with self._told(), self._database:
            self._database.executemany("insert or ignore into sweep values (?, ?)", settings.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def done(self) -> set[tuple[str, str, str]]:
        """Return target, engine and hash of all that is judged."""
        with self._told():
            return set(self._database.execute("select target, engine, sha256 from record"))

    def add(self, records: Iterable[Record]) -> None:
        """Keep records, all or none of them; one that is there is replaced, and so never counted twice."""
        rows = [
            (each.target, each.engine, each.sha256, each.verdict, msgspec.json.encode(each))
            for each in records
        ]
        with self._told(), self._database:
            self._database.executemany("insert or replace into record values (?, ?, ?, ?, ?)", rows)

    def records(self) -> Iterator[Record]:
        """Yield all records in the order of targets and engines."""
        with self._told():
            for (data,) in self._database.execute("select record from record order by target, engine"):
                yield msgspec.json.decode(data, type=Record)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: {error}; name another --output.") from None
        except (
            msgspec.MsgspecError,
            UnicodeDecodeError,
            TypeError,
        ) as error:  # as the driver gives what is no text
            raise UsageError(
                f"{self.path}: it is no sweep's, or was damaged ({error}); name another --output."
            ) from None
