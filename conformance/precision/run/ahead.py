"""What a run on a card will need compiled is compiled in processes of its own while the run begins."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager

from conformance.precision.config import Config
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.paths.triton_ahead import compile_share
from conformance.precision.run.isolate import start_server

MOST = 8  # processes: what they compile takes about two seconds then


@contextmanager
def compiling(config: Config, chosen: list[PrecisionPath]) -> Iterator[int]:
    """Compile the kernels of the chosen paths side by side meanwhile; yields how many processes do.

    0 where the run is on the CPU, or no chosen path has kernels of ours.
    """
    wanted = config.device != "cpu" and any(path.packed for path in chosen)
    count = max(1, min(MOST, (os.cpu_count() or 1) - 2)) if wanted else 0
    if count:
        start_server()
    context = multiprocessing.get_context("forkserver")
    helpers = [context.Process(target=compile_share, args=(k, count), daemon=True) for k in range(count)]
    try:
        for helper in helpers:
            helper.start()
        yield count
    finally:
        for helper in helpers:
            if helper.is_alive():
                helper.kill()
            helper.join()
