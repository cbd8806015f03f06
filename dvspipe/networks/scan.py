"""Fused LIF scan on the CPU, compiled by numba: one pass over memory forward, one backward.

With a = dt / tau, the input's gain g, the threshold b, the reset r and the drop d, a step is

    h = v + a * (g * i - v),    z = [h > b],    v = (1 - z) * h + z * r  or, if the reset subtracts,  v = h - z * d:

Norse's box LIF with v_th = b = d, v_reset = r and v_leak = 0. Backward, with the surrogate s of dz/dh,

    dh = dz * s + dv * ((1 - z) + (r - h) * s)  or  dz * s + dv * (1 - d * s),
    di = a * g * dh,    dv = (1 - a) * dh.

With a detached reset, the terms of dv with s are dropped: dv * (1 - z) or dv.

The backward pass needs the membrane h, which may overwrite the currents in memory. Pooled spikes are averaged while in
the cache, and never stored unpooled.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.errors import ConfigError
from ..base.kernels import njit
from .config import Surrogate

BLOCK = 4096  # neurons per block; their state stays in the cache
SURROGATES: tuple[Surrogate, ...] = get_args(Surrogate)
"""Kinds of surrogate gradients; the index is the number in the kernels."""


class ScanSettings(NamedTuple):
    """Settings of a scan.

    Args:
        gain: Factor g on input currents.
        surrogate: Kind of surrogate gradient.
        slope: Slope of the surrogate gradient.
        subtract: Whether a spike subtracts `drop` from the membrane instead of setting it to `reset`.
        detach: Whether the reset has no gradient.
        pool: Average-pooling size of the spikes; 1: no pooling.
        in_place: Whether the scan may overwrite the currents: nothing else uses them, not even a gradient.
        threshold: Membrane potential above which a neuron spikes.
        reset: Membrane potential after a spike.
        drop: Amount that a spike subtracts from the membrane.
    """

    gain: float = 1.0
    surrogate: Surrogate = "superspike"
    slope: float = 5.0
    subtract: bool = False
    detach: bool = False
    pool: int = 1
    in_place: bool = False
    threshold: float = 1.0
    reset: float = 0.0
    drop: float = 1.0

    def after(self, potentials: Tensor, spikes: Tensor) -> Tensor:
        """Return the potentials after the resets of `spikes`."""
        if self.subtract:
            return potentials - self.drop * spikes
        return potentials * (1 - spikes) + self.reset * spikes


class _Neuron(NamedTuple):
    """Neuron constants for the kernels; floats have the dtype of the currents.

    Args:
        factor: a = dt / tau.
        gain: g.
        subtract: Whether the reset subtracts.
        into_reset: 0 if the reset has no gradient, else 1.
        derives: Whether the kernel stores the surrogate of dz/dh instead of h.
        surrogate: Index in SURROGATES.
        slope: Slope of the surrogate gradient.
        threshold: b.
        reset: r.
        drop: d.
        pool: Average-pooling size of the spikes.
        channels: Channels C, the innermost axis.
    """

    factor: Any
    gain: Any
    subtract: bool
    into_reset: Any
    derives: bool
    surrogate: int
    slope: Any
    threshold: Any
    reset: Any
    drop: Any
    pool: int
    channels: int


def scan_lif(currents: Tensor, state: Tensor | None, factor: float, settings: ScanSettings) -> tuple[Tensor, Tensor]:
    """Return the spikes of LIF neurons over time, and the membrane potential after the last step.

    Args:
        currents: float32 or float64 [T, ...] on the CPU; [T, B, H, W, C] if spikes are pooled.
        state: Membrane potential [...] before the first step; None for zero.
        factor: a = dt / tau, in (0, 1].
        settings: Gain, surrogate, reset and pooling.

    Returns:
        Spikes with the shape of the currents, or pooled [T, B, H // pool, W // pool, C]; and the membrane potential
        [...].
    """
    start = torch.zeros_like(currents[0]) if state is None else state
    spikes, last = _ScanLIF.apply(currents, start, factor, settings)  # type: ignore[no-untyped-call]
    return spikes, last


def scan_membranes(
    currents: Tensor, start: Tensor, factor: float, settings: ScanSettings, *, derived: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return potentials before the reset, spikes, and the last potential; see `scan_lif` for the arguments.

    With `derived`, return the surrogate derivatives of the spikes instead of the potentials before the reset.
    """
    # The kernel writes the membranes over the currents, so it works on a copy unless `in_place` allows more.
    membrane = currents.contiguous()
    if membrane is currents and not settings.in_place:
        membrane = currents.clone()
    if settings.in_place:
        torch.autograd.graph.increment_version(currents)  # torch raises an error if they are used again

    spikes = membrane.new_empty(_pooled_shape(membrane, settings.pool))
    last = start.contiguous().clone()
    kernel = _forward if settings.pool == 1 else _forward_squares
    neuron = _as_neuron(membrane, factor, settings, derived=derived)
    _run_kernel(kernel, _rows(membrane, spikes, last, settings.pool), neuron)

    return membrane, spikes, last


def _pooled_shape(currents: Tensor, pool: int) -> list[int]:
    """Return the shape of the spikes for currents [T, ...], or [T, B, H, W, C] if they are pooled."""
    if pool == 1:
        return [*currents.shape]

    T, B, H, W, C = currents.shape
    return [T, B, H // pool, W // pool, C]


class _ScanLIF(torch.autograd.Function):
    """Scan with the backward pass of the kernels."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, start: Tensor, factor: float, settings: ScanSettings
    ) -> tuple[Tensor, Tensor]:
        membrane, spikes, last = scan_membranes(currents, start, factor, settings)
        ctx.factor = factor
        ctx.settings = settings
        ctx.save_for_backward(membrane.detach())  # in place, the membrane is the tensor of the currents
        return spikes, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        if torch.is_grad_enabled():  # with `create_graph=True`
            raise ConfigError(
                "LIF: the compiled scan has no second derivative; lif.steps(currents, None) computes the same spikes "
                "by operations that have one"
            )

        (membrane,) = ctx.saved_tensors
        to_spikes, to_last = gradients
        to_currents, to_start = _scan_back(membrane, ctx.factor, to_spikes, to_last, ctx.settings)
        return to_currents, to_start, None, None


def _scan_back(
    membrane: Tensor, factor: float, to_spikes: Tensor, to_last: Tensor, settings: ScanSettings
) -> tuple[Tensor, Tensor]:
    """Return the gradients of currents and first state, from the gradients of spikes and last state."""
    to_spikes = to_spikes.contiguous()
    to_currents = torch.empty_like(membrane)
    to_start = to_last.contiguous().clone()

    # The kernel turns the gradient of the last state, in `to_v`, into the gradient of the first state.
    h, to_z, to_v = _rows(membrane, to_spikes, to_start, settings.pool)
    to_i, _, _ = _rows(to_currents, to_spikes, to_start, settings.pool)
    kernel = _backward if settings.pool == 1 else _backward_squares
    _run_kernel(kernel, (h, to_z, to_i, to_v), _as_neuron(membrane, factor, settings))

    return to_currents, to_start


def _as_neuron(membrane: Tensor, factor: float, settings: ScanSettings, *, derived: bool = False) -> _Neuron:
    """Return the constants of the kernels in the dtype of the membrane [T, ...]."""
    number = membrane.numpy().dtype.type
    return _Neuron(
        factor=number(factor),
        gain=number(settings.gain),
        subtract=settings.subtract,
        into_reset=number(not settings.detach),
        derives=derived,
        surrogate=SURROGATES.index(settings.surrogate),
        slope=number(settings.slope),
        threshold=number(settings.threshold),
        reset=number(settings.reset),
        drop=number(settings.drop),
        pool=settings.pool,
        channels=membrane.shape[-1],
    )


def _rows(membrane: Tensor, spikes: Tensor, last: Tensor, pool: int) -> tuple[NDArray[Any], ...]:
    """View tensors as arrays with one axis of neurons or, if spikes are pooled, with [B, H] rows of W * C."""
    T = len(membrane)
    if pool == 1:
        shapes: list[tuple[int, ...]] = [(T, -1), (T, -1), (-1,)]
    else:
        B, H = membrane.shape[1:3]
        shapes = [(T, B, H, -1), (T, B, H // pool, -1), (B, H, -1)]

    return tuple(
        tensor.detach().numpy().reshape(shape) for tensor, shape in zip((membrane, spikes, last), shapes, strict=True)
    )


def _run_kernel(kernel: Callable[..., None], arrays: tuple[NDArray[Any], ...], neuron: _Neuron) -> None:
    """Run a kernel over all neurons [T, N] or recordings [T, B, H, N], in blocks; its last arguments are the range."""
    membrane, *_ = arrays
    end = membrane.shape[1]
    size = BLOCK if membrane.ndim == 2 else 1  # neurons, or recordings

    def run(start: int, stop: int) -> None:
        kernel(*arrays, neuron, start * size, min(stop * size, end))

    run_in_threads(-(-end // size), run)


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
def _surrogate_gradient(neuron: _Neuron, distance: Any, one: Any, zero: Any, half_pi: Any) -> Any:
    """Return the surrogate of dz/dh at a given distance from the threshold."""
    # The kinds in the order of `SURROGATES`.
    if neuron.surrogate == 0:
        width = one + neuron.slope * abs(distance)
        return one / (width * width)

    if neuron.surrogate == 1:
        steep = half_pi * neuron.slope * distance
        return one / (one + steep * steep)

    return max(one - neuron.slope * abs(distance), zero)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward(
    membrane: NDArray[Any], spikes: NDArray[Any], v: NDArray[Any], neuron: _Neuron, first: int, last: int
) -> None:
    # Neurons n of membrane [T, N], spikes [T, N] and v [N]. A block of neurons passes through all steps before
    # the next block, so its state stays in the cache.
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        state = v[start:stop]
        for step in range(len(membrane)):
            _step(membrane[step, start:stop], spikes[step, start:stop], state, neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step(h: NDArray[Any], z: NDArray[Any], state: NDArray[Any], neuron: _Neuron) -> None:
    """Compute a step of neurons: `h` holds the currents, then the potentials; `state` is v. There are no branches."""
    # h = v + a * (g * i - v), z = [h > b], and the reset of v; n is a neuron.
    factor = neuron.factor
    threshold = neuron.threshold

    # Numbers in the dtype of the currents: others would turn float32 into float64.
    one = type(factor)(1)
    zero = type(factor)(0)
    half_pi = type(factor)(np.pi / 2)

    for n in range(h.size):
        # z is a number, not a condition: the loop is vectorised only without branches.
        potential = state[n] + factor * (neuron.gain * h[n] - state[n])
        spike = one if potential > threshold else zero
        if neuron.derives:
            h[n] = _surrogate_gradient(neuron, potential - threshold, one, zero, half_pi)
        else:
            h[n] = potential
        z[n] = spike

        if neuron.subtract:
            state[n] = potential - neuron.drop * spike
        else:
            state[n] = potential * (one - spike) + neuron.reset * spike


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward_squares(
    membrane: NDArray[Any],
    spikes: NDArray[Any],
    v: NDArray[Any],
    neuron: _Neuron,
    first: int,
    last: int,
) -> None:
    """Scan recordings b, their rows in blocks of complete squares, and steps; average the spikes of each square.

    `membrane` [T, B, H, W * C] and `v` [B, H, W * C] are full, `spikes` [T, B, H // pool, W // pool * C] pooled.
    """
    T, _, H, N = membrane.shape
    side = neuron.pool
    pooled_rows = H // side
    rows = _rows_of_block(N, side)

    # Spikes are averaged: each adds its share of a square of side * side pixels. The share is float64, also for float32
    # currents, because the square is an integer; the sums are rounded to the dtype of the spikes.
    share = type(neuron.factor)(1) / (side * side)

    z = np.empty(N, membrane.dtype)  # spikes of one row
    for b in range(first, last):
        # A block of rows passes through all steps before the next block, so its membranes stay in the cache.
        # Rows below the last complete square have neurons, but no output.
        for top in range(0, H, rows):
            for step in range(T):
                for row in range(top, min(top + rows, H)):
                    _step(membrane[step, b, row], z, v[b, row], neuron)
                    if row // side < pooled_rows:
                        _add_to_squares(z, spikes[step, b, row // side], neuron, share, row % side == 0)


@njit(inline="always")
def _rows_of_block(N: int, side: int) -> int:
    """Return the number of rows of N neurons to compute together: complete squares, about BLOCK neurons."""
    return side * max(1, BLOCK // (N * side))


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _add_to_squares(z: NDArray[Any], pooled: NDArray[Any], neuron: _Neuron, share: Any, first: bool) -> None:
    """Add a row of spikes to a row of pooled means; `first`: the row is the first of its squares."""
    # means[square, c] += z[column, c] / side^2 for the columns of a square; C channels c are innermost.
    side = neuron.pool
    C = neuron.channels

    if first:
        pooled[:] = 0

    for square in range(pooled.size // C):
        means = pooled[square * C : (square + 1) * C]
        for column in range(square * side, (square + 1) * side):
            fired = z[column * C : (column + 1) * C]
            for c in range(C):
                means[c] += share * fired[c]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward(
    membrane: NDArray[Any],
    to_spikes: NDArray[Any],
    to_currents: NDArray[Any],
    to_v: NDArray[Any],
    neuron: _Neuron,
    first: int,
    last: int,
) -> None:
    # Steps in reverse, in blocks of neurons like `_forward`; `carried` is dL/dv after a step, then before it.
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        carried = to_v[start:stop]
        for step in range(len(membrane) - 1, -1, -1):
            h = membrane[step, start:stop]
            to_z = to_spikes[step, start:stop]
            to_i = to_currents[step, start:stop]
            _step_back(h, to_z, to_i, carried, neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step_back(h: NDArray[Any], to_z: NDArray[Any], to_i: NDArray[Any], carried: NDArray[Any], neuron: _Neuron) -> None:
    """Compute the gradients of a step, `to_h` is dh of the formulas at the top; `carried` is the gradient of v."""
    # With the reset r or the drop d, dh = dz * s + dv * ((1 - z) + (r - h) * s) or dz * s + dv * (1 - d * s),
    # di = a * g * dh, and before the step dv = (1 - a) * dh. If the reset is detached, `into_reset` is 0.
    factor = neuron.factor
    one = type(factor)(1)
    zero = type(factor)(0)
    half_pi = type(factor)(np.pi / 2)

    keep = one - factor
    to_input = factor * neuron.gain

    for n in range(h.size):
        distance = h[n] - neuron.threshold
        quiet = zero if distance > zero else one
        surrogate = _surrogate_gradient(neuron, distance, one, zero, half_pi)
        into_reset = neuron.into_reset * surrogate
        reset = one - neuron.drop * into_reset if neuron.subtract else quiet + (neuron.reset - h[n]) * into_reset

        to_h = to_z[n] * surrogate + carried[n] * reset
        to_i[n] = to_input * to_h
        carried[n] = keep * to_h


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward_squares(
    membrane: NDArray[Any],
    to_spikes: NDArray[Any],
    to_currents: NDArray[Any],
    to_v: NDArray[Any],
    neuron: _Neuron,
    first: int,
    last: int,
) -> None:
    """Scan back through the steps of `_forward_squares`; each spike gets its share of the gradient of its square."""
    T, _, H, N = membrane.shape
    side = neuron.pool
    pooled_rows = H // side
    rows = _rows_of_block(N, side)
    share = type(neuron.factor)(1) / (side * side)  # float64, as in `_forward_squares`

    to_z = np.zeros(N, membrane.dtype)  # columns outside the squares stay 0
    for b in range(first, last):
        # The rows of a square get the same gradients, so they are spread once, at its first row.
        for top in range(0, H, rows):
            for step in range(T - 1, -1, -1):
                for row in range(top, min(top + rows, H)):
                    if row // side >= pooled_rows:
                        to_z[:] = 0
                    elif row % side == 0:
                        _spread_squares(to_spikes[step, b, row // side], to_z, neuron, share)
                    _step_back(membrane[step, b, row], to_z, to_currents[step, b, row], to_v[b, row], neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _spread_squares(to_pooled: NDArray[Any], to_z: NDArray[Any], neuron: _Neuron, share: Any) -> None:
    """Write the gradients of a row of spikes from the gradients of their pooled means."""
    # dz[column, c] = d(mean[square, c]) / side^2; C channels c are innermost.
    side = neuron.pool
    C = neuron.channels

    for square in range(to_pooled.size // C):
        to_square = to_pooled[square * C : (square + 1) * C]
        for column in range(square * side, (square + 1) * side):
            to_pixel = to_z[column * C : (column + 1) * C]
            for c in range(C):
                to_pixel[c] = share * to_square[c]
