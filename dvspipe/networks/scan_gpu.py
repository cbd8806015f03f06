"""Fused LIF scan on a GPU: `scan` in Triton (part of torch's CUDA builds), one thread per neuron."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .scan import SURROGATES, ScanSettings

BLOCK = 256


def scan_lif_on_gpu(
    currents: Tensor, state: Tensor | None, factor: Tensor, settings: ScanSettings
) -> tuple[Tensor, Tensor]:
    """Return the spikes of LIF neurons over time, and the membrane potential after the last step.

    See `scan_lif` for arguments and results. It computes in float32 on a GPU, and does not pool spikes.
    """
    start = torch.zeros_like(currents[0]) if state is None else state
    spikes, last = _ScanLIF.apply(currents.float(), start.float(), factor, settings)  # type: ignore[no-untyped-call]
    return spikes.to(currents.dtype), last


class _ScanLIF(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, start: Tensor, factor: Tensor, settings: ScanSettings
    ) -> tuple[Tensor, Tensor]:
        currents, start = currents.contiguous(), start.contiguous()
        membrane, spikes, last = torch.empty_like(currents), torch.empty_like(currents), torch.empty_like(start)
        T, N = len(currents), start.numel()
        _forward[(triton.cdiv(N, BLOCK),)](
            currents,
            membrane,
            spikes,
            start,
            last,
            T,
            N,
            float(factor),
            settings.gain,
            settings.threshold,
            settings.reset,
            settings.drop,
            settings.subtract,
            BLOCK,
        )
        ctx.save_for_backward(membrane, start, factor)
        ctx.settings = settings
        return spikes, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        membrane, start, factor = ctx.saved_tensors
        settings: ScanSettings = ctx.settings
        to_spikes, to_last = (gradient.contiguous() for gradient in gradients)
        to_currents, to_start = torch.empty_like(membrane), torch.empty_like(start)
        T, N = len(membrane), start.numel()
        blocks = triton.cdiv(N, BLOCK)
        to_factor = torch.zeros(blocks, dtype=torch.float32, device=membrane.device)
        _backward[(blocks,)](
            membrane,
            to_spikes,
            to_last,
            to_currents,
            to_start,
            start,
            to_factor,
            T,
            N,
            float(factor),
            settings.gain,
            settings.slope,
            settings.threshold,
            settings.reset,
            settings.drop,
            settings.subtract,
            settings.detach,
            SURROGATES.index(settings.surrogate),
            BLOCK,
        )
        wanted = ctx.needs_input_grad[2]
        return to_currents, to_start, to_factor.sum().to(factor) if wanted else None, None


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    currents,
    membrane,
    spikes,
    start,
    last,
    T,
    N,
    factor,
    gain,
    threshold,
    reset,
    drop,
    SUBTRACT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    v = tl.load(start + n, mask=inside, other=0.0)
    at = n
    for _ in range(T):
        h = v + factor * (gain * tl.load(currents + at, mask=inside, other=0.0) - v)
        z = (h > threshold).to(tl.float32)
        tl.store(membrane + at, h, mask=inside)
        tl.store(spikes + at, z, mask=inside)
        v = h - drop * z if SUBTRACT else h * (1.0 - z) + reset * z
        at += N
    tl.store(last + n, v, mask=inside)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    membrane,
    to_spikes,
    to_last,
    to_currents,
    to_start,
    start,
    to_factor,
    T,
    N,
    factor,
    gain,
    slope,
    threshold,
    reset,
    drop,
    SUBTRACT: tl.constexpr,
    DETACH: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    carried = tl.load(to_last + n, mask=inside, other=0.0)
    total = tl.zeros([BLOCK], tl.float32)
    at = n + (T - 1).to(tl.int64) * N
    h = tl.load(membrane + at, mask=inside, other=0.0)
    for step in range(T):
        if step + 1 < T:
            h_before = tl.load(membrane + at - N, mask=inside, other=0.0)
            z_before = (h_before > threshold).to(tl.float32)
            before = h_before - drop * z_before if SUBTRACT else h_before * (1.0 - z_before) + reset * z_before
        else:
            h_before = tl.load(start + n, mask=inside, other=0.0)
            before = h_before
        distance = h - threshold
        if KIND == 0:
            width = 1.0 + slope * tl.abs(distance)
            surrogate = 1.0 / (width * width)
        elif KIND == 1:
            steep = 1.5707963267948966 * slope * distance
            surrogate = 1.0 / (1.0 + steep * steep)
        else:
            surrogate = tl.maximum(1.0 - slope * tl.abs(distance), 0.0)
        quiet = 1.0 - (distance > 0.0).to(tl.float32)
        into_reset = 0.0 * surrogate if DETACH else surrogate
        kept = 1.0 - drop * into_reset if SUBTRACT else quiet + (reset - h) * into_reset
        to_h = tl.load(to_spikes + at, mask=inside, other=0.0) * surrogate + carried * kept
        tl.store(to_currents + at, factor * gain * to_h, mask=inside)
        total += tl.where(inside, to_h * (h - before) / factor, 0.0)
        carried = (1.0 - factor) * to_h
        h = h_before
        at -= N
    tl.store(to_start + n, carried, mask=inside)
    tl.store(to_factor + tl.program_id(0), tl.sum(total, axis=0))
