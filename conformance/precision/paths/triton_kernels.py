"""Triton kernels of the whole MoE on MXFP4 weights through `tl.dot_scaled`. Imported only where Triton runs.

No `from __future__ import annotations` here: Triton reads the annotations.
"""

# ruff: noqa: N803  (Triton's compile-time constants are capitals by its custom)
# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # Triton ships no types
def _tile(
    a_rows,
    a_valid,
    a_pointer,
    blocks,
    scales,
    expert,
    columns,
    width,
    rows,
    FORMAT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """One tile of a @ W^T: a (BM gathered rows, width), W (rows, width) of an expert, float32 sums."""
    in_range = columns < rows
    k = tl.arange(0, BK)
    k_packed = tl.arange(0, BK // 2)
    k_scale = tl.arange(0, BK // 32)
    a_at = a_pointer + a_rows.to(tl.int64)[:, None] * width + k[None, :]
    w_base = blocks + expert * rows * (width // 2)
    w_at = w_base + columns.to(tl.int64)[None, :] * (width // 2) + k_packed[:, None]
    s_base = scales + expert * rows * (width // 32)
    s_at = s_base + columns.to(tl.int64)[:, None] * (width // 32) + k_scale[None, :]
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, width, BK):
        left = width - start
        a = tl.load(a_at + start, mask=a_valid[:, None] & (k[None, :] < left), other=0.0)
        w = tl.load(w_at + start // 2, mask=in_range[None, :] & (k_packed[:, None] < left // 2), other=0)
        # 127 is the scale 1: a masked scale of 255 would be NaN, and NaN times zero is NaN.
        s = tl.load(s_at + start // 32, mask=in_range[:, None] & (k_scale[None, :] < left // 32), other=127)
        total = tl.dot_scaled(a, None, FORMAT, w, s, "e2m1", total)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def gate_up_kernel(
    tokens,
    blocks,
    scales,
    bias,
    gate_up,
    hidden,
    pair_token,
    block_expert,
    block_start,
    block_stop,
    width,
    rows,
    alpha,
    limit,
    FORMAT: tl.constexpr,
    KEEP_GATE_UP: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """gate_up, bias and activation of one block of pairs: hidden (P, rows / 2); gate_up (P, rows) when kept."""
    column_block = tl.program_id(0)
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        start = tl.load(block_start + block)
        stop = tl.load(block_stop + block)
        pair = start + tl.arange(0, BM)
        valid = pair < stop
        token = tl.load(pair_token + pair, mask=valid, other=0)
        columns = column_block * BN + tl.arange(0, BN)
        total = _tile(token, valid, tokens, blocks, scales, expert, columns, width, rows, FORMAT, BM, BN, BK)
        total += tl.load(bias + expert * rows + columns, mask=columns < rows, other=0.0)[None, :]
        if KEEP_GATE_UP:
            at = gate_up + pair.to(tl.int64)[:, None] * rows + columns[None, :]
            tl.store(at, total, mask=valid[:, None] & (columns[None, :] < rows))
        gate, up = tl.split(tl.reshape(total, (BM, BN // 2, 2)))
        gate = tl.minimum(gate, limit, propagate_nan=tl.PropagateNan.ALL)
        up = tl.maximum(up, -limit, propagate_nan=tl.PropagateNan.ALL)
        up = tl.minimum(up, limit, propagate_nan=tl.PropagateNan.ALL)
        result = (up + 1.0) * (gate * tl.sigmoid(alpha * gate))
        half = column_block * (BN // 2) + tl.arange(0, BN // 2)
        at = hidden + pair.to(tl.int64)[:, None] * (rows // 2) + half[None, :]
        tl.store(at, result.to(hidden.dtype.element_ty), mask=valid[:, None] & (half[None, :] < rows // 2))


@triton.jit  # type: ignore[untyped-decorator]
def down_kernel(
    hidden,
    blocks,
    scales,
    bias,
    down,
    block_expert,
    block_start,
    block_stop,
    width,
    rows,
    FORMAT: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Down product and bias of one block of pairs: down (P, rows) float32."""
    block = tl.program_id(1)
    expert = tl.load(block_expert + block).to(tl.int64)
    if expert >= 0:
        start = tl.load(block_start + block)
        stop = tl.load(block_stop + block)
        pair = start + tl.arange(0, BM)
        valid = pair < stop
        columns = tl.program_id(0) * BN + tl.arange(0, BN)
        total = _tile(pair, valid, hidden, blocks, scales, expert, columns, width, rows, FORMAT, BM, BN, BK)
        total += tl.load(bias + expert * rows + columns, mask=columns < rows, other=0.0)[None, :]
        at = down + pair.to(tl.int64)[:, None] * rows + columns[None, :]
        tl.store(at, total, mask=valid[:, None] & (columns[None, :] < rows))


@triton.jit  # type: ignore[untyped-decorator]
def combine_kernel(down, weights, pair_at, output, width, K: tl.constexpr, BN: tl.constexpr):
    """Weighted sum over a token's experts in float32, stored once in the output's dtype."""
    token = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * BN + tl.arange(0, BN)
    total = tl.zeros((BN,), dtype=tl.float32)
    for slot in tl.static_range(K):
        row = tl.load(pair_at + token * K + slot).to(tl.int64)
        weight = tl.load(weights + token * K + slot).to(tl.float32)
        total += weight * tl.load(down + row * width + columns, mask=columns < width, other=0.0)
    tl.store(output + token * width + columns, total.to(output.dtype.element_ty), mask=columns < width)
