"""Reads what a model folder says: tokenizer, configurations, and every place that holds a chat template."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from conformance.decode import NO_JSON
from conformance.errors import UsageError, printable
from conformance.package_checks.facts import (
    SPECIAL_TOKENS,
    Added,
    Flagged,
    Named,
    Package,
    Stops,
    Text,
    Vocabulary,
)
from conformance.rules.package import BOS_ADDED, CONTEXT_LENGTH, SPECIAL_TOKEN_IDS, STOP_TOKENS
from conformance.rules.responses import RESPONSE_TEMPLATE_MISSING
from conformance.sources.base import MAX_JSON_BYTES, decode, read_bounded
from conformance.sources.model_folder import (
    DEFAULT,
    JINJA_FILE,
    NAMED_FOLDER,
    TOKENIZER_CONFIG,
    json_templates,
)

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER = "tokenizer.json"

# The published one has 28 MB.
_MAX_TOKENIZER_BYTES = 64 * 2**20
_NO_LENGTH = 1e18
# Where models that see or hear keep the configuration of the part that writes.
_NESTED = ("text_config", "llm_config", "language_config")

_Form = TypeVar("_Form")


class _AddedToken(msgspec.Struct):
    content: str
    id: int | None = None
    special: bool | None = None
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    single_word: bool = False


class _Tokenizer(msgspec.Struct):
    """tokenizer.json without its model, which has 600,000 entries."""

    added_tokens: list[_AddedToken] = []
    post_processor: Any = None


class _Model(msgspec.Struct):
    vocab: dict[str, int] = {}


class _TokenizerModel(msgspec.Struct):
    model: _Model = msgspec.field(default_factory=_Model)


class _TokenizerConfig(msgspec.Struct):
    added_tokens_decoder: dict[str, _AddedToken] | None = None
    add_bos_token: bool | None = None
    add_eos_token: bool | None = None
    eos_token: Any = None
    pad_token: Any = None
    model_max_length: float | None = None
    response_template: dict[str, Any] | None = None


class _GenerationConfig(msgspec.Struct):
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


class _Config(msgspec.Struct):
    """config.json, or the part of it that describes the language model."""

    model_type: str | None = None
    max_position_embeddings: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    text_config: Any = None
    llm_config: Any = None
    language_config: Any = None


def read_folder(folder: Path, location: str, *, fetched: bool = False) -> Package:
    """Return what the files of a model folder say; a file that cannot be read is in `unreadable`, not raised.

    `fetched` says that the folder holds only the small files of a model, fetched from the Hub.
    """
    package = Package(location)
    _config(folder, package)
    _generation(folder, package)
    _tokenizer(
        folder, package, "was not fetched from the Hub" if fetched else "cannot be read or is not there"
    )
    _templates(folder, package)
    return package


def _load(folder: Path, name: str, form: type[_Form], package: Package, limit: int) -> _Form | None:
    """Return a JSON file as far as it is asked for; None where there is none, or it cannot be read."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > limit:
            raise UsageError(
                f"{name} has {path.stat().st_size:,} bytes; more than {limit // 2**20} MB are not read"
            )
        data = read_bounded(path, name, limit)
        decode(data[:64], name)  # Git LFS pointers and UTF-16 get their own sentence
        return _decoded(data, form)
    except UsageError as error:
        problem = str(error)
    except OSError as error:
        problem = f"cannot read {name}: {error.strerror or error}"
    except RecursionError:
        problem = f"{name} is nested too deeply to be a configuration"
    except NO_JSON as error:
        problem = f"{name} is not what transformers writes there: {printable(str(error), 200)}"
    package.unreadable.append((name, problem))
    return None


def _decoded(data: bytes, form: type[_Form]) -> _Form:
    """Return JSON as transformers reads it: by Python's own reader, which takes Infinity, and 131072.0 as whole."""
    try:
        return msgspec.json.decode(data, type=form)
    except msgspec.DecodeError:
        try:
            plain = json.loads(data)
        except (ValueError, RecursionError):
            plain = None
        if plain is None:
            raise
        try:
            return msgspec.convert(plain, form, strict=False)
        except UnicodeEncodeError as error:  # a number written as text, with half of a character in it
            raise msgspec.ValidationError(str(error)) from None


def _config(folder: Path, package: Package) -> None:
    config = _load(folder, CONFIG, _Config, package, MAX_JSON_BYTES)
    if config is None:
        package.absent.append((CONTEXT_LENGTH.slug, f"there is no readable {CONFIG}"))
        return
    parts = [(CONFIG, config), *_nested(config)]
    ours = next(((where, part) for where, part in parts if part.model_type == "gpt_oss"), None)
    if any(part.model_type for _, part in parts):
        package.claims = ours is not None
    where, part = ours or parts[0]
    if part.max_position_embeddings is None:
        package.absent.append((CONTEXT_LENGTH.slug, f"{where} has no max_position_embeddings"))
    else:
        package.context.append((where, part.max_position_embeddings))


def _nested(config: _Config) -> Iterator[tuple[str, _Config]]:
    for key in _NESTED:
        value = getattr(config, key)
        if isinstance(value, dict):
            try:
                yield f"{CONFIG}, {key}", msgspec.convert(value, _Config)
            except msgspec.ValidationError:
                continue  # its form says nothing, and whose it is then tells the rest


def _generation(folder: Path, package: Package) -> None:
    generation = _load(folder, GENERATION_CONFIG, _GenerationConfig, package, MAX_JSON_BYTES)
    if generation is None:
        # transformers then takes the ids of the model's own configuration.
        _stops_of_config(folder, package)
        return
    if generation.eos_token_id is None:
        package.absent.append((STOP_TOKENS.slug, f"{GENERATION_CONFIG} has no eos_token_id"))
    else:
        package.stops = Stops(GENERATION_CONFIG, _listed(generation.eos_token_id))
    _padding(GENERATION_CONFIG, generation.pad_token_id, package)
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(generation, name)
        if value is not None:
            package.sampling.append((GENERATION_CONFIG, name, value))


def _stops_of_config(folder: Path, package: Package) -> None:
    # What is wrong with the file was said when its context length was read.
    config = _load(folder, CONFIG, _Config, Package(""), MAX_JSON_BYTES)
    if (folder / GENERATION_CONFIG).is_file() or config is None or config.eos_token_id is None:
        package.absent.append((STOP_TOKENS.slug, f"there is no readable {GENERATION_CONFIG}"))
    else:
        where = f"{CONFIG}, without {GENERATION_CONFIG}"
        package.stops = Stops(where, _listed(config.eos_token_id))
        _padding(where, config.pad_token_id, package)


def _listed(ids: int | list[int]) -> tuple[int, ...]:
    return tuple(ids) if isinstance(ids, list) else (ids,)


def _padding(where: str, number: int | None, package: Package) -> None:
    texts = {known: text for text, known in SPECIAL_TOKENS.items()}
    if number in texts:
        package.named.append(Named(f"{where}, pad_token_id", "pad_token", texts[number]))


def _tokenizer(folder: Path, package: Package, gone: str) -> None:
    tokenizer = _load(folder, TOKENIZER, _Tokenizer, package, _MAX_TOKENIZER_BYTES)
    if tokenizer is not None:
        package.vocabularies.append(_vocabulary(folder, tokenizer, package))
        _flags(f"{TOKENIZER}, added_tokens", tokenizer.added_tokens, package)
        package.added.append(Added(f"{TOKENIZER}, post_processor", _processed(tokenizer.post_processor)))
    else:
        package.absent.append((BOS_ADDED.slug, f"{TOKENIZER}, whose post_processor can add tokens, {gone}"))
    config = _load(folder, TOKENIZER_CONFIG, _TokenizerConfig, package, MAX_JSON_BYTES)
    if config is not None:
        words = [f"{key} is true" for key in ("add_bos_token", "add_eos_token") if getattr(config, key)]
        package.added.append(Added(TOKENIZER_CONFIG, " and ".join(words) or None))
        for purpose in ("eos_token", "pad_token"):
            token = getattr(config, purpose)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                package.named.append(Named(TOKENIZER_CONFIG, purpose, text))
        # transformers writes 10 ** 30 where no length is known; JSON's -1e999 is read as minus infinity.
        if config.model_max_length is not None and abs(config.model_max_length) < _NO_LENGTH:
            where = f"{TOKENIZER_CONFIG}, model_max_length"
            package.context.append((where, int(config.model_max_length)))
        package.response = config.response_template
        if config.added_tokens_decoder is not None:
            ids = {
                token.content: int(number)
                for number, token in config.added_tokens_decoder.items()
                if token.content in SPECIAL_TOKENS and number.isdecimal() and len(number) < 20
            }
            where = f"{TOKENIZER_CONFIG}, added_tokens_decoder"
            _flags(where, config.added_tokens_decoder.values(), package)
            package.vocabularies.append(Vocabulary(where, ids, whole=tokenizer is None))
    if package.response is None:
        package.absent.append(
            (RESPONSE_TEMPLATE_MISSING.slug, f"{TOKENIZER_CONFIG} has no response_template")
        )
    if not package.vocabularies:
        package.absent.append(
            (SPECIAL_TOKEN_IDS.slug, f"{TOKENIZER} {gone}, and there is no added_tokens_decoder")
        )


def _flags(where: str, tokens: Iterable[_AddedToken], package: Package) -> None:
    for token in tokens:
        if token.content in SPECIAL_TOKENS:
            flags = [
                name for name in ("lstrip", "rstrip", "single_word", "normalized") if getattr(token, name)
            ]
            flags += ["not special"] if token.special is False else []
            if flags:
                package.flagged.append(Flagged(where, token.content, tuple(flags)))


def _vocabulary(folder: Path, tokenizer: _Tokenizer, package: Package) -> Vocabulary:
    ids = {
        token.content: token.id
        for token in tokenizer.added_tokens
        if token.content in SPECIAL_TOKENS and token.id is not None
    }
    ordinary: tuple[str, ...] = ()
    if len(ids) < len(SPECIAL_TOKENS):
        # Tokens of the model that are not listed as added ones are taken apart like any text.
        whole = _load(folder, TOKENIZER, _TokenizerModel, package, _MAX_TOKENIZER_BYTES)
        model = whole.model.vocab if whole is not None else {}
        ordinary = tuple(text for text in SPECIAL_TOKENS if text not in ids and text in model)
        ids |= {text: model[text] for text in ordinary}
    return Vocabulary(f"{TOKENIZER}, added_tokens", ids, ordinary)


def _processed(processor: Any) -> str | None:
    """Say in words which tokens a post-processor of the tokenizers library adds to a single text."""
    if not isinstance(processor, dict):
        return None
    kind = processor.get("type")
    if kind == "Sequence":
        inner = processor.get("processors")
        # One level: the library writes sequences of plain processors.
        words = [_processed_once(part) for part in inner] if isinstance(inner, list) else []
        return " and ".join(word for word in words if word) or None
    return _processed_once(processor)


def _processed_once(processor: Any) -> str | None:
    if not isinstance(processor, dict):
        return None
    if processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        return f"{processor['type']} puts tokens around the text"
    single = processor.get("single")
    if processor.get("type") != "TemplateProcessing" or not isinstance(single, list):
        return None
    pieces = [
        piece["SpecialToken"] for piece in single if isinstance(piece, dict) and "SpecialToken" in piece
    ]
    texts = [printable(str(piece.get("id") if isinstance(piece, dict) else piece), 40) for piece in pieces]
    return f"TemplateProcessing adds {', '.join(texts)}" if texts else None


def _templates(folder: Path, package: Package) -> None:
    # In the order in which transformers looks: a named file called default.jinja comes before chat_template.jinja.
    named_files = sorted((folder / NAMED_FOLDER).glob("*.jinja"))
    files = [(f"{NAMED_FOLDER}/{path.name}", path.stem) for path in named_files if path.is_file()]
    files += [(JINJA_FILE, DEFAULT)] if (folder / JINJA_FILE).is_file() else []
    for place, name in files:
        try:
            package.templates.append(
                Text(place, name, decode(read_bounded(folder / place, place, root=folder), place))
            )
        except UsageError as error:
            package.unreadable.append((place, str(error)))
    if not (folder / TOKENIZER_CONFIG).is_file():
        return
    try:
        data = read_bounded(folder / TOKENIZER_CONFIG, TOKENIZER_CONFIG, MAX_JSON_BYTES)
        named = json_templates(data, TOKENIZER_CONFIG)
    except UsageError as error:
        if not any(where == TOKENIZER_CONFIG for where, _ in package.unreadable):
            package.unreadable.append((TOKENIZER_CONFIG, str(error)))
        return
    package.templates += [Text(TOKENIZER_CONFIG, name, text) for name, text in named.items()]
