"""Fused scans over time on the CPU, compiled by numba: one pass over memory forward, one backward.

With a = dt * tau_mem_inv, the leak potential l, the threshold b and the reset r, a step of `scan_steps` is

    h = v + a * (i + l - v),    z = [h > b],    v = (1 - z) * h + z * r  or, if the reset subtracts,  v = h - z * b:

Norse's box LIF. Backward, with the surrogate s of dz/dh,

    dh = dz * s + dv * ((1 - z) + (r - h) * s)  or  dz * s + dv * (1 - b * s),    di = a * dh,    dv = (1 - a) * dh.

With a detached reset, the terms of dv with s are dropped. `filter_steps` is the linear part alone,
y[t] = keep * y[t-1] + scale * x[t]: Norse's leaky readout, and the synaptic current of its LIF. Its gradient is the
same filter backward in time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.kernels import njit

BLOCK = 4096  # neurons per block; their state stays in the cache
FLAGS = {"contract", "nsz"}
CHANNELS_LAST = [0, 1, 3, 4, 2]  # axes of [T, B, C, H, W] in the memory of images


class ScanConstants(NamedTuple):
    """Constants of the neurons of a scan.

    Args:
        factor: a, dt / tau.
        leak: Leak potential l.
        threshold: b.
        reset: r, the potential after a spike.
        subtract: Whether a spike subtracts the threshold instead.
        detach: Whether the reset has no gradient.
        arctan: Whether the surrogate is `arctan` instead of `superspike`; see `dvspipe.networks.Spike`.
        slope: Slope of the surrogate.
    """

    factor: float
    leak: float
    threshold: float
    reset: float
    subtract: bool
    detach: bool
    arctan: bool
    slope: float


def scan_steps(currents: Tensor, start: Tensor, constants: ScanConstants, pool: int = 1) -> tuple[Tensor, Tensor]:
    """Return the spikes of LIF neurons over time, and the membrane potential after the last step.

    Args:
        currents: float32 or float64 [T, B, ...] on the CPU, in any dense layout; [T, B, C, H, W] if `pool` > 1.
        start: Membrane potential [B, ...] before the first step.
        constants: Constants of all neurons.
        pool: Side of the squares whose spikes are averaged, while they are in the cache.
    """
    spikes, last = _Scan.apply(currents, start, constants, pool)  # type: ignore[no-untyped-call]
    return spikes, last


def filter_steps(x: Tensor, start: Tensor, keep: float, scale: float) -> Tensor:
    """Return y[t] = keep * y[t-1] + scale * x[t] for x [T, ...], with y[0] = start + scale * x[0]."""
    filtered: Tensor = _Filter.apply(x, start, keep, scale)  # type: ignore[no-untyped-call]
    return filtered


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, start: Tensor, constants: ScanConstants, pool: int
    ) -> tuple[Tensor, Tensor]:
        order = _memory_order(currents) if pool == 1 else CHANNELS_LAST
        rows = currents.permute(order).contiguous()
        last = start.permute(_inner(order)).contiguous().clone()
        T, B, *sizes = rows.shape
        shape = (T, B, sizes[0] // pool, sizes[1] // pool, sizes[2]) if pool > 1 else rows.shape
        spikes = rows.new_empty(shape)

        # The backward pass needs the potentials of all steps; without it, each step overwrites the previous one.
        potentials = torch.empty_like(rows if any(ctx.needs_input_grad) else rows[:1])
        _run(_forward, (rows, potentials, spikes, last), constants, pool)

        ctx.save_for_backward(potentials)
        ctx.constants = constants
        ctx.pool = pool
        ctx.order = order
        return spikes.permute(_inverse(order)), last.permute(_inverse(_inner(order)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (potentials,) = ctx.saved_tensors
        order = ctx.order
        to_spikes, to_last = gradients
        to_spikes = to_spikes.permute(order).contiguous()
        to_currents = torch.empty_like(potentials)

        # The kernel turns the gradient of the last potential into the gradient of the first.
        to_start = to_last.permute(_inner(order)).contiguous().clone()
        _run(_backward, (to_currents, potentials, to_spikes, to_start), ctx.constants, ctx.pool)

        return to_currents.permute(_inverse(order)), to_start.permute(_inverse(_inner(order))), None, None


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, start: Tensor, keep: float, scale: float) -> Tensor:
        ctx.keep = keep
        ctx.scale = scale
        return _filter(x, start, keep, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        # With G[t] = dy[t] + keep * G[t+1]: dx[t] = scale * G[t], and the start has G[0].
        (to_y,) = gradients
        backward = _filter(to_y.flip(0), torch.zeros_like(to_y[0]), ctx.keep, 1.0).flip(0)
        return ctx.scale * backward, backward[0], None, None


def _filter(x: Tensor, start: Tensor, keep: float, scale: float) -> Tensor:
    order = _memory_order(x)
    rows = x.permute(order).contiguous()
    y = torch.empty_like(rows)
    state = start.permute(_inner(order)).contiguous()

    flat = rows.detach().numpy().reshape(len(x), -1)
    number = flat.dtype.type
    _filter_rows(flat, y.numpy().reshape(flat.shape), state.detach().numpy().ravel(), number(keep), number(scale))
    return y.permute(_inverse(order))


def _memory_order(x: Tensor) -> list[int]:
    """Return the axes of x [T, ...] in the order of memory, time first: neurons may be in any order."""
    inner = sorted(range(1, x.ndim), key=lambda axis: x.stride(axis) if x.shape[axis] > 1 else 0, reverse=True)
    return [0, *inner]


def _inner(order: list[int]) -> list[int]:
    """Return the order of the axes of a step."""
    return [axis - 1 for axis in order[1:]]


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _run(kernel: Callable[..., None], tensors: tuple[Tensor, ...], constants: ScanConstants, pool: int) -> None:
    """Run a kernel on tensors [T, B, ...], the last one [B, ...], as rows of neurons: [T, B, H, N] and [B, H, N]."""
    arrays = []
    for tensor in tensors:
        leading = tensor.shape[: tensor.ndim - 3] if pool > 1 else tensor.shape[: 1 + (tensor is not tensors[-1])]
        rows = tensor.shape[-3] if pool > 1 else 1
        arrays.append(tensor.detach().numpy().reshape(*leading, rows, -1))

    # Numbers in the dtype of the currents: others would turn float32 into float64.
    number = arrays[0].dtype.type
    typed = ScanConstants(*(value if isinstance(value, bool) else number(value) for value in constants))
    channels = tensors[0].shape[-1]
    run_in_threads(len(arrays[-1]), lambda first, last: kernel(*arrays, typed, pool, channels, first, last))


def run_in_threads(count: int, work: Callable[[int, int], object]) -> None:
    """Call `work(first, last)` on consecutive ranges of `count` items, in as many threads as torch uses."""
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        work(0, count)
        return

    edges = [count * part // threads for part in range(threads + 1)]
    for _ in _open_pool(torch.get_num_threads()).map(work, edges, edges[1:]):
        pass


@cache
def _open_pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernels")


@njit(inline="always")
def _surrogate(distance: Any, p: ScanConstants, one: Any, half_pi: Any) -> Any:
    """Return the surrogate of dz/dh at a distance from the threshold."""
    if p.arctan:
        steep = half_pi * p.slope * distance
        return one / (one + steep * steep)

    width = one + p.slope * abs(distance)
    return one / (width * width)


@njit(inline="always")
def _block_rows(N: int, pool: int) -> int:
    """Return the number of rows of N neurons to compute together: complete squares, about BLOCK neurons."""
    return pool * max(1, BLOCK // (N * pool))


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _forward(
    currents: NDArray[Any],
    potentials: NDArray[Any],
    spikes: NDArray[Any],
    v: NDArray[Any],
    p: ScanConstants,
    pool: int,
    channels: int,
    first: int,
    last: int,
) -> None:
    """Scan the recordings `first` to `last`.

    Args:
        currents: [T, B, H, N], rows of N = W * C neurons.
        potentials: Output [T, B, H, N], potentials before the reset, or [1, B, H, N] to overwrite them.
        spikes: Output [T, B, H // pool, N'], averaged over squares of pixels.
        v: State [B, H, N]; updated in place.
        p: Constants of the neurons.
        pool: Side of the squares; 1: none.
        channels: C.
        first: First recording.
        last: End of the recordings.
    """
    T, _, H, N = currents.shape
    rows = _block_rows(N, pool)
    kept = len(potentials)
    z = np.empty(N, currents.dtype)

    # A block of rows passes through all steps before the next block, so its state stays in the cache. Rows below the
    # last complete square have neurons, but no output.
    for b in range(first, last):
        for top in range(0, H, rows):
            for t in range(T):
                for row in range(top, min(top + rows, H)):
                    fired = spikes[t, b, row] if pool == 1 else z
                    _step(currents[t, b, row], potentials[t % kept, b, row], fired, v[b, row], p)
                    if pool > 1 and row // pool < spikes.shape[2]:
                        _add_to_squares(z, spikes[t, b, row // pool], pool, channels, row % pool == 0)


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _add_to_squares(z: NDArray[Any], means: NDArray[Any], pool: int, channels: int, is_first: bool) -> None:
    # means[square, c] += z[column, c] / pool^2 for the columns of a square; the channels c are innermost.
    share = type(z[0])(1) / type(z[0])(pool * pool)
    if is_first:
        means[:] = 0

    for square in range(means.size // channels):
        mean = means[square * channels : (square + 1) * channels]
        for column in range(square * pool, (square + 1) * pool):
            pixel = z[column * channels : (column + 1) * channels]
            for c in range(channels):
                mean[c] += share * pixel[c]


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _step(i: NDArray[Any], h: NDArray[Any], z: NDArray[Any], v: NDArray[Any], p: ScanConstants) -> None:
    """Compute a step of neurons n, by the formulas at the top."""
    factor = p.factor
    leak = p.leak
    threshold = p.threshold
    one = type(factor)(1)
    zero = type(factor)(0)

    for n in range(h.size):
        # z is a number, not a condition: the loop is vectorised only without branches.
        potential = v[n] + factor * (i[n] + leak - v[n])
        spike = one if potential > threshold else zero
        h[n] = potential
        z[n] = spike
        if p.subtract:
            v[n] = potential - threshold * spike
        else:
            v[n] = potential * (one - spike) + p.reset * spike


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _backward(
    to_currents: NDArray[Any],
    potentials: NDArray[Any],
    to_spikes: NDArray[Any],
    to_v: NDArray[Any],
    p: ScanConstants,
    pool: int,
    channels: int,
    first: int,
    last: int,
) -> None:
    """Write the gradients of the currents; `to_v` is the gradient of v after a step, then before it. As `_forward`."""
    T, _, H, N = potentials.shape
    rows = _block_rows(N, pool)
    to_z = np.zeros(N, potentials.dtype)  # columns outside the squares stay 0

    for b in range(first, last):
        for top in range(0, H, rows):
            for t in range(T - 1, -1, -1):
                for row in range(top, min(top + rows, H)):
                    # The rows of a square get the same gradients, so they are spread once, at its first row.
                    if pool > 1 and row // pool >= to_spikes.shape[2]:
                        to_z[:] = 0
                    elif pool > 1 and row % pool == 0:
                        _spread_squares(to_spikes[t, b, row // pool], to_z, pool, channels)

                    to_fired = to_spikes[t, b, row] if pool == 1 else to_z
                    _step_back(potentials[t, b, row], to_fired, to_currents[t, b, row], to_v[b, row], p)


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _spread_squares(to_means: NDArray[Any], to_z: NDArray[Any], pool: int, channels: int) -> None:
    # to_z[column, c] = to_means[square, c] / pool^2 for the columns of a square.
    share = type(to_z[0])(1) / type(to_z[0])(pool * pool)
    for square in range(to_means.size // channels):
        to_mean = to_means[square * channels : (square + 1) * channels]
        for column in range(square * pool, (square + 1) * pool):
            to_pixel = to_z[column * channels : (column + 1) * channels]
            for c in range(channels):
                to_pixel[c] = share * to_mean[c]


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _step_back(h: NDArray[Any], to_z: NDArray[Any], to_i: NDArray[Any], to_v: NDArray[Any], p: ScanConstants) -> None:
    """Compute the gradients of a step of neurons n; `to_h` is dh of the formulas at the top."""
    factor = p.factor
    threshold = p.threshold
    one = type(factor)(1)
    zero = type(factor)(0)
    half_pi = type(factor)(np.pi / 2)
    into_reset = zero if p.detach else one
    keep = one - factor

    for n in range(h.size):
        distance = h[n] - threshold
        quiet = zero if distance > zero else one
        surrogate = _surrogate(distance, p, one, half_pi)
        through_z = into_reset * surrogate
        reset = one - threshold * through_z if p.subtract else quiet + (p.reset - h[n]) * through_z

        to_h = to_z[n] * surrogate + to_v[n] * reset
        to_i[n] = factor * to_h
        to_v[n] = keep * to_h


@njit(cache=True, nogil=True, error_model="numpy")
def _filter_rows(x: NDArray[Any], y: NDArray[Any], start: NDArray[Any], keep: Any, scale: Any) -> None:
    # y[t, n] = keep * y[t-1, n] + scale * x[t, n], rounded twice as in torch, which computes the start: so parts of a
    # recording give the same numbers as one call.
    before = start
    for t in range(len(x)):
        for n in range(start.size):
            carried = start[n] if t == 0 else keep * before[n]
            y[t, n] = carried + scale * x[t, n]
        before = y[t]
