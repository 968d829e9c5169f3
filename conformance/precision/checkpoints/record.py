"""Hidden states of a transformers model that runs, kept for `--activations`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch


@contextmanager
def recording(
    model: Any, file: Path | str, layers: Sequence[int] | None = None, tokens: int = 1024
) -> Iterator[None]:
    """Keep what the router and experts of a model's layers are given while the block runs, and write it at its end.

    `layers` are the layers (all by default), `tokens` the first so many of each. Works on transformers models whose
    layers have `mlp.router`, as GptOss has. Raises ValueError for a model without one, or a layer that it has not.
    """
    from safetensors.torch import save_file

    found = {
        index: layer.mlp.router
        for index, layer in enumerate(_layers(model))
        if hasattr(getattr(layer, "mlp", None), "router")
    }
    if not found:
        raise ValueError(f"{type(model).__name__} has no layers with mlp.router: it is no GptOss model")
    wanted = list(found) if layers is None else list(layers)
    if beyond := [index for index in wanted if index not in found]:
        raise ValueError(f"layer {beyond[0]}: the model has layers {min(found)} to {max(found)}")
    kept: dict[int, list[torch.Tensor]] = {index: [] for index in wanted}

    def keep(index: int, router: Any, given: tuple[Any, ...]) -> None:
        room = tokens - sum(map(len, kept[index]))
        if room > 0:
            kept[index].append(given[0].detach().reshape(-1, given[0].shape[-1])[:room].cpu())

    hooks = [found[index].register_forward_pre_hook(partial(keep, index)) for index in wanted]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    out = {}
    for index, parts in kept.items():
        if not parts:
            continue
        hidden = torch.cat(parts)
        weight, bias = (found[index].weight.detach().float().cpu(), found[index].bias.detach().float().cpu())
        out[f"layers.{index}.hidden_states"] = hidden.contiguous()
        out[f"layers.{index}.router_logits"] = hidden.float() @ weight.T + bias
    if not out:
        raise ValueError("the model was not called while it was recorded")
    save_file(out, str(file))


def _layers(model: Any) -> Any:
    inner = getattr(model, "model", model)
    return getattr(inner, "layers", ())
