"""Reads what the metadata of a GGUF file says, of its vocabulary only the special tokens' places."""

from __future__ import annotations

from pathlib import Path

from conformance.errors import UsageError, printable
from conformance.gguf.reader import ARRAY, STRING, MetadataReader, Value
from conformance.package_checks.facts import SPECIAL_TOKENS, Added, Package, Stops, Text, Vocabulary
from conformance.rules.package import CONTEXT_LENGTH, SPECIAL_TOKEN_IDS, STOP_TOKENS
from conformance.sources.base import MAX_TEMPLATE_BYTES
from conformance.sources.gguf import MAX_TEMPLATES, TEMPLATE_KEY
from conformance.sources.inside import open_inside
from conformance.sources.model_folder import DEFAULT

# llama.cpp's converter writes the first, Ollama's the second.
_ARCHITECTURES = ("gpt-oss", "gptoss")
_TOKENS, _TYPES = b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type"
_STOPS = ("eos_token_id", "eot_token_id", "eom_token_id")
_MANY_STOPS = b"tokenizer.ggml.eos_token_ids"
_MOST_STOPS = 32
_WHOLE = (3, 4)  # the token types that a tokenizer matches as a whole: control and user-defined


def read_gguf_package(path: Path, location: str) -> Package:
    """Return what a GGUF file says; what cannot be read is in `unreadable`, not raised."""
    package = Package(location)
    try:
        values, arrays, templates = _metadata(path, location)
    except UsageError as error:
        package.unreadable.append((path.name, str(error)))
        return package
    name = path.name
    prefix = TEMPLATE_KEY.decode() + "."
    package.templates = [
        Text(f"{key} in {name}", key.removeprefix(prefix) if key.startswith(prefix) else DEFAULT, _text(data))
        for key, data in templates.items()
    ]
    architecture = _text(values.get("general.architecture"))
    package.claims = architecture in _ARCHITECTURES
    context = values.get(f"{architecture}.context_length")
    if isinstance(context, int):
        package.context.append((f"{architecture}.context_length in {name}", context))
    else:
        package.absent.append(
            (CONTEXT_LENGTH.slug, f"{name} has no {architecture or 'gpt-oss'}.context_length")
        )
    _vocabulary(name, arrays, package)
    _stops(name, values, arrays, package)
    keys = ("add_bos_token", "add_eos_token")
    words = [f"{key} is true" for key in keys if values.get(f"tokenizer.ggml.{key}")]
    # Without the keys this kind of tokenizer adds nothing.
    package.added.append(Added(f"tokenizer.ggml in {name}", " and ".join(words) or None))
    return package


def _metadata(
    path: Path, location: str
) -> tuple[dict[str, Value], dict[bytes, dict[int, Value]], dict[str, bytes]]:
    """Return short values by key, of some arrays the items at the places that matter, and the templates."""
    wanted = {
        _TOKENS: tuple(SPECIAL_TOKENS.values()),
        _TYPES: tuple(SPECIAL_TOKENS.values()),
        _MANY_STOPS: range(_MOST_STOPS),
    }
    values: dict[str, Value] = {}
    arrays: dict[bytes, dict[int, Value]] = {}
    templates: dict[str, bytes] = {}
    try:
        with open_inside(path, location) as file:
            reader = MetadataReader(file, location)
            for key, kind in reader.pairs():
                name = key.decode("utf-8", "replace")
                if kind == ARRAY and key in wanted:
                    arrays[key] = reader.picked(wanted[key])
                elif kind == STRING and (key == TEMPLATE_KEY or key.startswith(TEMPLATE_KEY + b".")):
                    if len(templates) == MAX_TEMPLATES:
                        reader.absurd(f"more than {MAX_TEMPLATES} chat templates")
                    templates[printable(name)] = reader.string(MAX_TEMPLATE_BYTES, "a chat template")
                elif name == "general.architecture" or _is_setting(name):
                    value = reader.value(kind)
                    if value is not None:
                        values[name] = value
                else:
                    reader.skip(kind)
    except OSError as error:
        raise UsageError(f"cannot read {location}: {error.strerror or error}") from error
    return values, arrays, templates


def _is_setting(name: str) -> bool:
    short = name.startswith("tokenizer.ggml.") and name.endswith(("_token", "_token_id"))
    return short or name.endswith(".context_length")


def _vocabulary(name: str, arrays: dict[bytes, dict[int, Value]], package: Package) -> None:
    if _TOKENS not in arrays:
        package.absent.append((SPECIAL_TOKEN_IDS.slug, f"{name} has no tokenizer.ggml.tokens"))
        return
    tokens, types = arrays[_TOKENS], arrays.get(_TYPES, {})
    ids = {_text(token): place for place, token in tokens.items()}
    # Without types llama.cpp takes every token for ordinary text.
    ordinary = tuple(
        text
        for text, number in SPECIAL_TOKENS.items()
        if ids.get(text) == number and types.get(number) not in _WHOLE
    )
    instead = {place: printable(text, 40) for text, place in ids.items()}
    ids = {text: place for text, place in ids.items() if text in SPECIAL_TOKENS}
    where = f"tokenizer.ggml.tokens in {name}"
    package.vocabularies.append(Vocabulary(where, ids, ordinary, instead=instead))


def _stops(
    name: str, values: dict[str, Value], arrays: dict[bytes, dict[int, Value]], package: Package
) -> None:
    found = [values.get(f"tokenizer.ggml.{key}") for key in _STOPS]
    ids = [value for value in [*found, *arrays.get(_MANY_STOPS, {}).values()] if isinstance(value, int)]
    if ids:
        package.stops = Stops(f"tokenizer.ggml in {name}", tuple(ids), by_text=True)
    else:
        package.absent.append((STOP_TOKENS.slug, f"{name} has no tokenizer.ggml.eos_token_id"))


def _text(value: Value | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
