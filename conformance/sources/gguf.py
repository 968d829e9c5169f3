"""Templates in the metadata of a GGUF file, read without reading the vocabulary."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from conformance.errors import UsageError, printable
from conformance.gguf.reader import MAGIC, MAX_KEY_BYTES, STRING, MetadataReader
from conformance.sources.base import (
    MAX_TEMPLATE_BYTES,
    Provenance,
    SourceSettings,
    Template,
    make_template,
    register,
)
from conformance.sources.inside import open_inside

TEMPLATE_KEY = b"tokenizer.chat_template"
LICENCE_KEY = b"general.license"
MAX_TEMPLATES = 64

_SHARD = re.compile(r"^(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})$")


class GGUFTemplates(msgspec.Struct, frozen=True):
    """What the metadata says about chat templates: raw bytes by key, and the model's licence."""

    templates: dict[str, bytes]
    licence: str | None


def read_gguf(path: Path, location: str) -> GGUFTemplates:
    """Return the chat templates in the metadata of one GGUF file, in the order of the file.

    Raises UsageError if the file is not GGUF, is cut off, or claims absurd lengths.
    """
    templates: dict[str, bytes] = {}
    licence = None
    try:
        with open_inside(path, location) as file:
            reader = MetadataReader(file, location)
            for key, kind in reader.pairs():
                if key == TEMPLATE_KEY or key.startswith(TEMPLATE_KEY + b"."):
                    name = _key_text(key, location)
                    if kind != STRING:
                        raise UsageError(f"{name} in {location} is not a string; write it again")
                    if name in templates:
                        raise UsageError(f"{location} has {name} twice; llama.cpp refuses such a file")
                    if len(templates) == MAX_TEMPLATES:
                        reader.absurd(f"more than {MAX_TEMPLATES} chat templates")
                    templates[name] = reader.string(MAX_TEMPLATE_BYTES, name)
                elif key == LICENCE_KEY and kind == STRING:
                    licence = reader.string(MAX_KEY_BYTES, "general.license").decode("utf-8", "replace")
                    licence = printable(licence)
                else:
                    reader.skip(kind)
    except OSError as error:
        raise UsageError(f"cannot read {location}: {error.strerror or error}") from error
    return GGUFTemplates(templates, licence)


def _key_text(key: bytes, location: str) -> str:
    try:
        return printable(key.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"a chat template in {location} has a name that is not UTF-8: {key!r}") from error


@register
class GGUFSource:
    """A GGUF file; of a model in shards any one will do."""

    name = "gguf"

    def claims(self, target: str) -> bool:
        """Return whether the path is a file that is called `.gguf` or begins with the format's magic."""
        path = Path(target)
        if not path.is_file():
            return False
        if path.suffix.lower() == ".gguf":
            return True
        try:
            with path.open("rb") as file:
                return file.read(4) == MAGIC
        except OSError:
            return False

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the templates in the metadata, the default first.

        Raises UsageError if the file is damaged, or has no template and is no shard of one that has.
        """
        path = Path(target)
        found = read_gguf(path, target)
        shard = _SHARD.match(path.stem)
        name = shard["stem"] if shard else path.stem
        location = target
        if not found.templates and shard and int(shard["index"]) != 1:
            path = path.with_name(f"{shard['stem']}-00001-of-{shard['count']}{path.suffix}")
            location = str(path)
            if not path.is_file():
                raise UsageError(
                    f"{target} has no chat template (only the first shard carries it), and {path.name} "
                    "is not beside it; download that shard too"
                )
            found = read_gguf(path, location)
        if not found.templates:
            raise UsageError(
                f"{location} has no chat template in its metadata; convert the model again with the "
                "template, or check the template file by itself"
            )
        prefix = TEMPLATE_KEY.decode() + "."
        return [
            make_template(
                f"{name}#{key.removeprefix(prefix)}" if key.startswith(prefix) else name,
                data,
                Provenance("gguf", location, member=key, licence=found.licence),
            )
            for key, data in sorted(found.templates.items())
        ]
