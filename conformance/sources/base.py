"""What a template is, where it came from, and how kinds of sources are registered."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from conformance.errors import UsageError, printable
from conformance.registry import Registry
from conformance.sources.inside import open_inside

# The largest real templates have 40 kB. A stranger's file must not fill the memory.
MAX_TEMPLATE_BYTES = 4 * 2**20
MAX_JSON_BYTES = 32 * 2**20

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Provenance(msgspec.Struct, frozen=True):
    """Where a template came from.

    `kind` is file, model-folder, gguf, wheel or hub (or a plugin's own word); `location` is what the user
    gave or a canonical URI; `member` is the file in a wheel or folder, the name of a template, the GGUF key.
    """

    kind: str
    location: str
    revision: str | None = None
    member: str | None = None
    licence: str | None = None


class Template(msgspec.Struct, frozen=True):
    """A Jinja chat template under test.

    `text` is the source verbatim: CRLF and a byte order mark stay. transformers opens template files with
    universal newlines and keeps the mark; Jinja2 turns every CRLF into LF before it parses, so that verbatim
    text renders there exactly as in transformers, while engines that keep CRLF can still be told apart and
    `sha256` is what `sha256sum` prints for the file. `harmony` is the catalogue's word on whether the
    template is meant to write Harmony, None where the catalogue does not know it.
    """

    name: str
    text: str
    sha256: str
    source: Provenance
    note: str | None = None
    harmony: bool | None = None

    def reproduce(self, request: object) -> str:
        """Return nothing: `conformance replay` renders a template, and nobody else has to be asked."""
        return ""


class SourceSettings(msgspec.Struct, frozen=True):
    """How sources may load: without the network or with it, and which folder keeps what was fetched."""

    offline: bool = False
    cache: Path | None = None

    def cache_folder(self) -> Path:
        """Return the folder given, else the user's cache folder on this system."""
        if self.cache is not None:
            return self.cache
        from platformdirs import user_cache_path  # only fetched templates need it

        return user_cache_path("chat-template-conformance", appauthor=False)


class Source(Protocol):
    """One kind of place that templates come from."""

    name: str

    def claims(self, target: str) -> bool:
        """Return whether this source is the one to load `target`."""

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the templates of `target`, the default one first.

        Raises UsageError with one sentence if it cannot be read.
        """


# In this order they are asked; the catalogue last, so that a path always means the path.
_MODULES = ("standard_input", "wheel", "hub", "gguf", "model_folder", "file", "catalogue")
SOURCES: Registry[type[Source]] = Registry(
    "source",
    "conformance.sources",
    {name.replace("_", "-"): f"conformance.sources.{name}" for name in _MODULES},
)
register = SOURCES.register


def read_bounded(
    path: Path, location: str, limit: int = MAX_TEMPLATE_BYTES, *, root: Path | None = None
) -> bytes:
    """Return the bytes of a file of at most `limit` bytes.

    Raises UsageError if it cannot be read, or is a link out of `root`, the model's folder (default: its own).
    """
    try:
        with open_inside(path, location, root) as file:
            return read_stream(file, location, limit)
    except OSError as error:
        raise UsageError(f"cannot read {location}: {error.strerror or error}") from error


def read_stream(file: BinaryIO, location: str, limit: int = MAX_TEMPLATE_BYTES) -> bytes:
    """Return the rest of an open file of at most `limit` bytes; raises UsageError if it is longer."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise UsageError(f"{location} is larger than {limit // 2**20} MB, which no chat template needs")
    return data


def is_lfs_pointer(data: bytes) -> bool:
    """Return whether these are the bytes that git checks out in place of a file kept in Git LFS."""
    return data.startswith(_LFS_POINTER)


def decode(data: bytes, location: str) -> str:
    """Return UTF-8 bytes as text, a byte order mark and line ends kept; raises UsageError otherwise."""
    if is_lfs_pointer(data):
        raise UsageError(f"{location} is a Git LFS pointer, not the file itself; run `git lfs pull` first")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "it looks like UTF-16; " if data.startswith(_UTF16_MARKS) else ""
        raise UsageError(
            f"{location} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}; "
            f"{hint}save it as UTF-8"
        ) from error


def make_template(
    name: str,
    content: bytes | str,
    source: Provenance,
    *,
    where: str | None = None,
    note: str | None = None,
    harmony: bool | None = None,
) -> Template:
    """Return a checked template; `where` names it in errors (default: its location and member).

    Raises UsageError if it is too large, not UTF-8, or empty.
    """
    if where is None:
        where = source.location if source.member is None else f"{source.member} in {source.location}"
    name, where = printable(name), printable(where, 400)
    if isinstance(content, bytes):
        data, text = content, decode(content, where)
    else:
        text = content
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{where} has a lone surrogate at character {error.start}, which UTF-8 cannot write; "
                "correct the escape sequence there"
            ) from error
    if len(data) > MAX_TEMPLATE_BYTES:
        limit = MAX_TEMPLATE_BYTES // 2**20
        raise UsageError(f"{where} is larger than {limit} MB, which no chat template needs")
    if not text.strip("\ufeff \t\r\n"):
        raise UsageError(f"{where} is an empty template; there is nothing to judge")
    if text.startswith("\ufeff") and note is None:
        note = "starts with a byte order mark, which transformers writes in front of the first token"
    return Template(name, text, hashlib.sha256(data).hexdigest(), source, note, harmony)
