"""Convolution of sparse spikes, compared with torch's dense convolution."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from dvspipe.networks import NetworkConfig, build_network, run_network, sparse
from dvspipe.networks.sparse import MAX_DENSITY, convolve

Shape = tuple[int, int, int, int]
SHAPES: list[tuple[Shape, int, int, int]] = [
    ((5, 8, 7, 12), 16, 3, 1),
    ((2, 9, 12, 7), 32, 5, 0),
    ((3, 16, 7, 5), 64, 3, 2),
    ((2, 64, 3, 4), 96, 3, 1),
    ((4, 8, 4, 3), 128, 1, 0),
]
"""Images [N, C, H, W], output channels, kernel and padding."""


def draw_images(shape: Shape, density: float) -> Tensor:
    """Images with a share of values that are not 0, channels last in memory."""
    images = torch.where(torch.rand(shape) < density, torch.rand(shape) + 0.5, torch.zeros(()))
    return images.contiguous(memory_format=torch.channels_last).requires_grad_()


class SpikeConvolution(nn.Conv2d):
    """Convolution that lists spikes."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self, x, self.weight, self.bias)


def is_sparse(currents: Tensor) -> bool:
    return type(currents.grad_fn).__name__ == "_SparseConvolutionBackward"


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("shape", "channels", "kernel", "padding"), SHAPES)
@pytest.mark.parametrize(("threads", "density"), [(1, 0.1), (3, 0.1), (1, 0.0)])
def test_sparse_convolution_and_its_gradients_equal_torchs(
    shape: Shape, channels: int, kernel: int, padding: int, bias: bool, threads: int, density: float
) -> None:
    torch.manual_seed(0)
    layer = SpikeConvolution(shape[1], channels, kernel, padding=padding, bias=bias)
    images = draw_images(shape, density)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        currents = layer(images)
        assert is_sparse(currents)
        assert currents.is_contiguous(memory_format=torch.channels_last)
        to_currents = torch.randn(currents.shape)  # another layout than the currents
        found = torch.autograd.grad(currents, [images, *layer.parameters()], to_currents)
    finally:
        torch.set_num_threads(before)
    dense = nn.functional.conv2d(images, layer.weight, layer.bias, padding=padding)
    expected = torch.autograd.grad(dense, [images, *layer.parameters()], to_currents)
    torch.testing.assert_close(currents, dense)
    for gradient, reference in zip(found, expected, strict=True):
        assert gradient.shape == reference.shape
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-5)


def test_other_inputs_use_the_dense_convolution() -> None:
    torch.manual_seed(0)
    layer, images = SpikeConvolution(8, 16, 3), draw_images((2, 8, 7, 12), 0.1)
    assert is_sparse(layer(images))
    assert not is_sparse(layer(draw_images((2, 8, 7, 12), MAX_DENSITY + 0.3)))
    assert not is_sparse(SpikeConvolution(2, 16, 3)(draw_images((2, 2, 7, 12), 0.1)))
    assert not is_sparse(SpikeConvolution(8, 17, 3)(images))
    assert not is_sparse(layer.double()(images.double()))
    assert not is_sparse(SpikeConvolution(8, 16, 3, stride=2)(images))
    with torch.no_grad():
        assert not is_sparse(layer.float()(images))


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_network_has_the_same_gradients_with_sparse_convolutions(
    norm: Literal["batch", "weight"], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    settings = NetworkConfig(channels=(16, 16, 32), kernel=3, tau_mem_s=2e-3, norm=norm)
    network = build_network(settings, (2, 7, 12), classes=3, dt=1e-3)
    spikes = (torch.rand(9, 2, 2, 7, 12) < 0.2).to(torch.uint8)
    results = []
    for density in (1.0, -1.0):
        monkeypatch.setattr(sparse, "MAX_DENSITY", density)
        network.zero_grad()
        outputs, _ = run_network(network, spikes)
        outputs.square().mean().backward()
        results.append((outputs, [weight.grad for weight in network.parameters()]))
    (found, gradients), (expected, references) = results
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, references, rtol=1e-4, atol=1e-6)
