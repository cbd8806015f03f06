"""Write the NIR files beside this script, with the libraries that are installed.

Each file is exported by its library, and has the outputs of the library's own network for `draw_inputs` as metadata.
The settings are those that NIR can describe: a reset to 0 at once, and parameters with the shape of the layer.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

STEPS = 20
FOLDER = Path(__file__).parent


def draw_inputs() -> NDArray[np.uint8]:
    """Draw the counts of three recordings, uint8 [T, B, 2, 7, 12]."""
    return np.random.default_rng(0).poisson(0.3, (STEPS, 3, 2, 7, 12)).astype(np.uint8)


def convolutions(neurons: Callable[..., nn.Module], kind: Any = nn) -> list[nn.Module]:
    """Make the layers of a network with random weights; `neurons` takes the shape of a layer."""
    convolution = kind.Conv2d(2, 3, 3, padding=1)
    linear = kind.Linear(3 * 3 * 6, 4)
    nn.init.normal_(convolution.weight, 0.2, 0.3)
    nn.init.normal_(linear.weight, 0.1, 0.6)
    return [convolution, neurons(3, 7, 12), kind.AvgPool2d((2, 2), (2, 2)), kind.Flatten(), linear, neurons(4)]


def flat_layers(neurons: Callable[..., nn.Module], last: nn.Module) -> list[nn.Module]:
    """Make the layers of a network without convolutions."""
    first = nn.Linear(2 * 7 * 12, 6)
    second = nn.Linear(6, 4)
    nn.init.normal_(first.weight, 0.01, 0.15)
    nn.init.normal_(second.weight, 0.2, 0.6)
    return [first, neurons(6), second, last]


def run_steps(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Run a network that keeps its state, step by step; its output may be a tuple that begins with the spikes."""
    outputs = [network(x) for x in inputs]
    return torch.stack([output[0] if isinstance(output, tuple) else output for output in outputs])


def write_snntorch(inputs: torch.Tensor, *, synaptic: bool) -> tuple[Any, torch.Tensor]:
    """Return the graph and the outputs of a network of `Leaky` or of `Synaptic` neurons."""
    import snntorch
    from snntorch.export_nir import export_to_nir

    def neurons(*shape: int, last: bool = False) -> nn.Module:
        values = {"beta": torch.full(shape, 0.8), "threshold": torch.full(shape, 0.7 if synaptic else 1.4)}
        if synaptic:
            return snntorch.Synaptic(
                alpha=torch.full(shape, 0.5),
                **values,
                init_hidden=True,
                output=last,
                reset_mechanism="zero",
                reset_delay=False,
            )
        return snntorch.Leaky(**values, init_hidden=True, output=last, reset_mechanism="zero", reset_delay=False)

    if synaptic:
        network = nn.Sequential(nn.Flatten(), *flat_layers(neurons, neurons(4, last=True)))
    else:
        *layers, _ = convolutions(neurons)
        network = nn.Sequential(*layers, neurons(4, last=True))

    graph = export_to_nir(network, inputs[0, :1], ignore_dims=[0])
    for module in network:
        if hasattr(module, "reset_mem"):
            module.reset_mem()
    return graph, run_steps(network, inputs)


def write_norse(inputs: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Return the graph and the outputs of a network of `LIFBoxCell` with an `LIBoxCell` as its readout."""
    import norse.torch as norse

    def neurons(*shape: int) -> nn.Module:
        rates = torch.full(shape, 200.0)
        return norse.LIFBoxCell(
            norse.LIFBoxParameters(tau_mem_inv=rates, v_th=torch.full(shape, 0.3), v_leak=torch.zeros(shape))
        )

    readout = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=torch.full((4,), 100.0), v_leak=torch.zeros(4)))
    network = norse.SequentialState(*flat_layers(neurons, readout))
    flat = inputs.flatten(2)
    graph = norse.to_nir(network, flat[0, :1])

    outputs = []
    state = None
    for x in flat:
        output, state = network(x, state)
        outputs.append(output)
    return graph, torch.stack(outputs)


def write_spikingjelly(inputs: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Return the graph and the outputs of a network of `LIFNode`."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    network = nn.Sequential(*convolutions(lambda *shape: neuron.LIFNode(tau=2.5, decay_input=len(shape) > 1), layer))
    graph = export_to_nir(network, inputs[0, :1])
    functional.reset_net(network)
    return graph, run_steps(network, inputs)


WRITERS: dict[str, tuple[str, Callable[[torch.Tensor], tuple[Any, torch.Tensor]]]] = {
    "snntorch": ("snntorch", lambda inputs: write_snntorch(inputs, synaptic=False)),
    "snntorch-synaptic": ("snntorch", lambda inputs: write_snntorch(inputs, synaptic=True)),
    "norse": ("norse", write_norse),
    "spikingjelly": ("spikingjelly", write_spikingjelly),
}


def main() -> None:
    """Write all files."""
    import nir

    for name, (library, write) in WRITERS.items():
        torch.manual_seed(0)
        graph, outputs = write(torch.from_numpy(draw_inputs()).float())
        print(name, f"{outputs.mean():.3f}")
        graph.metadata = {
            "written_by": f"{library} {version(library)}",
            "outputs": outputs.detach().numpy().astype(np.float32),
        }

        content = io.BytesIO()
        nir.write(content, graph)
        (FOLDER / f"{name}.nir.gz").write_bytes(gzip.compress(content.getvalue(), mtime=0))


if __name__ == "__main__":
    main()
