"""The machine a run is on: its device, what memory may be kept on it, and how it says that there is no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.precision.config import Config
from conformance.precision.model.flags import pick_device

# On a card a whole 20b layer fits in float64, float32, float16 and bfloat16 together.
CPU_CACHE, GPU_CACHE_SHARE = 512 << 20, 0.16
KEPT_SHARE = 0.25  # of a card's memory, up to which prepared paths are kept from one regime to the next


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a card or on the CPU, where torch has no class for it."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


@dataclass(frozen=True)
class Machine:
    """A device and the memory rules that go with it."""

    device: torch.device

    @staticmethod
    def of(config: Config) -> Machine:
        """Return the machine that a configuration names, or the best there is.

        Raises UsageError for what is no device, UnjudgedError for one that is not here.
        """
        return Machine(_device(config))

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a card."""
        return bool(self.device.type == "cuda")

    @property
    def _memory(self) -> int:
        return int(torch.cuda.get_device_properties(self.device).total_memory)

    @property
    def cache_bytes(self) -> int:
        """How many bytes of dequantised weights may be kept."""
        return int(self._memory * GPU_CACHE_SHARE) if self.on_gpu else CPU_CACHE

    def roomy(self) -> bool:
        """Whether prepared paths may stay in memory: each may hold the layer's weights in its own dtype."""
        return not self.on_gpu or bool(torch.cuda.memory_allocated(self.device) < KEPT_SHARE * self._memory)

    def empty(self) -> None:
        """Give back what torch keeps of freed memory."""
        if self.on_gpu:
            torch.cuda.empty_cache()

    @contextmanager
    def threads(self, small: bool) -> Iterator[int | None]:
        """Use one thread for small layers on a CPU: there several wait for each other longer than they compute.

        Yields the number that was set, None for torch's own.
        """
        before = torch.get_num_threads()
        one = small and not self.on_gpu
        if one:
            torch.set_num_threads(1)
        try:
            yield 1 if one else None
        finally:
            torch.set_num_threads(before)


def _device(config: Config) -> torch.device:
    if not config.device:
        return pick_device()
    try:
        device = torch.device(config.device)
    except RuntimeError:
        raise UsageError(f"--device {config.device!r} is no device: write cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnjudgedError(
            f"--device {config.device}: torch sees no GPU here; leave it out to run on the CPU"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {config.device}: only cpu and cuda are judged")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnjudgedError(f"--device {config.device}: torch sees {torch.cuda.device_count()} GPU here")
    return device
