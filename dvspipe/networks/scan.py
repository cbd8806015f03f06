"""The fused LIF scan on the CPU: one pass over memory forward, one backward, compiled by numba.

With a = dt / tau, a step is h = v + a * (i - v), z = [h > 1], v = (1 - z) * h: Norse's box LIF with v_th = 1 and
v_leak = v_reset = 0. Backward, with the surrogate s = 1 / (1 + slope * |h - 1|)^2 in place of dz/dh and the reset not
detached,

    dh = dz * s + dv * ((1 - z) - h * s),    di = a * dh,    dv = (1 - a) * dh.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 4096  # neurons whose state stays in the cache while time runs
_pool: ThreadPoolExecutor | None = None


def scan_lif(currents: Tensor, state: Tensor | None, factor: float, slope: float) -> tuple[Tensor, Tensor]:
    """Spikes of LIF neurons over time.

    Args:
        currents: float32 or float64 [T, ...] on the CPU.
        state: Membrane potential [...] before the first step, or None for zero.
        factor: a = dt / tau, in (0, 1].
        slope: Slope of the SuperSpike surrogate.

    Returns:
        Spikes of the currents' shape, and the membrane potential after the last step.
    """
    start = torch.zeros_like(currents[0]) if state is None else state
    spikes, last = _ScanLIF.apply(currents, start, factor, slope)  # type: ignore[no-untyped-call]
    return spikes, last


class _ScanLIF(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, start: Tensor, factor: float, slope: float) -> tuple[Tensor, Tensor]:
        currents = currents.contiguous()
        membrane = torch.empty_like(currents)  # h, before the reset
        spikes = torch.empty_like(currents)
        last = start.contiguous().clone()
        flat = [_flat(tensor) for tensor in (currents, membrane, spikes)]
        _in_blocks(_forward, *flat, last.numpy().reshape(-1), currents.numpy().dtype.type(factor))
        ctx.save_for_backward(membrane)
        ctx.factor, ctx.slope = factor, slope
        return spikes, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (membrane,) = ctx.saved_tensors
        to_spikes, to_last = (gradient.contiguous() for gradient in gradients)
        to_currents = torch.empty_like(membrane)
        to_start = to_last.clone()
        kind = membrane.numpy().dtype.type
        flat = [_flat(tensor) for tensor in (membrane, to_spikes, to_currents)]
        _in_blocks(_backward, *flat, to_start.numpy().reshape(-1), kind(ctx.factor), kind(ctx.slope))
        return to_currents, to_start, None, None


def _flat(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().numpy().reshape(tensor.shape[0], -1)


def _in_blocks(kernel: Callable[..., None], *arguments: Any) -> None:
    """Runs a kernel over all neurons, in as many threads as torch uses."""
    global _pool
    neurons = arguments[0].shape[1]
    threads = min(torch.get_num_threads(), -(-neurons // BLOCK))
    if threads <= 1:
        return kernel(*arguments, 0, neurons)
    if _pool is None or _pool._max_workers < threads:
        _pool = ThreadPoolExecutor(threads, thread_name_prefix="lif")
    edges = np.linspace(0, -(-neurons // BLOCK), threads + 1).astype(int) * BLOCK
    jobs = [_pool.submit(kernel, *arguments, int(first), min(int(last), neurons)) for first, last in pairwise(edges)]
    for job in jobs:
        job.result()
    return None


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward(
    currents: NDArray[Any], membrane: NDArray[Any], spikes: NDArray[Any], v: NDArray[Any],
    factor: Any, first: int, last: int,
) -> None:  # fmt: skip
    one, zero = type(factor)(1), type(factor)(0)
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        state = v[start:stop]
        for step in range(currents.shape[0]):
            current, h, z = currents[step, start:stop], membrane[step, start:stop], spikes[step, start:stop]
            for n in range(stop - start):
                potential = state[n] + factor * (current[n] - state[n])
                spike = one if potential > one else zero
                h[n] = potential
                z[n] = spike
                state[n] = potential * (one - spike)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward(
    membrane: NDArray[Any], to_spikes: NDArray[Any], to_currents: NDArray[Any], to_v: NDArray[Any],
    factor: Any, slope: Any, first: int, last: int,
) -> None:  # fmt: skip
    one, zero = type(factor)(1), type(factor)(0)
    keep = one - factor
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        carried = to_v[start:stop]
        for step in range(membrane.shape[0] - 1, -1, -1):
            h, to_z, to_i = membrane[step, start:stop], to_spikes[step, start:stop], to_currents[step, start:stop]
            for n in range(stop - start):
                distance = h[n] - one
                quiet = zero if distance > zero else one
                width = one + slope * abs(distance)
                surrogate = one / (width * width)
                to_h = to_z[n] * surrogate + carried[n] * (quiet - h[n] * surrogate)
                to_i[n] = factor * to_h
                carried[n] = keep * to_h
