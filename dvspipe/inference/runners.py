"""Networks in integers, as inference runs them; networks in PyTorch are in `torch_runner`, which imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.checkpoint import Arrays, ClassifierConfig
from ..checkpoints.integer import IntegerClassifier, IntegerConfig
from ..networks.integer import IntegerNetwork
from ..networks.integer_kernel import IntegerKernel, KernelRun, KernelState
from ..results import LayerActivity
from .windows import WindowSpikes

ActivitySummary = Callable[[], tuple[LayerActivity, ...]]
"""Function that returns the activity of the layers so far."""


class IntegerRunner:
    """Runner of a network in integers."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network
        self._kernel = IntegerKernel(network)
        self._steps = 0
        self._spikes = np.zeros((len(network.layers) + 1, 2), np.int64)  # arrived and fired, per layer

    def classify(self, spikes: WindowSpikes) -> NDArray[np.float32]:
        """Return the logits [B, K] of windows [T, B, C, H, W]: the scores in units of the readout, divided by T."""
        T = len(spikes)
        windows = spikes.swapaxes(0, 1)
        scores = [self._run(window, None).integrators.sum(axis=0, dtype=np.int64) for window in windows]
        return (self.network.readout.unit * np.stack(scores) / T).astype(np.float32)

    def run(self, spikes: WindowSpikes, state: object, *, copies: int = 1) -> tuple[NDArray[np.float32], object]:  # noqa: ARG002
        """Return the outputs [T, K] and the next state for steps [T, C, H, W]; equal copies change nothing here."""
        result = self._run(spikes, cast("KernelState | None", state))
        return (self.network.readout.unit * result.integrators).astype(np.float32), result.state

    def _run(self, spikes: WindowSpikes, state: KernelState | None) -> KernelRun:
        result = self._kernel.run(cast("NDArray[np.uint8]", spikes), state)
        self._steps += len(spikes)

        # The readout receives the features, and does not spike.
        self._spikes += [*result.spikes, (result.features, 0)]
        return result

    def one_thread(self) -> AbstractContextManager[None]:
        """Change nothing: integers run in one thread."""
        return nullcontext()

    @contextmanager
    def count_activity(self) -> Iterator[ActivitySummary]:
        """Count the activity of all steps inside the block."""
        self._steps = 0
        self._spikes[:] = 0
        yield self._summarize

    def _summarize(self) -> tuple[LayerActivity, ...]:
        # Neurons and inputs per neuron of each layer; the readout is a linear layer.
        network = self.network
        activities = []
        sizes = [
            (int(np.prod(layer.membrane_shape(shape))), layer.weight[0].size)
            for layer, shape in zip(network.layers, network.shapes, strict=False)
        ]
        sizes.append(network.readout.weight.shape)

        for number, (shape, (neurons, fan_in)) in enumerate(zip(network.shapes, sizes, strict=True)):
            arrived, fired = self._spikes[number].tolist()
            is_readout = number == len(network.layers)
            activities.append(
                LayerActivity(
                    name="readout" if is_readout else f"lif{number + 1}",
                    neurons=neurons,
                    connections=neurons * fan_in,
                    fan_out=neurons * fan_in / int(np.prod(shape)),
                    steps=self._steps,
                    spikes_in=float(arrived),
                    rate=None if is_readout else fired / neurons / max(1, self._steps),
                    multiplies=False,
                )
            )

        return tuple(activities)

    def describe(self, config: ClassifierConfig) -> tuple[IntegerConfig, Arrays]:
        """Return the configuration and the arrays of the file."""
        return IntegerClassifier(config, self.network).describe()
