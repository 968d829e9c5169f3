"""Templates of a model folder, in every layout that transformers writes, with its precedence.

For a tokenizer (`PreTrainedTokenizerBase.from_pretrained`, transformers 5.23): `chat_template.jinja` is the
default template and `additional_chat_templates/NAME.jinja` are named ones; if any of these files exists, the
`chat_template` of `tokenizer_config.json` (a string, or a list of `{name, template}`) is ignored as a whole.
For a processor, `processor_config.json` and the legacy `chat_template.json` come before those files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from conformance.errors import UsageError
from conformance.sources.base import (
    MAX_JSON_BYTES,
    MAX_TEMPLATE_BYTES,
    Provenance,
    SourceSettings,
    Template,
    decode,
    make_template,
    read_bounded,
    register,
)

JINJA_FILE = "chat_template.jinja"
NAMED_FOLDER = "additional_chat_templates"
TOKENIZER_CONFIG = "tokenizer_config.json"
PROCESSOR_FILES = ("processor_config.json", "chat_template.json")
JSON_FILES = (TOKENIZER_CONFIG, *PROCESSOR_FILES)
# Small files without a template that tell whether the package around it is whole.
PACKAGE_FILES = ("config.json", "generation_config.json")

DEFAULT = "default"
_NOTES = {"tool_use": "transformers takes this one instead of the default when tools are given"}


def is_template_file(name: str) -> bool:
    """Return whether a file of a model, named by its path in it, can carry a chat template."""
    path = PurePosixPath(name)
    named = path.suffix == ".jinja" and path.parent == PurePosixPath(NAMED_FOLDER)
    return named or name == JINJA_FILE or name in JSON_FILES


def size_limit(name: str) -> int:
    """Return how many bytes such a file may have."""
    return MAX_JSON_BYTES if name in (*JSON_FILES, *PACKAGE_FILES) else MAX_TEMPLATE_BYTES


def templates_of(
    location: str,
    files: Iterable[str],
    read: Callable[[str], bytes],
    make: Callable[[str | None, bytes | str, str, str | None], Template],
) -> list[Template]:
    """Return all templates of the model at `location`, the tokenizer's default first, then the named ones.

    `files` are paths within the model, `read` gives the bytes of one, `make(name, content, member, note)`
    builds a template (name None: the default). Raises UsageError for broken files.
    """
    present = {name for name in files if is_template_file(name)}
    found: dict[str, tuple[bytes | str, str]] = {}
    if JINJA_FILE in present:
        found[DEFAULT] = (read(JINJA_FILE), JINJA_FILE)
    for name in sorted(present - {JINJA_FILE, *JSON_FILES}):
        # A named file called default.jinja replaces chat_template.jinja, as in transformers.
        found[PurePosixPath(name).name.removesuffix(".jinja")] = (read(name), name)
    if not found and TOKENIZER_CONFIG in present:
        found = {
            name: (text, TOKENIZER_CONFIG)
            for name, text in json_templates(
                read(TOKENIZER_CONFIG), f"{TOKENIZER_CONFIG} in {location}"
            ).items()
        }
    templates = [
        make(None if name == DEFAULT else name, content, member, _NOTES.get(name))
        for name, (content, member) in sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0]))
    ]
    return templates + _processor_templates(location, present, read, make, templates)


def _processor_templates(
    location: str,
    present: set[str],
    read: Callable[[str], bytes],
    make: Callable[[str | None, bytes | str, str, str | None], Template],
    tokenizer: list[Template],
) -> list[Template]:
    """Return what AutoProcessor would take, if it is not among the tokenizer's templates already."""
    for member in PROCESSOR_FILES:
        if member not in present:
            continue
        named = json_templates(read(member), f"{member} in {location}")
        if not named:
            continue
        known = {template.text for template in tokenizer}
        note = f"AutoProcessor takes this one from {member}, AutoTokenizer does not" if tokenizer else None
        return [
            make(member if tokenizer else None if name == DEFAULT else name, text, member, note)
            for name, text in named.items()
            if text not in known
        ]
    return []


def json_templates(data: bytes, location: str) -> dict[str, str]:
    """Return the templates under `chat_template` of a JSON file by name; none if it has no such key.

    Raises UsageError if the file is not JSON or the value has another form than transformers writes.
    """
    text = decode(data, location)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{location} is not valid JSON ({error}); repair the file") from error
    except RecursionError as error:
        raise UsageError(f"{location} is nested too deeply to be a tokenizer's configuration") from error
    if not isinstance(content, dict):
        raise UsageError(f"{location} must hold a JSON object, not {type(content).__name__}")
    value = content.get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, list):
        pairs = [_pair(item, f"chat_template[{index}] in {location}") for index, item in enumerate(value)]
    elif isinstance(value, dict):
        pairs = [
            _pair({"name": name, "template": template}, f"chat_template.{name} in {location}")
            for name, template in value.items()
        ]
    else:
        raise UsageError(
            f"chat_template in {location} must be a string or a list of {{name, template}}, "
            f"not {type(value).__name__}"
        )
    return dict(pairs)


def _pair(item: object, where: str) -> tuple[str, str]:
    if isinstance(item, dict):
        name, template = item.get("name"), item.get("template")
        if isinstance(name, str) and isinstance(template, str):
            return name, template
    raise UsageError(f"{where} must be an object with the strings `name` and `template`")


@register
class ModelFolderSource:
    """A folder with a tokenizer or processor, or one of its JSON files given by itself."""

    name = "model-folder"

    def claims(self, target: str) -> bool:
        """Return whether the path is a folder, or a JSON file that can carry a template."""
        path = Path(target)
        return path.is_dir() or (path.name in JSON_FILES and path.is_file())

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the folder's templates, the default first; raises UsageError if it has none."""
        path = Path(target)
        if path.is_dir():
            return folder_templates(path, target)
        found = json_templates(read_bounded(path, target, MAX_JSON_BYTES), target)
        if not found:
            raise UsageError(f"{target} has no chat_template; give the folder or the file that has one")
        name = path.resolve().parent.name
        return [
            make_template(
                name if key == DEFAULT else f"{name}#{key}",
                text,
                Provenance("model-folder", target, member=None if key == DEFAULT else key),
                note=_NOTES.get(key),
            )
            for key, text in found.items()
        ]


def folder_templates(
    folder: Path,
    location: str,
    *,
    kind: str = "model-folder",
    name: str | None = None,
    revision: str | None = None,
    licence: str | None = None,
    note: str | None = None,
) -> list[Template]:
    """Return the templates of a model folder on disk; raises UsageError if it has none."""
    short = name or folder.resolve().name

    def make(key: str | None, content: bytes | str, member: str, why: str | None) -> Template:
        return make_template(
            short if key is None else f"{short}#{key}",
            content,
            Provenance(kind, location, revision, member if key is None else f"{member}#{key}", licence),
            where=f"{member} in {location}" if key is None else f"{key} ({member}) in {location}",
            note=why or note,
        )

    def read(member: str) -> bytes:
        return read_bounded(folder / member, f"{member} in {location}", size_limit(member), root=folder)

    templates = templates_of(location, _files(folder, location), read, make)
    if not templates:
        raise UsageError(
            f"{location} has no chat template: neither {JINJA_FILE}, nor {NAMED_FOLDER}/, nor a "
            f"chat_template in {TOKENIZER_CONFIG} or chat_template.json{_gguf_hint(folder)}"
        )
    return templates


def _files(folder: Path, location: str) -> list[str]:
    try:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        named = folder / NAMED_FOLDER
        if named.is_dir():
            names += [f"{NAMED_FOLDER}/{path.name}" for path in named.iterdir() if path.is_file()]
    except OSError as error:
        raise UsageError(f"cannot list {location}: {error.strerror or error}") from error
    return names


def _gguf_hint(folder: Path) -> str:
    first = min((path.name for path in folder.glob("*.gguf")), default=None)
    return f"; it has the GGUF file {first}: give that instead" if first else ""
