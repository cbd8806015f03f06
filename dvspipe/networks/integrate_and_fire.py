"""Convolutional layers of neurons that spike at most once, for learning without labels.

Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, "STDP-based spiking deep convolutional neural networks for object
recognition", Neural Networks 99 (2018). Neurons do not leak, so the potential of a neuron is the sum of the weights of
all input spikes until now: the convolution of the summed spikes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..base.errors import DataError
from .inputs import check_tensor

WEIGHT_MEAN = 0.8  # initial weights (Kheradpisheh et al. 2018)
WEIGHT_DEVIATION = 0.05


class IntegrateAndFire(nn.Module):
    """Convolution, neurons without leak that spike at most once, and max pooling.

    The first neuron of a pixel that reaches the threshold spikes, and inhibits the other channels of its pixel. Within
    a step, the largest potential wins. Pooling keeps the first spike of each channel in a square.

    Args:
        before: Input channels C.
        channels: Output channels K.
        kernel: Side of the kernels in pixels.
        threshold: Potential at which a neuron spikes, > 0; None: the output is the largest potential of each square.
        padding: Pixels of zero padding around the input.
        pool: Side of the pooling squares in pixels.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = IntegrateAndFire(2, 3, kernel=3, threshold=4.0, padding=1)
        >>> spikes = layer(torch.ones(5, 1, 2, 4, 6))  # every input spikes in every step
        >>> spikes.shape
        torch.Size([5, 1, 3, 4, 6])
        >>> spikes.sum((2, 3, 4)).flatten().tolist()  # all pixels reach the threshold in the first step
        [24.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self, before: int, channels: int, *, kernel: int, threshold: float | None, padding: int = 0, pool: int = 1
    ) -> None:
        super().__init__()
        drawn = WEIGHT_MEAN + WEIGHT_DEVIATION * torch.randn(channels, before, kernel, kernel)
        self.weight = nn.Parameter(drawn.clamp(0, 1), requires_grad=False)
        self.threshold = threshold
        self.padding = padding
        self.pool = pool

    def extra_repr(self) -> str:
        """Return the sizes and constants of the layer."""
        K, C, side, _ = self.weight.shape
        return f"{C}, {K}, kernel={side}, threshold={self.threshold}, padding={self.padding}, pool={self.pool}"

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the spikes, or the potentials without a threshold, after each step.

        Args:
            spikes: Input of complete recordings [T, B, C, H, W], 0 or more; a value n counts as n spikes.

        Returns:
            Output [T, B, K, H' // pool, W' // pool], with the dtype of the weights.

        Raises:
            DataError: If the channels differ, or no pixel remains.
        """
        K, C, side, _ = self.weight.shape
        check_tensor(self, "spikes", spikes, "T B C H W", {"C": C})
        T, B, _, height, width = spikes.shape
        if min(height, width) + 2 * self.padding - side + 1 < self.pool:
            sizes = f"found {width}x{height}, a kernel of {side} and a pool of {self.pool}"
            raise DataError(f"IntegrateAndFire: images are too small ({sizes})")

        summed = spikes.to(self.weight.dtype).cumsum(0).flatten(0, 1)
        potentials = nn.functional.conv2d(summed, self.weight, padding=self.padding)
        if self.threshold is None:
            pooled: Tensor = nn.functional.max_pool2d(potentials, self.pool).unflatten(0, (T, B))
            return pooled

        # Potentials never fall, so a pixel spikes after all steps in which its largest one is below the threshold.
        potentials = potentials.unflatten(0, (T, B))
        steps = (potentials.amax(2) < self.threshold).sum(0)[:, None]  # [B, 1, H', W'], T if it never spikes
        at_spike = potentials.gather(0, steps.clamp(max=T - 1).expand(B, K, -1, -1)[None])[0]
        winners = at_spike.argmax(1, keepdim=True)

        # The first spike of a square has the smallest time.
        times = torch.full_like(at_spike, T).scatter_(1, winners, steps.to(at_spike))
        first = -nn.functional.max_pool2d(-times, self.pool)
        numbers = torch.arange(T, device=spikes.device).reshape(T, 1, 1, 1, 1)
        first_spikes: Tensor = first == numbers
        return first_spikes.to(self.weight.dtype)
