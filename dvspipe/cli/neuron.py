"""Command `neuron`: draw the response of LIF neurons to a spike train."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..base.errors import ConfigError, count_noun
from ..base.files import claim_output, require_suffix
from .options import Overwrite
from .screen import screen

if TYPE_CHECKING:
    from ..networks import NeuronResponse

STEP_MS = 1.0
TAUS_MS = (5.0, 10.0, 20.0)
INPUT_WEIGHTS = (2.0, 4.0)
SPIKES_MS = (5.0, 10.0, 15.0, 20.0, 40.0, 42.0, 44.0, 46.0, 48.0, 70.0, 85.0)
MAX_PANELS = 24
TAIL = 2.0  # time drawn after the last spike, in units of the largest time constant


def neuron(
    *,
    out: Annotated[Path, Parameter(alias="-o", help="PNG file to write.")],
    tau_ms: Annotated[
        list[float] | None, Parameter(help="Membrane time constant; default: 5, 10 and 20. Repeatable.")
    ] = None,
    weight: Annotated[
        list[float] | None,
        Parameter(help="Input current of a spike in units of the threshold; default: 2 and 4. Repeatable."),
    ] = None,
    spikes_ms: Annotated[
        str | None, Parameter(metavar="MS,MS,...", help="Times of input spikes; default: 11 spikes from 5 to 85 ms.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the response of LIF neurons to a spike train, compared with the closed form."""
    require_suffix(out, "a picture of neurons", ".png")
    claim_output(out, overwrite=overwrite)

    from ..networks import neuron_response
    from ..report import draw_neurons

    taus_ms = list(dict.fromkeys(tau_ms or TAUS_MS))
    weights = list(dict.fromkeys(weight or INPUT_WEIGHTS))
    times_ms = SPIKES_MS if spikes_ms is None else _parse_times(spikes_ms)
    if len(taus_ms) * len(weights) > MAX_PANELS:
        raise ConfigError(
            f"{len(taus_ms)} time constants x {len(weights)} weights: expected at most {MAX_PANELS} neurons"
        )

    duration_ms = max(times_ms) + max(STEP_MS, TAIL * max(taus_ms))
    responses = [
        neuron_response(
            [time / 1000 for time in times_ms],
            tau_s=one_tau_ms / 1000,
            weight=current,
            dt=STEP_MS / 1000,
            duration_s=duration_ms / 1000,
        )
        for current, one_tau_ms in itertools.product(weights, taus_ms)
    ]

    draw_neurons(responses, out)
    for response in responses:
        screen.print(_describe(response))
    screen.print(f"{out}: steps of {STEP_MS:g} ms")


def _describe(response: NeuronResponse) -> str:
    counts = f"{count_noun(int(response.fired.sum()), 'spike')} for {response.arrived.sum()}"
    first = f"the first at {STEP_MS * (response.fired.argmax() + 1):g} ms"
    result = first if response.fired.any() else f"v <= {response.membrane.max():.3g}"

    return f"tau {1000 * response.tau_s:g} ms, weight {response.weight:g}: {counts}, {result}"


def _parse_times(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--spikes-ms {text!r}: expected times in ms, such as 5,10,12.5") from None
