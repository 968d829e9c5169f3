"""The device, its driver and the flags that change float32's meaning: recorded, set for the reference, restored."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch

# Compute capabilities whose float64 runs at half the rate of float32 or better (V100, A100, H100/H200, B200).
FAST_FLOAT64 = {(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)}


def pick_device() -> torch.device:
    """Return the first CUDA device, or the CPU when there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def fast_float64(device: torch.device) -> bool:
    """Whether certifying every row in float64 is cheap on the device."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in FAST_FLOAT64


def _targets() -> dict[str, tuple[Any, str]]:
    backends = torch.backends
    found: dict[str, tuple[Any, str]] = {}
    # From 2.9 on there are two interfaces, and mixing them raises: take the new one where it exists.
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        found["matmul_fp32_precision"] = (backends.cuda.matmul, "fp32_precision")
        found["cudnn_conv_fp32_precision"] = (backends.cudnn.conv, "fp32_precision")
    else:
        found["matmul_allow_tf32"] = (backends.cuda.matmul, "allow_tf32")
        found["cudnn_allow_tf32"] = (backends.cudnn, "allow_tf32")
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        found[name] = (backends.cuda.matmul, name)
    if hasattr(backends.cuda.matmul, "allow_fp16_accumulation"):
        found["allow_fp16_accumulation"] = (backends.cuda.matmul, "allow_fp16_accumulation")
    return found


_EXACT = {"matmul_fp32_precision": "ieee", "cudnn_conv_fp32_precision": "ieee"}


def read_flags() -> dict[str, Any]:
    """Return the present value of every flag that changes the precision of matrix products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: _plain(getattr(owner, attribute)) for name, (owner, attribute) in _targets().items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, str, int, float, type(None))) else str(value)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Switch TF32 and every reduced-precision reduction off, and restore what was set before."""
    before = {name: getattr(owner, attribute) for name, (owner, attribute) in _targets().items()}
    try:
        _set({name: _EXACT.get(name, False) for name in before})
        yield
    finally:
        _set(before)


def _set(values: dict[str, Any]) -> None:
    targets = _targets()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in values.items():
            owner, attribute = targets[name]
            if (
                name == "allow_bf16_reduced_precision_reduction"
                or name == "allow_fp16_reduced_precision_reduction"
            ):
                # Newer versions read back a pair (reduction, split-K); they take a bool or that pair.
                value = value if isinstance(value, (bool, tuple)) else bool(value)
            setattr(owner, attribute, value)


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to place a result: device, driver, versions, flags as found."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {"torch": torch.__version__},
        "flags": read_flags(),
        "overrides": {
            k: v for k, v in os.environ.items() if k in ("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG")
        },
    }
    for package in ("triton", "transformers", "safetensors", "gguf"):
        try:
            found["packages"][package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["device"] = {
            "kind": "cuda",
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "driver": _driver(),
            "cuda": torch.version.cuda,
        }
    else:
        found["device"] = {
            "kind": "cpu",
            "name": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "note": "no GPU was found: everything ran on the CPU",
        }
    return found


def _driver() -> str:
    try:
        from pathlib import Path

        line = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
        return next((word for word in line.split() if word.count(".") >= 1 and word[0].isdigit()), "unknown")
    except OSError:
        return "unknown"
