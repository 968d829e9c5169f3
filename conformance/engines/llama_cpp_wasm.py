"""llama.cpp's Jinja engine as WebAssembly: found in the ggufdoctor wheel, checked, its clock made settable.

The module's interface is C: `gd_alloc`, `gd_free`, and `gd_render`, which takes and returns JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conformance.errors import UnjudgedError

# Of the wheel ggufdoctor 0.3.0: llama.cpp's common/jinja and its chat template code at this build.
BUILD = "b10775"
_SHA256 = "4de88e68f8792347f1328be3ea377aa15100f2df7d2daf07fa6bee067d9c516f"

# The module has its clock compiled in: `i64.const 1767225600` (2026-01-01, in seconds). In its place, in as many
# bytes, stands `i32.const 1016; i64.load`: the clock is read from memory, where `set_clock` writes it. The place is
# at the far end of the stack (64 KiB, growing down from 65536), which only a recursion about to fail reaches; the
# clock is read before the template runs.
_FIXED_CLOCK = bytes.fromhex("42 80f2d6ca06")
_READ_CLOCK = bytes.fromhex("41 f807 29 03 00")
_CLOCK_ADDRESS = 1016

# A prompt takes 1 MiB. What asks for more than this asks without end, and filling memory takes long here.
MEMORY_BYTES = 256 << 20


class TrapError(Exception):
    """The module came to a stop in the middle: its memory is in no known state."""


def wasm_file() -> Path | None:
    """Return where the module is installed, or None; does not import ggufdoctor."""
    spec = find_spec("ggufdoctor")
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / "engine_data" / "llamacpp-jinja.wasm"
    return file if file.is_file() else None


def read_wasm(file: Path) -> bytes:
    """Return the checked module with a settable clock.

    Raises UnjudgedError when it is not the file that this engine knows.
    """
    code = file.read_bytes()
    if hashlib.sha256(code).hexdigest() != _SHA256:
        raise UnjudgedError(
            f"The engine llama.cpp does not know the file {file.name} of the installed ggufdoctor (its sha256 is "
            'another one); install the version that is pinned: pip install "chat-template-conformance[engines]".'
        )
    return code.replace(_FIXED_CLOCK, _READ_CLOCK)


class Program:
    """The compiled module, from which instances are made; made once, before a worker forks."""

    def __init__(self, code: bytes) -> None:
        wasmtime: Any = import_module("wasmtime")
        config = wasmtime.Config()
        config.wasm_exceptions = True
        config.parallel_compilation = False  # threads do not survive a fork
        self._wasmtime = wasmtime
        self._engine = wasmtime.Engine(config)
        self._module = wasmtime.Module(self._engine, code)
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()

    def instance(self) -> Instance:
        """Return a fresh instance: no files, no environment, bounded memory."""
        store = self._wasmtime.Store(self._engine)
        store.set_limits(memory_size=MEMORY_BYTES)
        store.set_wasi(self._wasmtime.WasiConfig())
        errors = (self._wasmtime.Trap, self._wasmtime.WasmtimeError)
        return Instance(store, self._linker.instantiate(store, self._module), errors)


class Instance:
    """One instance with its memory; serves any number of renderings until one traps."""

    def __init__(self, store: Any, instance: Any, errors: tuple[type[Exception], ...]) -> None:
        exports = instance.exports(store)
        self._store = store
        self._memory = exports["memory"]
        self._allocate, self._free = exports["gd_alloc"], exports["gd_free"]
        self._render, self._length = exports["gd_render"], exports["gd_out_len"]
        self._errors = errors
        exports["_initialize"](store)

    def set_clock(self, moment: datetime) -> None:
        """Set the clock, in UTC, to the second."""
        seconds = int(moment.replace(tzinfo=UTC).timestamp())
        self._memory.write(self._store, seconds.to_bytes(8, "little", signed=True), _CLOCK_ADDRESS)

    def render(self, template: str, context: dict[str, Any], *, normalize: bool) -> dict[str, Any]:
        """Return the module's answer: `ok` with `text`, or `stage` and `error`.

        Raises TrapError when it stopped in the middle; the instance is of no use then.
        """
        order = {"template": template, "context": context, "normalize": normalize}
        payload = json.dumps(order, ensure_ascii=False).encode()
        store = self._store
        try:
            given = self._allocate(store, len(payload))
            self._memory.write(store, payload, given)
            start = self._render(store, given, len(payload))
            answer = self._memory.read(store, start, start + self._length(store))
            self._free(store, given)
        except self._errors as error:
            # The last line of a long account, "1: wasm trap: call stack exhausted", says what happened.
            raise TrapError(re.sub(r"^\d+: ", "", str(error).strip().splitlines()[-1].strip())) from None
        decoded: dict[str, Any] = json.loads(bytes(answer))
        return decoded
