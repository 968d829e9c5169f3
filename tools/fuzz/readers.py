"""Every reader of files from outside, with small valid files to begin from."""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from conformance import importers
from conformance.cli.app import COMMANDS
from conformance.cli.settings_file import load_settings
from conformance.gate.baseline import Baseline
from conformance.logged.lines import read_log
from conformance.oracles.authorities import read_authorities
from conformance.oracles.profile import profile
from conformance.package_checks.folder import read_folder as read_package
from conformance.package_checks.gguf import read_gguf_package
from conformance.renderers import process as renderer
from conformance.report import events, json_file
from conformance.resources import resource
from conformance.sources.gguf import read_gguf
from conformance.sources.manifest import read_catalogue
from conformance.sources.model_folder import folder_templates
from conformance.sources.wheel_file import read_member
from conformance.sources.wheel_member import WheelMember
from conformance.sweep.report import page
from conformance.sweep.store import Store
from conformance.sweep.unit import Record
from conformance.vectors import files as vectors
from tools.fuzz import answers


class Reader(NamedTuple):
    """A reader of files; `file` is what the mutated bytes are saved as."""

    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]


def _gguf() -> list[bytes]:
    import gguf

    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, "gpt-oss")
        writer.add_chat_template(
            [{"name": "tool_use", "template": "{{ 1 }}"}, {"name": "default", "template": "x"}]
        )
        writer.add_token_list(["a", "<|start|>", "<|end|>"])
        writer.add_token_types([1, 3, 3])
        writer.add_eos_token_id(2)
        writer.add_context_length(131072)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return [path.read_bytes()]


def _json(*values: object) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


def _wheel() -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", method) as archive:
            archive.writestr("p/t.jinja", "{{ messages }}" * 9)
            archive.writestr("p/m.py", "A = 'x'\nT = ('a' 'b')\n")
        found.append(data.getvalue())
    return found


def _in_wheel(path: Path) -> None:
    for member in (WheelMember("p", "1", "p/t.jinja", None), WheelMember("p", "1", "p/m.py", "T")):
        read_member(path, member)


def _shipped(*parts: str) -> Callable[[], list[bytes]]:
    return lambda: [resource(*parts).read_bytes()]


def _vectors() -> list[bytes]:
    return [
        path.read_bytes()[:20_000].rpartition(b"\n")[0]
        for path in vectors.vector_files(vectors.default_folder())
    ]


def _answer(path: Path) -> None:
    try:
        renderer._decoded(path.read_bytes(), "v1")
    except renderer._GoneError:
        return  # a sentence about the renderer


@functools.cache
def _run() -> tuple[bytes, bytes]:
    """Return the report and the events of a small run."""
    from conformance.cli.app import main

    with TemporaryDirectory() as folder:
        template = Path(folder) / "t.jinja"
        template.write_text(
            "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
        )
        # The command line exits when it is done.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main(["check", str(template), "--examples", "5", "--output", folder, "--fail-on", "never"])
        return (Path(folder) / "report.json").read_bytes(), (Path(folder) / "events.jsonl").read_bytes()


_REQUEST = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": "hi", "name": "u"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "t",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1.5, "b": [1e20]}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": ["number", "null"], "default": 1}},
                },
            },
        }
    ],
    "reasoning_effort": "high",
}
_TOKENIZER_CONFIG = {
    "chat_template": [{"name": "default", "template": "{{ 1 }}"}],
    "eos_token": {"content": "<|return|>"},
    "bos_token": "<|startoftext|>",
    "added_tokens_decoder": {"200006": {"content": "<|start|>", "special": True}},
    "model_max_length": 131072,
}
_TOKENIZER = {
    "added_tokens": [{"id": 200006, "content": "<|start|>", "special": True}],
    "model": {"type": "BPE", "vocab": {"a": 1}, "merges": []},
    "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]},
}
_CONFIG = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "eos_token_id": [200002, 199999]}


def _folder(path: Path) -> None:
    try:
        folder_templates(path.parent, str(path.parent))
    finally:
        read_package(path.parent, "package")


def _safetensors() -> list[bytes]:
    from tests.precision.checkpoints import hf_tensors, layers, write_folder

    with TemporaryDirectory() as folder:
        return [(write_folder(Path(folder), hf_tensors(layers()[:1])) / "model.safetensors").read_bytes()]


def _expert_gguf() -> list[bytes]:
    from tests.precision.checkpoints import gguf_tensors, layers, write_gguf

    with TemporaryDirectory() as folder:
        return [
            write_gguf(Path(folder) / "m.gguf", gguf_tensors(layers()[:1], kind)).read_bytes()
            for kind in _KINDS
        ]


_KINDS = ("MXFP4", "Q8_0")


def _checkpoint(path: Path) -> None:
    import torch

    from conformance.precision.checkpoints.checkpoint import open_checkpoint

    open_checkpoint(path).layer(0, torch.device("cpu"))


def _configured(path: Path) -> None:
    """Read a checkpoint whose file is mutated beside a configuration that is right."""
    from tests.precision.checkpoints import layers, write_folder

    if not (path.parent / "config.json").exists():
        kept = path.read_bytes()
        write_folder(path.parent, {}, num_hidden_layers=len(layers()[:1]))
        path.write_bytes(kept)
    _checkpoint(path.parent)


def _activations() -> list[bytes]:
    import torch
    from safetensors.torch import save

    from conformance.precision.model.shape import preset

    shape = preset("tiny")
    hidden = torch.ones(3, shape.hidden, dtype=torch.bfloat16)
    return [
        save({"hidden_states": hidden}),
        save({"layers.0.hidden_states": hidden, "layers.0.router_logits": torch.zeros(3, shape.experts)}),
    ]


def _recorded(path: Path) -> None:
    from conformance.precision.checkpoints.activations import Activations
    from conformance.precision.model.shape import preset

    Activations(path, preset("tiny")).said()


def _log() -> list[bytes]:
    said: list[object] = [
        _REQUEST,
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": _REQUEST},
        {
            "model": "m",
            "instructions": "be kind",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "ok"},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        },
        {
            "model": "m",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "be kind"}],
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "ok"}]},
            ],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        },
    ]
    return [
        *(json.dumps(each).encode() for each in said),
        b"\n".join(json.dumps(each).encode() for each in said),
    ]


def _sweep() -> list[bytes]:
    record = Record(target="t", engine="jinja2", sha256="0" * 64, verdict="conforms")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with Store(path, {"seed": "0"}) as store:
            store.add([record])
        return [path.read_bytes()]


def _swept(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}-*"):
        left.unlink()
    with Store(path) as store:
        page(list(store.records()), store.settings)


_SETTINGS = """
[check]
examples = 100
engine = ["jinja2", "minijinja"]
fail-on = "warning"
"""
_PYPROJECT = f"[project]\nname = 'x'\n{_SETTINGS.replace('[check]', '[tool.conformance.check]')}"
_BASELINE = """
[[accepted]]
target = "t"
rule = "current-date"
reason = "known"
expires = 2030-01-01
"""
_PROFILE = """
profile = "documented"
content_type = "constrain"
preamble_channel = "analysis"
"""
_TODAY = datetime.date(2026, 1, 1)


def _toml(text: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode()]


def _profile(path: Path) -> None:
    profile.cache_clear()
    profile(str(path))


def _settings(path: Path) -> None:
    load_settings(COMMANDS, path, ())


READERS = {
    "gguf": Reader("m.gguf", _gguf, lambda path: (read_gguf(path, "m"), read_gguf_package(path, "m"))),
    "tokenizer_config": Reader("tokenizer_config.json", _json(_TOKENIZER_CONFIG), _folder),
    "chat_template.json": Reader("chat_template.json", _json({"chat_template": "x"}, {"a": 1}), _folder),
    "tokenizer": Reader("tokenizer.json", _json(_TOKENIZER), lambda path: read_package(path.parent, "p")),
    "config": Reader("config.json", _json(_CONFIG), lambda path: read_package(path.parent, "p")),
    "generation_config": Reader(
        "generation_config.json",
        _json({"eos_token_id": [200002]}),
        lambda path: read_package(path.parent, "p"),
    ),
    "wheel": Reader("p.whl", _wheel, _in_wheel),
    "catalogue": Reader("catalogue.toml", _shipped("templates", "catalogue.toml"), read_catalogue),
    "authorities": Reader(
        "authorities.toml",
        lambda: [(Path(importers.__file__).parent / "oracles" / "authorities.toml").read_bytes()],
        read_authorities,
    ),
    "request": Reader("request.json", _json(_REQUEST), importers.read_case),
    "case": Reader(
        "case.json",
        lambda: [msgspec.json.encode(importers.case_from_request(_REQUEST))],
        importers.read_case,
    ),
    "vectors": Reader("v.jsonl", _vectors, lambda path: vectors.read_folder(path.parent)),
    "renderer": Reader(
        "answer", _json({"id": "v1", "text": "x", "tokens": [1, 2]}, {"id": "v1", "error": "no"}), _answer
    ),
    "log": Reader("log.jsonl", _log, read_log),
    "sweep": Reader("s.sqlite", _sweep, _swept),
    "activations": Reader("a.safetensors", _activations, _recorded),
    "safetensors": Reader("model.safetensors", _safetensors, _configured),
    "experts gguf": Reader("m.gguf", _expert_gguf, _checkpoint),
    "report": Reader("report.json", lambda: [_run()[0]], json_file.read),
    "settings": Reader("conformance.toml", _toml(_SETTINGS), _settings),
    "pyproject": Reader("pyproject.toml", _toml(_PYPROJECT), _settings),
    "baseline": Reader("known.toml", _toml(_BASELINE), lambda path: Baseline.read(path, _TODAY)),
    "profile": Reader("mine.toml", _toml(_PROFILE), _profile),
    "server answer": Reader("answer.json", _json(*answers.SEEDS), answers.read),
    "events": Reader("events.jsonl", lambda: [_run()[1]], events.read_events),
}
