"""Fused LIF scan on the CPU, compiled by numba: one pass over memory forward, one backward.

With a = dt / tau, the input's gain g, the threshold b, the reset r and the drop d, a step is

    h = v + a * (g * i - v),    z = [h > b],    v = (1 - z) * h + z * r  or, if the reset subtracts,  v = h - z * d:

Norse's box LIF with v_th = b = d, v_reset = r and v_leak = 0. Backward, with the surrogate s of dz/dh,

    dh = dz * s + dv * ((1 - z) + (r - h) * s)  or  dz * s + dv * (1 - d * s),
    di = a * g * dh,    dv = (1 - a) * dh,    da = the sum of dh * (g * i - v) = dh * (h - v) / a.

With a detached reset, the terms of dv with s are dropped: dv * (1 - z) or dv.

The backward pass needs the membrane h, which may overwrite the currents in memory. Pooled spikes are averaged while in
the cache, and never stored unpooled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, NoReturn, get_args

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

    def pack(self) -> list[float]:
        """Return the settings as numbers, the form that an operator of torch takes; see `unpack`."""
        return [float(each) for each in self._replace(surrogate=SURROGATES.index(self.surrogate))]  # type: ignore[arg-type]

    @classmethod
    def unpack(cls, numbers: Sequence[float]) -> ScanSettings:
        """Return the settings that were packed."""
        gain, surrogate, slope, subtract, detach, pool, in_place, *levels = numbers
        flags = bool(subtract), bool(detach), int(pool), bool(in_place)
        return cls(gain, SURROGATES[int(surrogate)], slope, *flags, *levels)

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


class _Squares(NamedTuple):
    """Average pooling in the kernels.

    Args:
        side: Pooling size.
        channels: Channels C, the innermost axis.
    """

    side: int
    channels: int


def scan_lif(currents: Tensor, state: Tensor | None, factor: Tensor, settings: ScanSettings) -> tuple[Tensor, Tensor]:
    """Return the spikes of LIF neurons over time, and the membrane potential after the last step.

    Args:
        currents: float32 or float64 [T, ...] on the CPU; [T, B, H, W, C] if spikes are pooled.
        state: Membrane potential [...] before the first step; None for zero.
        factor: a = dt / tau, one number in (0, 1].
        settings: Gain, surrogate, reset and pooling.

    Returns:
        Spikes with the shape of the currents, or pooled [T, B, H // pool, W // pool, C]; and the membrane potential
        [...].
    """
    start = torch.zeros_like(currents[0]) if state is None else state
    if torch.compiler.is_compiling():
        _, spikes, last = scan_lif_compiled(currents, start, factor, settings._replace(in_place=False).pack())
        return spikes, last
    spikes, last, _ = _ScanLIF.apply(currents, start, factor, settings)  # type: ignore[no-untyped-call]
    return spikes, last


def scan_membranes(
    currents: Tensor, start: Tensor, factor: Tensor, settings: ScanSettings, *, derived: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return potentials before the reset, spikes, and the last potential; see `scan_lif` for the arguments.

    With `derived`, return the surrogate derivatives of the spikes instead of the potentials before the reset.
    """
    last, T, pool = start.contiguous().clone(), len(currents), settings.pool
    membrane = currents.contiguous()
    if membrane is currents:
        membrane = currents if settings.in_place else currents.clone()
    if settings.in_place:
        torch.autograd.graph.increment_version(currents)  # torch raises an error if they are used again
    if pool == 1:
        spikes = torch.empty_like(membrane)
    else:
        _, B, H, W, C = membrane.shape
        spikes = membrane.new_empty((T, B, H // pool, W // pool, C))
    kernel = _forward if pool == 1 else _forward_pooled
    constants = _constants(membrane, factor, settings, derived=derived)
    _run_in_threads(kernel, _rows(membrane, spikes, last, pool), constants)
    return membrane, spikes, last


class _ScanLIF(torch.autograd.Function):
    """Scan whose membranes are an output: `torch.func` saves only inputs and outputs for the backward pass.

    The membrane counts as differentiable, so a second derivative reaches the error of `_ScanLIFBack`.
    """

    @staticmethod
    def forward(
        currents: Tensor, start: Tensor, factor: Tensor, settings: ScanSettings
    ) -> tuple[Tensor, Tensor, Tensor]:
        membrane, spikes, last = scan_membranes(currents, start, factor, settings)
        return spikes, last, membrane.detach()  # in place, the membrane is the tensor of the currents

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, start, factor, ctx.settings = inputs
        spikes, last, membrane = output
        ctx.set_materialize_grads(False)  # no zeros [T, ...] for the membrane
        ctx.shapes = spikes.shape, last.shape
        ctx.save_for_backward(membrane, start, factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, None]:
        membrane, start, factor = ctx.saved_tensors
        to_spikes, to_last = (
            membrane.new_zeros(shape) if gradient is None else gradient
            for gradient, shape in zip(gradients, ctx.shapes, strict=False)
        )
        to_currents, to_start, to_factor = _ScanLIFBack.apply(  # type: ignore[no-untyped-call]
            membrane, start, factor, to_spikes, to_last, ctx.settings, ctx.needs_input_grad[2]
        )
        return to_currents, to_start, to_factor if ctx.needs_input_grad[2] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Scan the elements of the batch one after the other."""
        return _map_elements(_ScanLIF, info.batch_size, in_dims, inputs)


class _ScanLIFBack(torch.autograd.Function):
    """Backward pass of `_ScanLIF`, as a function of tensors that `torch.func` can wrap."""

    @staticmethod
    def forward(
        membrane: Tensor,
        start: Tensor,
        factor: Tensor,
        to_spikes: Tensor,
        to_last: Tensor,
        settings: ScanSettings,
        trains_factor: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        to_currents, to_start = _scan_back(membrane, factor, (to_spikes, to_last), settings)
        if not trains_factor:
            return to_currents, to_start, factor.new_empty(())
        return to_currents, to_start, _factor_gradient(membrane, start, to_currents, factor, settings).to(factor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save nothing: there is no second derivative."""

    @staticmethod
    def backward(_ctx: Any, *_gradients: Tensor) -> NoReturn:
        raise ConfigError(
            "LIF: the compiled scan has no second derivative; lif.steps(currents, None) computes the same spikes by "
            "operations that have one"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Scan the elements of the batch one after the other."""
        return _map_elements(_ScanLIFBack, info.batch_size, in_dims, inputs)


def _map_elements(
    function: type[torch.autograd.Function], count: int, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Apply a function to each element of a batch of `torch.vmap`; return the stacked results and their batch axes."""
    results = []
    for number in range(count):
        element = (
            value.select(axis, number) if isinstance(value, Tensor) and axis is not None else value
            for value, axis in zip(inputs, in_dims, strict=True)
        )
        results.append(function.apply(*element))
    stacked = tuple(torch.stack(each) for each in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)


def _scan_back(
    membrane: Tensor, factor: Tensor, gradients: Sequence[Tensor], settings: ScanSettings
) -> tuple[Tensor, Tensor]:
    """Return the gradients of currents and first state, from the gradients of spikes and last state."""
    to_spikes, to_last = (gradient.contiguous() for gradient in gradients)
    to_currents, to_start = torch.empty_like(membrane), to_last.clone()
    h, to_z, to_v = _rows(membrane, to_spikes, to_start, settings.pool)
    to_i = _rows(to_currents, to_spikes, to_start, settings.pool)[0]
    constants = _constants(membrane, factor, settings)
    kernel = _backward if settings.pool == 1 else _backward_pooled
    _run_in_threads(kernel, (h, to_z, to_i, to_v), constants)
    return to_currents, to_start


@torch.library.custom_op("dvspipe::scan_lif", mutates_args=())
def scan_lif_compiled(
    currents: Tensor, start: Tensor, factor: Tensor, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Operator for `torch.compile`, which cannot trace compiled kernels: `scan_membranes`, and its gradient.

    Args:
        currents: As in `scan_lif`.
        start: Membrane potential [...] before the first step.
        factor: As in `scan_lif`.
        numbers: `ScanSettings.pack`, not in place.
    """
    return scan_membranes(currents, start, factor, ScanSettings.unpack(numbers))


@scan_lif_compiled.register_fake
def _(currents: Tensor, start: Tensor, _factor: Tensor, numbers: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    shape, pool = list(currents.shape), ScanSettings.unpack(numbers).pool
    if pool > 1:
        shape[2:4] = shape[2] // pool, shape[3] // pool
    return currents.new_empty(currents.shape), currents.new_empty(shape), start.new_empty(start.shape)


@torch.library.custom_op("dvspipe::scan_lif_backward", mutates_args=())
def _scan_back_compiled(
    saved: list[Tensor], gradients: list[Tensor], numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the currents, the first state and the factor."""
    (membrane, start, factor), settings = saved, ScanSettings.unpack(numbers)
    to_currents, to_start = _scan_back(membrane, factor, gradients, settings)
    return to_currents, to_start, _factor_gradient(membrane, start, to_currents, factor, settings).to(factor)


@_scan_back_compiled.register_fake
def _(saved: list[Tensor], _gradients: list[Tensor], _numbers: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    membrane, start, factor = saved
    return tuple(each.new_empty(each.shape) for each in (membrane, start, factor))  # type: ignore[return-value]


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, start, factor, ctx.numbers = inputs
    ctx.save_for_backward(output[0], start, factor)


def _propagate(ctx: Any, _to_membrane: Tensor, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *_scan_back_compiled([*ctx.saved_tensors], [*gradients], ctx.numbers), None


scan_lif_compiled.register_autograd(_propagate, setup_context=_save_for_backward)


def _factor_gradient(
    membrane: Tensor, start: Tensor, to_currents: Tensor, factor: Tensor, settings: ScanSettings
) -> Tensor:
    """Return the sum of dh * (h - v) / a, where dh = di / (a * g) and v is the membrane before the step."""
    spikes = (membrane[:-1] > settings.threshold).to(membrane.dtype)
    before = torch.cat([start[None], settings.after(membrane[:-1], spikes)])
    a, gain = float(factor), settings.gain
    return (to_currents * (membrane - before)).sum() / (a * a * gain)


def _constants(membrane: Tensor, factor: Tensor, settings: ScanSettings, *, derived: bool = False) -> tuple[Any, ...]:
    """Return the last kernel arguments: the neuron and, if spikes are pooled, the squares."""
    number = membrane.numpy().dtype.type
    surrogate = SURROGATES.index(settings.surrogate)
    neuron = _Neuron(
        number(factor.item()),
        number(settings.gain),
        settings.subtract,
        number(not settings.detach),
        derived,
        surrogate,
        number(settings.slope),
        number(settings.threshold),
        number(settings.reset),
        number(settings.drop),
    )
    return (neuron,) if settings.pool == 1 else (neuron, _Squares(settings.pool, membrane.shape[-1]))


def _rows(membrane: Tensor, spikes: Tensor, last: Tensor, pool: int) -> tuple[NDArray[Any], ...]:
    """View tensors as arrays with one axis of neurons or, if spikes are pooled, with [B, H] rows of W * C."""
    T = membrane.shape[0]
    if pool == 1:
        shapes: list[tuple[int, ...]] = [(T, -1), (T, -1), (-1,)]
    else:
        B, H = membrane.shape[1:3]
        shapes = [(T, B, H, -1), (T, B, H // pool, -1), (B, H, -1)]
    return tuple(
        tensor.detach().numpy().reshape(shape) for tensor, shape in zip((membrane, spikes, last), shapes, strict=True)
    )


def _run_in_threads(kernel: Callable[..., None], arrays: tuple[NDArray[Any], ...], constants: tuple[Any, ...]) -> None:
    """Run a kernel over all neurons; its last arguments are the range."""
    first = arrays[0]
    end, size = first.shape[1], BLOCK if first.ndim == 2 else 1
    parts = -(-end // size)
    run_in_threads(parts, lambda start, stop: kernel(*arrays, *constants, start * size, min(stop * size, end)))


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
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        state = v[start:stop]
        for step in range(membrane.shape[0]):
            _step(membrane[step, start:stop], spikes[step, start:stop], state, neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step(h: NDArray[Any], z: NDArray[Any], state: NDArray[Any], neuron: _Neuron) -> None:
    factor, gain, threshold, reset, drop = neuron.factor, neuron.gain, neuron.threshold, neuron.reset, neuron.drop
    one, zero, half_pi = type(factor)(1), type(factor)(0), type(factor)(np.pi / 2)
    for n in range(h.size):
        potential = state[n] + factor * (gain * h[n] - state[n])
        spike = one if potential > threshold else zero
        if neuron.derives:
            h[n] = _surrogate_gradient(neuron, potential - threshold, one, zero, half_pi)
        else:
            h[n] = potential
        z[n] = spike
        state[n] = potential - drop * spike if neuron.subtract else potential * (one - spike) + reset * spike


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _forward_pooled(
    membrane: NDArray[Any],
    spikes: NDArray[Any],
    v: NDArray[Any],
    neuron: _Neuron,
    squares: _Squares,
    first: int,
    last: int,
) -> None:
    T, _, H, N = membrane.shape
    side = squares.side
    rows, pooled_rows, share = _rows_of_block(N, side), spikes.shape[2], type(neuron.factor)(1) / (side * side)
    z = np.empty(N, membrane.dtype)
    for b in range(first, last):
        for top in range(0, H, rows):
            for step in range(T):
                for row in range(top, min(top + rows, H)):
                    _step(membrane[step, b, row], z, v[b, row], neuron)
                    if row // side < pooled_rows:
                        _add_pooled(z, spikes[step, b, row // side], squares, share, row % side == 0)


@njit(inline="always")
def _rows_of_block(N: int, side: int) -> int:
    """Return the number of rows of N neurons to compute together: complete squares, about BLOCK neurons."""
    return side * max(1, BLOCK // (N * side))


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _add_pooled(z: NDArray[Any], pooled: NDArray[Any], squares: _Squares, share: Any, first: bool) -> None:
    """Add a row of spikes to a row of pooled means."""
    side, C = squares.side, squares.channels
    if first:
        pooled[:] = 0
    for place in range(pooled.size // C):
        into = pooled[place * C : (place + 1) * C]
        for column in range(place * side, (place + 1) * side):
            own = z[column * C : (column + 1) * C]
            for c in range(C):
                into[c] += share * own[c]


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
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        carried = to_v[start:stop]
        for step in range(membrane.shape[0] - 1, -1, -1):
            h, to_z, to_i = membrane[step, start:stop], to_spikes[step, start:stop], to_currents[step, start:stop]
            _step_back(h, to_z, to_i, carried, neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _step_back(h: NDArray[Any], to_z: NDArray[Any], to_i: NDArray[Any], carried: NDArray[Any], neuron: _Neuron) -> None:
    factor = neuron.factor
    one, zero, half_pi = type(factor)(1), type(factor)(0), type(factor)(np.pi / 2)
    keep, into = one - factor, factor * neuron.gain
    for n in range(h.size):
        distance = h[n] - neuron.threshold
        quiet = zero if distance > zero else one
        surrogate = _surrogate_gradient(neuron, distance, one, zero, half_pi)
        into_reset = neuron.into_reset * surrogate
        reset = one - neuron.drop * into_reset if neuron.subtract else quiet + (neuron.reset - h[n]) * into_reset
        to_h = to_z[n] * surrogate + carried[n] * reset
        to_i[n] = into * to_h
        carried[n] = keep * to_h


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _backward_pooled(
    membrane: NDArray[Any],
    to_spikes: NDArray[Any],
    to_currents: NDArray[Any],
    to_v: NDArray[Any],
    neuron: _Neuron,
    squares: _Squares,
    first: int,
    last: int,
) -> None:
    T, _, H, N = membrane.shape
    side = squares.side
    rows, pooled_rows, share = _rows_of_block(N, side), to_spikes.shape[2], type(neuron.factor)(1) / (side * side)
    to_z = np.zeros(N, membrane.dtype)  # columns outside the squares stay 0
    for b in range(first, last):
        for top in range(0, H, rows):
            for step in range(T - 1, -1, -1):
                for row in range(top, min(top + rows, H)):
                    if row // side >= pooled_rows:
                        to_z[:] = 0
                    elif row % side == 0:
                        _spread(to_spikes[step, b, row // side], to_z, squares, share)
                    _step_back(membrane[step, b, row], to_z, to_currents[step, b, row], to_v[b, row], neuron)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _spread(to_pooled: NDArray[Any], to_z: NDArray[Any], squares: _Squares, share: Any) -> None:
    """Write the gradients of a row of spikes from the gradients of their pooled means."""
    side, C = squares.side, squares.channels
    for place in range(to_pooled.size // C):
        own = to_pooled[place * C : (place + 1) * C]
        for column in range(place * side, (place + 1) * side):
            into = to_z[column * C : (column + 1) * C]
            for c in range(C):
                into[c] = share * own[c]
