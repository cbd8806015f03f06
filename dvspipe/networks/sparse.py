"""Convolution of sparse spikes on the CPU: its cost grows with the number of spikes, not of pixels and channels.

The non-zero values of the input are listed once. Each output adds the weights of the spikes in its neighbourhood; the
gradient of a weight adds the gradients of the outputs that its spikes reach. Both read only the list, which is also all
that the graph keeps of the input. The gradient of the input is dense, so it remains a dense convolution.

In memory, images are [N, H, W, C], and weights are [kernel, kernel, C, K].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..base.kernels import njit
from .scan import run_in_threads

MAX_DENSITY = 0.25  # with more values that are not 0, a dense convolution is faster
MIN_CHANNELS = 8  # with fewer input channels, a dense convolution is faster
OUTPUTS_MULTIPLE = 16  # output channels that fill the vector registers; others are left to dense convolutions
FLAGS = {"contract", "nsz"}

Singles = NDArray[np.float32]
Counts = NDArray[np.int64]


class _Shape(NamedTuple):
    """Shape of a convolution.

    Args:
        channels: Input channels C.
        height: Rows of an input image.
        width: Columns of an input image.
        kernel: Side of the kernels.
        padding: Pixels of zero padding around an input image.
        outputs: Output channels K.
        rows: Rows of an output image.
        columns: Columns of an output image.
    """

    channels: int
    height: int
    width: int
    kernel: int
    padding: int
    outputs: int
    rows: int
    columns: int


class _Spikes(NamedTuple):
    """Non-zero values of images, in the order of memory.

    Args:
        starts: Index of the first value of each pixel, and the end of the image, int32 [N, H * W + 1].
        places: Column * C + channel of each value, int32 [M].
        values: float32 [M].
    """

    starts: NDArray[np.int32]
    places: NDArray[np.int32]
    values: Singles


def convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the currents of a convolution for an input [N, C, H, W], with other weights and bias of the same shapes.

    In training on the CPU, the spikes of a sparse input are listed. The result is torch's, up to the order of sums.
    """
    if torch.is_grad_enabled() and _is_supported(layer, x):
        # Counting costs a pass over the input, but shows whether listing pays off.
        counts = _count(x)
        if counts.sum() <= MAX_DENSITY * x.numel():
            padding = int(layer.padding[0])
            currents: Tensor = _SparseConvolution.apply(x, weight, bias, padding, counts)  # type: ignore[no-untyped-call]
            return currents

    return nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _is_supported(layer: nn.Conv2d, x: Tensor) -> bool:
    side, width = layer.kernel_size
    padding = layer.padding
    return (
        x.device.type == "cpu"
        and layer.weight.dtype == x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and side == width
        and isinstance(padding, tuple)
        and padding[0] == padding[1] < side
        and layer.in_channels >= MIN_CHANNELS
        and layer.out_channels % OUTPUTS_MULTIPLE == 0
    )


class _SparseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, counts: Counts) -> Tensor:
        N, C, H, W = x.shape

        # With a stride of 1, an image grows by 2 * padding - kernel + 1 pixels.
        kernel = weight.shape[-1]
        growth = 2 * padding - kernel + 1
        shape = _Shape(
            channels=C,
            height=H,
            width=W,
            kernel=kernel,
            padding=padding,
            outputs=len(weight),
            rows=H + growth,
            columns=W + growth,
        )

        spikes = _list_spikes(x, counts)

        # The outputs k are innermost in weights and currents: the kernel adds rows of K numbers.
        currents = torch.empty((N, len(weight), shape.rows, shape.columns), memory_format=torch.channels_last)
        kernels = _flat(weight.permute(2, 3, 1, 0))
        out = _flat(currents.permute(0, 2, 3, 1))
        offsets = _flat(torch.zeros(len(weight)) if bias is None else bias)

        run_in_threads(N, lambda start, stop: _add_weights(spikes, kernels, offsets, out, shape, start, stop))

        # The graph keeps the list instead of the images, which are mostly zeros.
        ctx.save_for_backward(weight, *map(torch.from_numpy, spikes))
        ctx.shape = shape
        return currents

    @staticmethod
    def backward(ctx: Any, to_currents: Tensor) -> tuple[Tensor | None, ...]:
        weight, starts, places, values = ctx.saved_tensors
        spikes = _Spikes(starts.numpy(), places.numpy(), values.numpy())
        to_currents = to_currents.contiguous(memory_format=torch.channels_last)

        wants_images, wants_weights, wants_bias, *_ = ctx.needs_input_grad
        return (
            _to_images(to_currents, weight, ctx.shape) if wants_images else None,
            _to_weights(to_currents, spikes, ctx.shape) if wants_weights else None,
            to_currents.sum((0, 2, 3)) if wants_bias else None,
            None,
            None,
        )


def _to_images(to_currents: Tensor, weight: Tensor, shape: _Shape) -> Tensor:
    """Return the gradient of the images [N, C, H, W]."""
    size = (len(to_currents), shape.channels, shape.height, shape.width)

    images = torch.empty(size, dtype=to_currents.dtype, memory_format=torch.channels_last)  # read for its layout only
    to_images, _, _ = torch.ops.aten.convolution_backward(
        to_currents,
        images,
        weight,
        bias_sizes=None,
        stride=[1, 1],
        padding=[shape.padding, shape.padding],
        dilation=[1, 1],
        transposed=False,
        output_padding=[0, 0],
        groups=1,
        output_mask=[True, False, False],
    )

    return to_images  # type: ignore[no-any-return]


def _to_weights(to_currents: Tensor, spikes: _Spikes, shape: _Shape) -> Tensor:
    """Return the gradient of the weights [K, C, kernel, kernel]."""
    # Each range of images has its own sums, so no two threads write to the same numbers.
    sums: dict[int, Tensor] = {}
    gradients = _flat(to_currents.permute(0, 2, 3, 1))

    def add(start: int, stop: int) -> None:
        sums[start] = torch.zeros((shape.kernel, shape.kernel, shape.channels, shape.outputs))
        _add_gradients(spikes, gradients, _flat(sums[start]), shape, start, stop)

    run_in_threads(len(to_currents), add)

    # In the order of the images: the sum must not depend on which thread was first.
    total = torch.stack([sums[start] for start in sorted(sums)]).sum(0) if len(sums) > 1 else sums[0]

    return total.permute(3, 2, 0, 1)


def _flat(tensor: Tensor) -> Singles:
    flat: Singles = tensor.detach().contiguous().view(-1).numpy()
    return flat


def _pixels(x: Tensor) -> Singles:
    """View images as float32 [N, H * W, C]."""
    pixels: Singles = x.detach().permute(0, 2, 3, 1).contiguous().flatten(1, 2).numpy()
    return pixels


def _count(x: Tensor) -> Counts:
    """Return the number of non-zero values of each image, int64 [N]."""
    images = _pixels(x).reshape(len(x), -1)
    counts = np.empty(len(images), np.int64)
    _count_values(images, counts)
    return counts


def _list_spikes(x: Tensor, counts: Counts) -> _Spikes:
    """List the non-zero values of images [N, C, H, W] with `counts` of them; each image has one more, unused place."""
    N, _, H, W = x.shape
    pixels = _pixels(x)

    # `_list_values` writes a value before it tests it, so an image needs a place more than it has spikes.
    ends = np.cumsum(counts + 1)
    size = ends[-1]

    starts = np.empty((N, H * W + 1), np.int32)
    starts[:, 0] = ends - counts - 1

    spikes = _Spikes(starts, np.empty(size, np.int32), np.empty(size, np.float32))
    run_in_threads(N, lambda start, stop: _list_values(pixels, W, spikes, start, stop))

    return spikes


@njit(cache=True, nogil=True)
def _count_values(images: Singles, counts: Counts) -> None:
    # counts[n] of images [N, H * W * C]; the values i of an image are tested without a branch.
    for n in range(len(images)):
        image = images[n]
        count = np.int32(0)
        for i in range(image.size):
            count += np.int32(image[i] != 0)

        counts[n] = count


@njit(cache=True, nogil=True)
def _list_values(pixels: Singles, width: int, spikes: _Spikes, first: int, last: int) -> None:
    # starts[n, p] becomes the index in the list of the first spike of pixel p or of a later one; the last
    # element is the end of image n. `places` are x * C + c, within a row of pixels.
    _, size, C = pixels.shape
    for n in range(first, last):
        end = spikes.starts[n, 0]
        for pixel in range(size):
            spikes.starts[n, pixel] = end
            for c in range(C):  # without a branch: the next value overwrites a zero
                value = pixels[n, pixel, c]
                spikes.places[end] = pixel % width * C + c
                spikes.values[end] = value
                end += value != 0
        spikes.starts[n, size] = end


@njit(inline="always")
def _find_reach(place: int, size: int, shape: _Shape) -> tuple[int, int]:
    """Return the first row (or column) of an input with `size` of them that reaches an output place, and the end."""
    return max(0, place - shape.padding), min(size, place - shape.padding + shape.kernel)


@njit(inline="always")
def _find_shift(row: int, x: int, shape: _Shape) -> int:
    """Return what to add to the places of an input row for flat kernel places; `row` is relative to the output row."""
    return ((row + shape.padding) * shape.kernel - (x - shape.padding)) * shape.channels


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _add_weights(
    spikes: _Spikes, weights: Singles, bias: Singles, currents: Singles, shape: _Shape, first: int, last: int
) -> None:
    """Write the currents [N, H', W', K] of images `first` to `last`; `weights` and `currents` are flat.

    A current is the bias plus the sum of the values of the spikes in reach times their weights. Indices are unsigned:
    signed indices cost a test for negative values at each access.
    """
    # For output y, x, k of image n: currents = bias[k] + the sum of value * weights[dy, dx, c, k] over the
    # spikes i in reach. `output` and `kernel` are the flat indices of k = 0.
    K = shape.outputs
    rows = shape.rows
    columns = shape.columns

    for n in range(first, last):
        starts = spikes.starts[n]
        for y in range(rows):
            # The reach ends at the borders: padding has no spikes.
            top, bottom = _find_reach(y, shape.height, shape)
            for x in range(columns):
                left, right = _find_reach(x, shape.width, shape)
                output = ((n * rows + y) * columns + x) * K
                for k in range(K):
                    currents[np.uint64(output + k)] = 0

                for row in range(top, bottom):
                    # Spikes of a row in reach are consecutive in the list.
                    shift = _find_shift(row - y, x, shape)
                    for i in range(starts[row * shape.width + left], starts[row * shape.width + right]):
                        value = spikes.values[i]
                        kernel = (shift + spikes.places[i]) * K
                        for k in range(K):
                            currents[np.uint64(output + k)] += value * weights[np.uint64(kernel + k)]

                for k in range(K):
                    currents[np.uint64(output + k)] += bias[np.uint64(k)]


@njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")
def _add_gradients(
    spikes: _Spikes, to_currents: Singles, to_weights: Singles, shape: _Shape, first: int, last: int
) -> None:
    """Add the weight gradients of images `first` to `last`, from the gradients of the currents; both are flat."""
    # to_weights[dy, dx, c, k] += value * to_currents[n, y, x, k], for the same pairs as in `_add_weights`.
    K = shape.outputs
    rows = shape.rows
    columns = shape.columns

    for n in range(first, last):
        starts = spikes.starts[n]
        for y in range(rows):
            top, bottom = _find_reach(y, shape.height, shape)
            for x in range(columns):
                left, right = _find_reach(x, shape.width, shape)
                output = ((n * rows + y) * columns + x) * K

                for row in range(top, bottom):
                    shift = _find_shift(row - y, x, shape)
                    for i in range(starts[row * shape.width + left], starts[row * shape.width + right]):
                        value = spikes.values[i]
                        kernel = (shift + spikes.places[i]) * K
                        for k in range(K):
                            to_weights[np.uint64(kernel + k)] += value * to_currents[np.uint64(output + k)]
