"""What `dvspipe view --neuron` does."""

from __future__ import annotations

import itertools
from pathlib import Path

from ..errors import ConfigError, FileError
from .screen import screen

STEP_MS = 1.0
TAUS_MS = (5.0, 10.0, 20.0)
WEIGHTS = (2.0, 4.0)
SPIKES_MS = (5.0, 10.0, 15.0, 20.0, 40.0, 42.0, 44.0, 46.0, 48.0, 70.0, 85.0)
MOST_PANELS = 24
TAIL = 2.0  # largest time constants that are drawn behind the last spike


def view_neuron(
    out: Path, taus_ms: list[float] | None, weights: list[float] | None, spikes: str | None, *, overwrite: bool
) -> None:
    """Draws the responses of LIF neurons to a spike train.

    Args:
        out: A .png.
        taus_ms: Membrane time constants in ms.
        weights: Input current of a spike, in thresholds.
        spikes: Times in ms, separated by commas.
        overwrite: Whether the file may be replaced.
    """
    from ..files import claim_output
    from ..networks import neuron_response
    from ..report import draw_neurons

    if out.suffix.lower() != ".png":
        raise FileError(f"{out}: cannot draw neurons as {out.suffix or 'a file without suffix'}; use .png")
    claim_output(out, overwrite=overwrite)
    taus_ms, weights = (
        list(dict.fromkeys(given or default)) for given, default in ((taus_ms, TAUS_MS), (weights, WEIGHTS))
    )
    times_ms = SPIKES_MS if spikes is None else _times(spikes)
    if len(taus_ms) * len(weights) > MOST_PANELS:
        raise ConfigError(
            f"{len(taus_ms)} --tau-ms for {len(weights)} --weight: a picture shows at most {MOST_PANELS} neurons"
        )
    duration_ms = max(times_ms) + max(STEP_MS, TAIL * max(taus_ms))
    responses = [
        neuron_response(
            [time / 1000 for time in times_ms], tau_s=tau / 1000, weight=weight, dt=STEP_MS / 1000,
            duration_s=duration_ms / 1000,
        )
        for weight, tau in itertools.product(weights, taus_ms)
    ]  # fmt: skip
    draw_neurons(responses, out)
    for one in responses:
        screen.print(
            f"tau {1000 * one.tau_s:g} ms, weight {one.weight:g}: {one.fired.sum()} spikes for {one.arrived.sum()}, "
            + (
                f"the first at {STEP_MS * (one.fired.argmax() + 1):g} ms"
                if one.fired.any()
                else f"v <= {one.membrane.max():.3g}"
            )
        )
    screen.print(f"{out}: steps of {STEP_MS:g} ms")


def _times(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--spikes {text!r}: expected times in ms, such as 5,10,12.5") from None
