"""Command `quantise`: compile a trained network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .infer import CheckpointName
from .options import Overwrite, read_config
from .screen import make_table, screen
from .training import PartOption, show_training

if TYPE_CHECKING:
    from ..training.quantisation import Quantisation


def quantise(
    checkpoint: CheckpointName,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Output file, .safetensors.")],
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="Data set, as for eval: a folder of recordings, a YAML file, or a shipped configuration; default: the "
            "data set of the run.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings that override CONFIG, such as data.root=DIR."),
    ] = None,
    part: PartOption = "test",
    overwrite: Overwrite = False,
) -> None:
    """Compile a trained network to 8-bit integers, and compare it with the original on recordings."""
    from ..config import build
    from ..files import claim_output, require_suffix
    from ..results import RunFolder

    require_suffix(out, ".safetensors", "a network in integers")
    claim_output(out, overwrite=overwrite)
    run = RunFolder(Path(checkpoint)).config
    if config is None and not run.is_file():
        raise ConfigError(f"{checkpoint}: not a run folder, so it has no data set (expected CONFIG after it)")
    source = config or str(run)
    merged = read_config(source, settings)
    from ..training import TrainConfig
    from ..training.quantisation import quantise as quantise_checkpoint

    experiment = build(TrainConfig, merged, source)
    with show_training() as callback:
        done = quantise_checkpoint(checkpoint, experiment.data, part, seed=experiment.seed, callback=callback)
        done.classifier.save(out, overwrite=overwrite)
    _print_comparison(out, done)


def _print_comparison(out: Path, done: Quantisation) -> None:
    network, layers = done.classifier.network, done.layers
    numbers = ("weights", "state", "changed spikes", "saturated", "additions per step", "of dense")
    table = make_table("layer", *numbers, right=numbers)
    for layer in layers:
        table.add_row(
            layer.name,
            f"{layer.weight_bytes:,} B",
            f"{layer.state_bytes:,} B",
            "" if layer.changed is None else f"{layer.changed:.2%}",
            "" if layer.changed is None else f"{layer.saturated:,}",
            f"{layer.operations:,.0f}",
            f"{layer.operations / layer.dense:.1%}",
        )
    screen.print(table)
    screen.print(
        f"layers were measured on {done.detailed} of {done.calibrated_on} recordings of the calibration; changed "
        "spikes: by the integers of this layer alone"
    )
    lossy = max((layer for layer in layers if layer.changed is not None), key=lambda layer: layer.changed or 0.0)
    screen.print(f"most spikes change in {lossy.name}: {lossy.changed:.2%}")
    screen.print(
        f"accuracy {done.before / done.recordings:.2%} before ({done.before} of {done.recordings}), "
        f"{done.after / done.recordings:.2%} in integers ({done.after}); {done.equal} predictions are equal: "
        f"{done.data}"
    )
    screen.print(
        f"{out}: {network.parameter_bytes:,} bytes of weights, {network.state_bytes:,} bytes of state, "
        f"{sum(layer.operations for layer in layers):,.0f} additions per step"
    )
