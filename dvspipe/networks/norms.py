"""Moments of batch-norm inputs, per recording and averaged per class.

`measure_norms` measures the mean and the log variance of the inputs of each batch norm for a recording. `ClassMoments`
stores their averages per class with a trained network, so an adaptation can tell what a mixture of classes would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..base.errors import Brief
from .models import Convolution

FEATURES = "features"  # name of the stored tensor
BatchNorm = nn.modules.batchnorm._BatchNorm


PIECE_STEPS = 64  # steps computed together in evaluation; bounds the memory for any T


def run_in_pieces(network: nn.Module, spikes: Tensor, steps: int = PIECE_STEPS) -> Tensor:
    """Return the outputs [T, B, K] of a network for spikes [T, B, C, H, W], computed in pieces of `steps`."""
    state = None
    outputs = []
    for piece in spikes.split(steps):
        output, state = network(piece, state)
        outputs.append(output)
    return torch.cat(outputs)


def find_norms(network: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of a network in the order of execution."""
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


@contextmanager
def apply_norms(network: nn.Module) -> Iterator[list[BatchNorm]]:
    """Set a network to evaluation mode with unfolded batch norms inside the block; yield the norms.

    Outside the block, evaluation folds the norms into the convolutions.
    """
    norms = find_norms(network)

    # A convolution folds its norm unless it is in training; the norm itself stays in evaluation mode.
    network.eval()
    for module in network.modules():
        if isinstance(module, Convolution):
            module.training = True

    try:
        yield norms
    finally:
        network.eval()


@contextmanager
def freeze_statistics(network: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of all batch norms inside the block, also in training mode."""
    norms = [norm for norm in find_norms(network) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False

    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def measure_norms(network: nn.Module, spikes: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return logits, and the moments of each batch norm's input over the steps and pixels of a recording.

    Args:
        network: Network; it is left in evaluation mode.
        spikes: Spike tensor [T, B, C, H, W].

    Returns:
        Logits, float32 [B, K]; and for each norm in the order of execution, mean and log(variance + eps), float64
        [B, 2, channels].
    """
    T, B = spikes.shape[:2]
    sums: dict[BatchNorm, Tensor] = {}

    def measure(norm: BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        # Pieces may differ in length, so each counts by its share of the steps.
        (images,) = inputs
        values = images.unflatten(0, (-1, B)).flatten(3)  # [steps, B, channels, pixels]
        mean = values.mean((0, 3))
        square = values.square().mean((0, 3))
        moments = torch.stack([mean, square], dim=1).double().cpu()
        sums[norm] = sums.get(norm, torch.zeros_like(moments)) + moments * (len(values) / T)

    with ExitStack() as stack:
        norms = stack.enter_context(apply_norms(network))
        stack.enter_context(torch.no_grad())
        for norm in norms:
            stack.enter_context(norm.register_forward_pre_hook(measure))
        outputs = run_in_pieces(network, spikes)

    measured = []
    for norm in norms:
        mean, square = sums[norm].unbind(1)
        variance = (square - mean**2).clamp(min=0)
        measured.append(torch.stack([mean, (variance + norm.eps).log()], dim=1))

    return outputs.mean(0).float().cpu(), measured


@dataclass(frozen=True, eq=False, repr=False)
class ClassMoments(Brief):
    """Per-class averages of batch-norm moments and of features.

    They predict the moments of any mixture of classes on the training sensor.

    Args:
        norms: For each norm, mean and log variance [K, 2, channels]; see `measure_norms`.
        features: Mean of `rules.read_features` per class, [K, F + 1]; None if unknown.
    """

    norms: tuple[Tensor, ...]
    features: Tensor | None = None

    @classmethod
    def average(
        cls,
        measured: Sequence[Sequence[Tensor]],
        labels: Sequence[int],
        classes: int,
        features: Tensor | None = None,
    ) -> ClassMoments:
        """Average over the recordings of each class; a class without recordings gets the mean of all recordings.

        Args:
            measured: Results of `measure_norms`, one per batch.
            labels: Labels of all recordings, in the same order.
            classes: Number of classes K.
            features: Features of all recordings, [N, F + 1].

        Example:
            >>> moments = ClassMoments.average([[torch.tensor([[[1.0], [2.0]], [[3.0], [10.0]]])]], [0, 1], 3)
            >>> moments.norms[0][:, 0, 0].tolist()
            [1.0, 3.0, 2.0]
        """
        chosen = nn.functional.one_hot(torch.tensor(labels), classes).double().T
        chosen[chosen.sum(1) == 0] = 1.0  # a class without recordings
        shares = chosen / chosen.sum(1, keepdim=True)
        norms = tuple(mix_moments(shares, torch.cat(norm)) for norm in zip(*measured, strict=True))
        return cls(norms, None if features is None else shares @ features)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ClassMoments:
        """Restore the moments from the tensors of `to_tensors`."""
        features = tensors.get(FEATURES)
        count = len(tensors) if features is None else len(tensors) - 1
        norms = tuple(tensors[str(number)].double() for number in range(count))
        return cls(norms, None if features is None else features.double())

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the moments as named tensors."""
        norms = {str(number): norm.float() for number, norm in enumerate(self.norms)}
        return norms if self.features is None else norms | {FEATURES: self.features.float()}

    def fits(self, network: nn.Module, classes: int) -> bool:
        """Return whether the moments are finite and match the norms of a network and the number of classes."""
        expected: list[tuple[int, ...]] = [(classes, 2, norm.num_features) for norm in find_norms(network)]
        tensors = [*self.norms]
        if self.features is not None:
            linear = next(layer for layer in reversed(list(network.modules())) if isinstance(layer, nn.Linear))
            expected.append((classes, linear.in_features + 1))
            tensors.append(self.features)

        if [tuple(tensor.shape) for tensor in tensors] != expected:
            return False
        return all(bool(tensor.isfinite().all()) for tensor in tensors)


def mix_moments(shares: Tensor, moments: Tensor) -> Tensor:
    """Average moments [N, 2, channels] with weights [M, N]; return [M, 2, channels]."""
    return torch.einsum("mn,nsc->msc", shares, moments.double())
