"""Export a classifier of integers as C99 code for microcontrollers: no allocation, no floating point.

The code is written from the templates in `dvspipe/integers/templates`, which contain the loops; this module gives them
the arrays and sizes, and a golden recording with its scores, with which the compiled code is checked.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, FileError
from ..base.files import claim_output, write_beside
from ..base.gestures import OTHER
from ..inference.stateful import live_hop
from .classifier import IntegerClassifier
from .network import IntegerLayer, IntegerNetwork, run

C_FILES = (
    "dvspipe_network.h",
    "dvspipe_network.c",
    "dvspipe_golden.h",
    "check.c",
    "main.c",
    "dvspipe_live.h",
    "dvspipe_live.c",
    "live.c",
)
GOLDEN_SHARES = (0.02, 0.5)  # active pixels in the first and the last step of the golden recording
GOLDEN_COUNTS = 4  # largest count in it


@dataclass(frozen=True)
class CLayer:
    """Values of a spiking layer in the template.

    Args:
        number: Number of the layer, from 1.
        shape: Shape C, H, W of its input.
        neurons: Shape M, H, W of its neurons.
        layer: The layer.
    """

    number: int
    shape: tuple[int, int, int]
    neurons: tuple[int, int, int]
    layer: IntegerLayer

    @property
    def weight(self) -> NDArray[np.int8]:
        """Weights with the output channels last, [h, w, C, M]."""
        return self.layer.weight.transpose(2, 3, 1, 0)

    @property
    def outputs(self) -> int:
        """Number of pooled outputs."""
        return int(np.prod(self.layer.output_shape(self.shape)))

    @property
    def row_neurons(self) -> int:
        """Number of neurons in a row of all output channels."""
        channels, _, width = self.neurons
        return channels * width


def export_c(classifier: str | os.PathLike[str], folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write a classifier of integers as C99 code that computes exactly the same scores.

    `dvspipe_network.c` and `.h` are the network: `dvspipe_reset` and `dvspipe_step`, static state, the headers stdint
    and string only. `check.c` runs the golden recording of `dvspipe_golden.h` and compares all scores. `main.c`
    classifies a recording in the 40-bit format of N-MNIST or in EVT 2.0 from standard input.

    `dvspipe_live.c` and `.h` are a live stream: events in, and the actions of `dvspipe live` out. `live.c` prints the
    actions of a recording from standard input.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    compiled = IntegerClassifier.load(classifier)
    config = compiled.config
    bins = compiled.bins
    network = compiled.network

    if bins.by != "time":
        raise ConfigError(f"{classifier}: by = {bins.by} cannot be exported to C (expected time); use by=time")

    # Claim all files before any work: an existing one is an error.
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file (expected an output folder)")

    for name in C_FILES:
        claim_output(folder / name, overwrite=overwrite)

    # The templates are C, not HTML: nothing is escaped.
    environment = Environment(
        loader=PackageLoader("dvspipe.integers"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(numbers=list_numbers, text=quote_text)

    # The golden recording and its scores let the user's compiler and chip prove that they compute the same.
    golden = draw_golden(network, bins.steps, min(bins.max_count, GOLDEN_COUNTS))
    layers = _list_layers(network)

    values = {
        "config": config,
        "bins": bins,
        "network": network,
        "layers": layers,
        "synaptic": any(layer.has_current for layer in network.layers),
        "buffer": max((layer.outputs for layer in layers), default=0),
        "row": max((layer.row_neurons for layer in layers), default=0),
        "inputs": int(np.prod(network.shape)),
        "hop": live_hop(bins),
        "temperature": float(config.temperature),
        "other": config.classes.index(OTHER) if OTHER in config.classes else -1,
        "golden": golden,
        "scores": run(network, golden),
    }

    # All files or, on a full disk, none.
    with ExitStack() as stack:
        for name in C_FILES:
            beside = stack.enter_context(write_beside(folder / name))
            beside.write_text(environment.get_template(f"{name}.jinja").render(**values), encoding="utf-8")

    return tuple(folder / name for name in C_FILES)


def draw_golden(network: IntegerNetwork, steps: int, largest: int) -> NDArray[np.uint8]:
    """Draw a random recording with counts of at most `largest` for comparisons, uint8 [T, C, H, W].

    Its steps are sparse first and dense later.
    """
    rng = np.random.default_rng(0)
    shares = np.linspace(*GOLDEN_SHARES, steps)[:, None, None, None]
    active = rng.random((steps, *network.shape)) < shares
    return (active * rng.integers(1, largest + 1, active.shape)).astype(np.uint8)


def _list_layers(network: IntegerNetwork) -> list[CLayer]:
    return [
        CLayer(number, shape, layer.membrane_shape(shape), layer)
        for number, (layer, shape) in enumerate(zip(network.layers, network.shapes, strict=False), start=1)
    ]


def list_numbers(array: NDArray[np.generic]) -> str:
    """Format all numbers of an array as lines of a C initialiser.

    Example:
        >>> list_numbers(np.array([[1, -2], [3, 4]], np.int8))
        '    1,-2,3,4'
    """
    numbers = ", ".join(map(str, array.reshape(-1).tolist()))
    return textwrap.fill(numbers, 110, initial_indent="    ", subsequent_indent="    ").replace(", ", ",")


def quote_text(text: str) -> str:
    r"""Format a text as a C string literal of ASCII characters; other bytes are octal escapes.

    Example:
        >>> print(quote_text('hände'))
        "h\303\244nde"
    """
    return '"' + "".join(_escape(text.encode("utf-8", errors="backslashreplace"))) + '"'


def _escape(content: bytes) -> Iterable[str]:
    for byte in content:
        if chr(byte) in '"\\?':  # `??` starts a trigraph
            yield "\\" + chr(byte)
        else:
            yield chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
