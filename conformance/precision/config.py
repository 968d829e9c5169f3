"""What a run is asked to do; plain data, so that it can be read and passed without torch."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as PathLike

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Config:
    """A run's choices; None means the default that fits the device.

    `preset`: gpt-oss-20b on a GPU, tiny on a CPU. `tokens`: 256 on a GPU, 32 for tiny, 8 for a published layer on a
    CPU. `layers` of a checkpoint are judged one by one; `seeds` repeats the regimes with that many seeds.
    """

    preset: str | None = None
    checkpoint: PathLike | None = None
    activations: PathLike | None = None  # hidden states of a model that ran
    paths: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    declare: tuple[str, ...] = ()  # KEY=VALUE of a kernel's declaration
    regimes: tuple[str, ...] = ()
    layers: tuple[int, ...] = (0,)
    tokens: int | None = None
    seed: int = 0
    seeds: int = 1
    depth: int | None = None  # layers of the stack; None: all on a GPU, 4 on a CPU; 0: no stack
    certify_layers: bool = True
    selftest: bool = False
    exposures: bool = True  # of the self-test: each fault staged and fused, and the right variants
    timing: bool = False
    boundary: bool = True
    device: str | None = None
    short: bool = False
    sweep: bool = False
    stored: str = ""  # format that synthetic weights are held in, whose numbers are then the truth
    isolation: str = "none"  # none, shared (ours and libraries' paths in one process) or each
    limit_s: float = 180.0  # that one call of a path may take before its process is ended


def command(config: Config) -> str:
    """Return the command line that gives a run again, without where its result went."""
    words = ["conformance", "precision"]
    if config.short:
        words.append("--short")
    else:
        given = {
            "--preset": config.preset,
            "--checkpoint": config.checkpoint,
            "--stored": config.stored or None,
            "--activations": config.activations,
            "--tokens": config.tokens,
            "--seeds": config.seeds if config.seeds > 1 else None,
            "--depth": config.depth,
        }
        words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
        several = {
            "--path": config.paths,
            "--kernel": config.kernels,
            "--declare": config.declare,
            "--regime": config.regimes,
            "--layer": config.layers if config.checkpoint else (),
        }
        words += [word for name, values in several.items() for value in values for word in (name, str(value))]
        words += (
            ["--selftest"] * config.selftest
            + ["--no-exposures"] * (not config.exposures)
            + ["--timing"] * config.timing
            + ["--sweep"] * config.sweep
        )
    words += ["--seed", str(config.seed)] if config.seed else []
    words += ["--device", config.device] if config.device else []
    return shlex.join(words)


SHORT = Config(
    preset="tiny",
    paths=("torch-*", "transformers-eager-*", "triton-*"),
    regimes=("gaussian", "outlier-channels", "1-token"),
    depth=0,
    boundary=True,
    short=True,
)
