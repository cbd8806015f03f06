"""The fused LIF scan on the CPU: one pass over memory forward, one backward, compiled by numba.

With a = dt / tau and the input's gain g, a step is

    h = v + a * (g * i - v),    z = [h > 1],    v = (1 - z) * h  or, where the reset subtracts,  v = h - z:

Norse's box LIF with v_th = 1 and v_leak = v_reset = 0. Backward, with the surrogate s of dz/dh, and the reset not
detached,

    dh = dz * s + dv * ((1 - z) - h * s)  or  dz * s + dv * (1 - s),
    di = a * g * dh,    dv = (1 - a) * dh,    da = the sum of dh * (g * i - v) = dh * (h - v) / a.

The membrane h, which the backward pass needs, may take the place of the currents in memory. Where spikes are pooled,
they are averaged while they are in the cache, and never stored in full.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 4096  # neurons whose state stays in the cache while time runs
SURROGATES = ("superspike", "arctan", "triangle")
"""Kinds of surrogate gradients, in the order of their numbers in the kernels."""
_pool: ThreadPoolExecutor | None = None


class ScanSettings(NamedTuple):
    """What a scan does besides its tensors.

    Args:
        gain: g, by which currents are multiplied.
        surrogate: One of SURROGATES.
        slope: Of the surrogate.
        subtract: Whether a spike takes 1 from the membrane, instead of setting it to 0.
        pool: Side of the squares of pixels whose spikes are averaged; 1 for none.
        in_place: Whether the currents' memory may be used up: nobody else needs them, for a gradient or otherwise.
    """

    gain: float = 1.0
    surrogate: str = "superspike"
    slope: float = 5.0
    subtract: bool = False
    pool: int = 1
    in_place: bool = False


def scan_lif(currents: Tensor, state: Tensor | None, factor: Tensor, settings: ScanSettings) -> tuple[Tensor, Tensor]:
    """Spikes of LIF neurons over time.

    Args:
        currents: float32 or float64 [T, ...] on the CPU, [T, B, H, W, C] where spikes are pooled.
        state: Membrane potential [...] before the first step, or None for zero.
        factor: a = dt / tau, one number in (0, 1].
        settings: The rest.

    Returns:
        Spikes of the currents' shape, or their means [T, B, H // pool, W // pool, C]; and the membrane potential after
        the last step.
    """
    start = torch.zeros_like(currents[0]) if state is None else state
    spikes, last = _ScanLIF.apply(currents, start, factor, settings)  # type: ignore[no-untyped-call]
    return spikes, last


class _ScanLIF(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, start: Tensor, factor: Tensor, settings: ScanSettings
    ) -> tuple[Tensor, Tensor]:
        last, T, pool = start.contiguous().clone(), len(currents), settings.pool
        membrane = currents.contiguous()
        if membrane is currents:
            membrane = currents if settings.in_place else currents.clone()
        if settings.in_place:
            torch.autograd.graph.increment_version(currents)  # whoever needs them all the same is told by torch
        if pool == 1:
            spikes = torch.empty_like(membrane)
        else:
            _, B, H, W, C = membrane.shape
            spikes = membrane.new_empty((T, B, H // pool, W // pool, C))
        number = membrane.numpy().dtype.type
        constants = number(factor.item()), number(settings.gain), settings.subtract
        arrays = _rows(membrane, spikes, last, pool)
        _in_threads(_forward if pool == 1 else _forward_pooled, arrays, (*constants, *_side(membrane, pool)))
        ctx.save_for_backward(membrane, start if factor.requires_grad else start.new_empty(0), factor)
        ctx.settings = settings
        return spikes, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        membrane, start, factor = ctx.saved_tensors
        settings: ScanSettings = ctx.settings
        to_spikes, to_last = (gradient.contiguous() for gradient in gradients)
        to_currents, to_start = torch.empty_like(membrane), to_last.clone()
        number = membrane.numpy().dtype.type
        a, gain = number(factor.item()), number(settings.gain)
        kind = SURROGATES.index(settings.surrogate)
        constants = a, gain, settings.subtract, kind, number(settings.slope)
        h, to_z, to_v = _rows(membrane, to_spikes, to_start, settings.pool)
        arrays = h, to_z, _rows(to_currents, to_spikes, to_start, settings.pool)[0], to_v
        kernel = _backward if settings.pool == 1 else _backward_pooled
        _in_threads(kernel, arrays, (*constants, *_side(membrane, settings.pool)))
        to_factor = None
        if ctx.needs_input_grad[2]:
            to_factor = _to_factor(membrane, start, to_currents, float(a), float(gain), settings.subtract).to(factor)
        return to_currents, to_start, to_factor, None


def _to_factor(membrane: Tensor, start: Tensor, to_currents: Tensor, a: float, gain: float, subtract: bool) -> Tensor:
    """The gradient of a: the sum of dh * (h - v) / a, where dh = di / (a * g) and v is the membrane before the step."""
    spikes = (membrane[:-1] > 1).to(membrane.dtype)
    reset = membrane[:-1] - spikes if subtract else membrane[:-1] * (1 - spikes)
    before = torch.cat([start[None], reset])
    return (to_currents * (membrane - before)).sum() / (a * a * gain)


def _rows(membrane: Tensor, spikes: Tensor, last: Tensor, pool: int) -> tuple[NDArray[Any], ...]:
    """The tensors as arrays over one axis of neurons, or where spikes are pooled over [B, H] rows of W * C of them."""
    T = membrane.shape[0]
    if pool == 1:
        shapes: list[tuple[int, ...]] = [(T, -1), (T, -1), (-1,)]
    else:
        B, H = membrane.shape[1:3]
        shapes = [(T, B, H, -1), (T, B, H // pool, -1), (B, H, -1)]
    return tuple(
        tensor.detach().numpy().reshape(shape) for tensor, shape in zip((membrane, spikes, last), shapes, strict=True)
    )


def _side(membrane: Tensor, pool: int) -> tuple[int, ...]:
    """What the pooling kernels know of the shape: the side of the squares, and C."""
    return () if pool == 1 else (pool, membrane.shape[-1])


def _in_threads(kernel: Callable[..., None], arrays: tuple[NDArray[Any], ...], constants: tuple[Any, ...]) -> None:
    """Runs a kernel over all neurons, in as many threads as torch uses; the last arguments say which part it does."""
    global _pool
    first = arrays[0]
    parts, size = (-(-first.shape[1] // BLOCK), BLOCK) if first.ndim == 2 else (first.shape[1], 1)
    end = first.shape[1]
    threads = min(torch.get_num_threads(), parts)
    if threads <= 1:
        return kernel(*arrays, *constants, 0, end)
    if _pool is None or _pool._max_workers < threads:
        _pool = ThreadPoolExecutor(threads, thread_name_prefix="lif")
    edges = [min(parts * part // threads * size, end) for part in range(threads + 1)]
    edges[-1] = end
    jobs = [_pool.submit(kernel, *arrays, *constants, edges[k], edges[k + 1]) for k in range(threads)]
    for job in jobs:
        job.result()
    return None


@njit(inline="always")
def _surrogate(kind: int, distance: Any, slope: Any, one: Any, zero: Any, half_pi: Any) -> Any:
    """What stands for dz/dh at a distance from the threshold: one of SURROGATES."""
    if kind == 0:
        width = one + slope * abs(distance)
        return one / (width * width)
    if kind == 1:
        steep = half_pi * slope * distance
        return one / (one + steep * steep)
    return max(one - slope * abs(distance), zero)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward(
    membrane: NDArray[Any], spikes: NDArray[Any], v: NDArray[Any], factor: Any, gain: Any, subtract: bool,
    first: int, last: int,
) -> None:  # fmt: skip
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        state = v[start:stop]
        for step in range(membrane.shape[0]):
            _step(membrane[step, start:stop], spikes[step, start:stop], state, factor, gain, subtract)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step(h: NDArray[Any], z: NDArray[Any], state: NDArray[Any], factor: Any, gain: Any, subtract: bool) -> None:
    one, zero = type(factor)(1), type(factor)(0)
    for n in range(h.size):
        potential = state[n] + factor * (gain * h[n] - state[n])
        spike = one if potential > one else zero
        h[n] = potential
        z[n] = spike
        state[n] = potential - spike if subtract else potential * (one - spike)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward_pooled(
    membrane: NDArray[Any], spikes: NDArray[Any], v: NDArray[Any], factor: Any, gain: Any, subtract: bool,
    pool: int, C: int, first: int, last: int,
) -> None:  # fmt: skip
    T, _, H, N = membrane.shape
    rows, pooled_rows, share = _rows_of_block(N, pool), spikes.shape[2], type(factor)(1) / (pool * pool)
    z = np.empty(N, membrane.dtype)
    for b in range(first, last):
        for top in range(0, H, rows):
            for step in range(T):
                for row in range(top, min(top + rows, H)):
                    _step(membrane[step, b, row], z, v[b, row], factor, gain, subtract)
                    if row // pool < pooled_rows:
                        _add_pooled(z, spikes[step, b, row // pool], pool, C, share, row % pool == 0)


@njit(inline="always")
def _rows_of_block(N: int, pool: int) -> int:
    """How many rows of N neurons are done together: whole squares, about BLOCK neurons."""
    return pool * max(1, BLOCK // (N * pool))


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _add_pooled(z: NDArray[Any], pooled: NDArray[Any], pool: int, C: int, share: Any, first: bool) -> None:
    """Adds a row of spikes to a row of means."""
    if first:
        pooled[:] = 0
    for place in range(pooled.size // C):
        into = pooled[place * C : (place + 1) * C]
        for column in range(place * pool, (place + 1) * pool):
            own = z[column * C : (column + 1) * C]
            for c in range(C):
                into[c] += share * own[c]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward(
    membrane: NDArray[Any], to_spikes: NDArray[Any], to_currents: NDArray[Any], to_v: NDArray[Any],
    factor: Any, gain: Any, subtract: bool, kind: int, slope: Any, first: int, last: int,
) -> None:  # fmt: skip
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        carried = to_v[start:stop]
        for step in range(membrane.shape[0] - 1, -1, -1):
            _step_back(
                membrane[step, start:stop], to_spikes[step, start:stop], to_currents[step, start:stop], carried,
                factor, gain, subtract, kind, slope,
            )  # fmt: skip


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step_back(
    h: NDArray[Any], to_z: NDArray[Any], to_i: NDArray[Any], carried: NDArray[Any],
    factor: Any, gain: Any, subtract: bool, kind: int, slope: Any,
) -> None:  # fmt: skip
    one, zero, half_pi = type(factor)(1), type(factor)(0), type(factor)(np.pi / 2)
    keep, into = one - factor, factor * gain
    for n in range(h.size):
        distance = h[n] - one
        quiet = zero if distance > zero else one
        surrogate = _surrogate(kind, distance, slope, one, zero, half_pi)
        reset = one - surrogate if subtract else quiet - h[n] * surrogate
        to_h = to_z[n] * surrogate + carried[n] * reset
        to_i[n] = into * to_h
        carried[n] = keep * to_h


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward_pooled(
    membrane: NDArray[Any], to_spikes: NDArray[Any], to_currents: NDArray[Any], to_v: NDArray[Any],
    factor: Any, gain: Any, subtract: bool, kind: int, slope: Any, pool: int, C: int, first: int, last: int,
) -> None:  # fmt: skip
    T, _, H, N = membrane.shape
    rows, pooled_rows, share = _rows_of_block(N, pool), to_spikes.shape[2], type(factor)(1) / (pool * pool)
    to_z = np.zeros(N, membrane.dtype)  # columns that fill no square stay 0
    for b in range(first, last):
        for top in range(0, H, rows):
            for step in range(T - 1, -1, -1):
                for row in range(top, min(top + rows, H)):
                    if row // pool >= pooled_rows:
                        to_z[:] = 0
                    elif row % pool == 0:
                        _spread(to_spikes[step, b, row // pool], to_z, pool, C, share)
                    _step_back(
                        membrane[step, b, row], to_z, to_currents[step, b, row], to_v[b, row],
                        factor, gain, subtract, kind, slope,
                    )  # fmt: skip


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _spread(to_pooled: NDArray[Any], to_z: NDArray[Any], pool: int, C: int, share: Any) -> None:
    """The gradient of each spike of a row from that of its mean."""
    for place in range(to_pooled.size // C):
        own = to_pooled[place * C : (place + 1) * C]
        for column in range(place * pool, (place + 1) * pool):
            into = to_z[column * C : (column + 1) * C]
            for c in range(C):
                into[c] = share * own[c]
