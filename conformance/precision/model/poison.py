"""Memory that nobody wrote is NaN: every allocation of a path is filled before it is given out.

A kernel that leaves a row unwritten returns what lay there before, which after a warm-up is often the right answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill uninitialised memory with NaN, or the largest integer, while a path runs."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filling = torch.utils.deterministic.fill_uninitialized_memory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = True
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.utils.deterministic.fill_uninitialized_memory = filling


def synchronise(device: torch.device) -> None:
    """Wait for a card, which is when it reports what its kernels did wrong."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
