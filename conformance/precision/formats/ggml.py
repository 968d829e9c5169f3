"""llama.cpp's own CPU kernels, called by their C names in the library that xllamacpp carries, and its formats.

Nothing here computes: quantising, dequantising and products are ggml's. gguf-py's dequantiser, which is another
implementation, says what a file's numbers are.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from conformance.errors import UnjudgedError, UsageError

# ggml.h's numbers of the types whose products take rows in Q8_0 or Q8_1 (blocks of 32), and in Q8_K (256).
BLOCKS_OF_32 = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "IQ4_NL": 20, "MXFP4": 39}
BLOCKS_OF_256 = {"Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_XS": 23}
TYPES = BLOCKS_OF_32 | BLOCKS_OF_256
FLOAT32, INT32 = 0, 26
INSTALL = "pip install xllamacpp (Python 3.11 or later)"
_POINTERS = (
    "ggml_init",
    "ggml_new_tensor_2d",
    "ggml_new_tensor_3d",
    "ggml_mul_mat_id",
    "ggml_add_id",
    "ggml_swiglu_oai",
    "ggml_mul",
    "ggml_add",
    "ggml_view_2d",
    "ggml_new_graph",
    "ggml_get_data",
)


class _Memory(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


def missing() -> str:
    """Return why ggml cannot be called here, empty where it can."""
    if find_spec("xllamacpp") is None:
        return f"xllamacpp, which carries llama.cpp's kernels, is not installed: {INSTALL}"
    try:
        library()
    except (OSError, AttributeError) as error:
        version = metadata.version("xllamacpp")
        return f"xllamacpp {version} does not show llama.cpp's functions ({error}): {INSTALL}"
    return ""


@cache
def library() -> Any:
    """Return the library with the types of its functions set.

    Raises OSError where it does not load, AttributeError where a function is not shown.
    """
    found = find_spec("xllamacpp")
    place = Path(str(found.origin)).parent if found else Path()
    lib = ctypes.CDLL(str(next(iter(place.glob("*.so")), place / "none.so")))
    whole, pointer, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    for name in _POINTERS:
        getattr(lib, name).restype = pointer
    lib.ggml_init.argtypes = [_Memory]
    lib.ggml_new_tensor_2d.argtypes = [pointer, ctypes.c_int, whole, whole]
    lib.ggml_new_tensor_3d.argtypes = [pointer, ctypes.c_int, whole, whole, whole]
    for name in ("ggml_mul_mat_id", "ggml_add_id"):
        getattr(lib, name).argtypes = [pointer] * 4
    for name in ("ggml_mul", "ggml_add"):
        getattr(lib, name).argtypes = [pointer] * 3
    lib.ggml_swiglu_oai.argtypes = [pointer, pointer, pointer, number, number]
    lib.ggml_view_2d.argtypes = [pointer, pointer, whole, whole, ctypes.c_size_t, ctypes.c_size_t]
    lib.ggml_new_graph.argtypes = lib.ggml_get_data.argtypes = lib.ggml_free.argtypes = [pointer]
    lib.ggml_build_forward_expand.argtypes = [pointer, pointer]
    lib.ggml_graph_compute_with_ctx.argtypes = [pointer, pointer, ctypes.c_int]
    lib.ggml_row_size.argtypes, lib.ggml_row_size.restype = [ctypes.c_int, whole], ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_version.restype = ctypes.c_char_p
    lib.ggml_cpu_init()
    return lib


def version() -> str:
    """Return ggml's version and the package that carries it."""
    return f"ggml {library().ggml_version().decode()} in xllamacpp {metadata.version('xllamacpp')}"


def quantise(values: torch.Tensor, kind: str) -> torch.Tensor:
    """Return rows (..., K) as ggml stores them in a type: (..., bytes) uint8.

    Raises UsageError for rows that are no whole number of blocks, UnjudgedError without ggml.
    """
    if why := missing():
        raise UnjudgedError(f"weights in {kind} are made by llama.cpp's quantiser: {why}")
    width, block = values.shape[-1], 256 if kind in BLOCKS_OF_256 else 32
    if width % block:
        raise UsageError(
            f"{kind} holds blocks of {block}, and rows of {width} are no whole number of them: llama.cpp itself takes "
            "another type for such rows (Q5_0 for Q4_K, Q8_0 for Q6_K)"
        )
    lib, rows = library(), values.float().contiguous()
    count = rows.numel() // width
    size = lib.ggml_row_size(TYPES[kind], width)
    # The importance of each column, which the smallest types ask for: all alike.
    matter = torch.ones(width)
    out = torch.empty(count * size, dtype=torch.uint8)
    lib.ggml_quantize_chunk(TYPES[kind], rows.data_ptr(), out.data_ptr(), 0, count, width, matter.data_ptr())
    return out.view(*values.shape[:-1], size)


def dequantised_by_ggml(rows: torch.Tensor, kind: str, width: int) -> torch.Tensor:
    """Return the numbers (..., width) float32 that llama.cpp's own dequantiser makes of rows (..., bytes)."""
    given = rows.contiguous()
    out = torch.empty(*rows.shape[:-1], width)
    name = f"dequantize_row_{kind.lower().replace('_k', '_K')}"
    read = getattr(library(), name)
    read.argtypes, read.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None
    read(given.data_ptr(), out.data_ptr(), out.numel())
    return out


def dequantise(rows: torch.Tensor, kind: str, where: str = "") -> torch.Tensor:
    """Return the numbers (..., K) float32 of rows (..., bytes) of a GGUF type, by gguf-py.

    Raises UnjudgedError where gguf-py is missing or does not know the type.
    """
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError:
        raise UnjudgedError(f"{where}{kind} is what gguf-py dequantises: pip install gguf") from None
    try:
        flat = rows.reshape(-1, rows.shape[-1]).numpy()
        found = dequantize(flat, GGMLQuantizationType[kind])
    except (KeyError, NotImplementedError):
        raise UnjudgedError(
            f"{where}{kind} is no type that gguf-py {metadata.version('gguf')} dequantises: convert the file to "
            "MXFP4, Q8_0 or a K-quant"
        ) from None
    return torch.from_numpy(found).reshape(*rows.shape[:-1], -1)


class Graph:
    """A computation that ggml runs: tensors by their handle, freed at the end."""

    def __init__(self, size: int) -> None:
        self.lib = library()
        self.context = self.lib.ggml_init(_Memory(size + (4 << 20), None, False))
        if not self.context:
            raise MemoryError(f"ggml got no {size:,} bytes")

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *error: object) -> None:
        self.lib.ggml_free(self.context)

    def tensor(self, values: torch.Tensor, kind: int, *size: int) -> Any:
        """Return the handle of a tensor that holds values, of `size` with the fastest dimension first."""
        make = self.lib.ggml_new_tensor_3d if len(size) == 3 else self.lib.ggml_new_tensor_2d
        handle = make(self.context, kind, *size)
        given = values.contiguous()
        ctypes.memmove(self.lib.ggml_get_data(handle), given.data_ptr(), given.numel() * given.element_size())
        return handle

    def run(self, handle: Any, *size: int) -> torch.Tensor:
        """Return the float32 numbers of a handle, computed with one thread, in torch's order of dimensions."""
        graph = self.lib.ggml_new_graph(self.context)
        self.lib.ggml_build_forward_expand(graph, handle)
        self.lib.ggml_graph_compute_with_ctx(self.context, graph, 1)
        out = torch.empty(size)
        ctypes.memmove(out.data_ptr(), self.lib.ggml_get_data(handle), out.numel() * 4)
        return out
