"""Command `quantise`: compile a trained network to integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from ..base.errors import ConfigError, DataError
from ..base.files import check_output
from ..cli.commands import takes
from ..cli.options import Overrides, read_config
from ..cli.screen import notes, print_parts, progress
from ..cli.training import TrainingScreen
from ..results import CHECKPOINT_SUFFIX, RunFolder
from . import quantisation

if TYPE_CHECKING:
    from ..training import TrainConfig

UNSEEN_SEED = 2000  # rendered people that the included classifiers were not trained on (seed 0)


@takes(quantisation.quantise, without=("data", "tuned", "seed"))
def quantise(
    checkpoint: str,
    data: Annotated[
        str | None,
        Parameter(
            help="Data set, as for evaluate: a folder of recordings, a YAML file, or an included configuration; "
            "default: the data set of the run, or new rendered clips for an included gesture classifier."
        ),
    ] = None,
    settings: Overrides = None,
    *,
    out: Path,
    bits: int = 8,
    overwrite: bool = False,
    epochs: Annotated[
        int,
        Parameter(
            validator=Number(gte=0),
            help="Fine-tune with rounded weights for N epochs first, in the run folder FILE without its suffix; an "
            "interrupted run is resumed; 0: do not fine-tune.",
        ),
    ] = 0,
    **given: Any,
) -> None:
    # Refuse a wrong output before fine-tuning.
    check_output(out, "a network in integers", CHECKPOINT_SUFFIX, overwrite=overwrite)
    source, experiment = find_data(checkpoint, data, settings)

    # Slow imports, after the checks of the options.

    tuned = None
    if data is None and (root := experiment.data.root) is not None and not root.is_dir():
        raise DataError(
            f"{source}: data.root = {root}: no such folder (expected the recordings of the training; the path is "
            "relative to the folder in which it ran); use root=DIR to set it"
        )

    with progress() as show:
        callback = TrainingScreen(show)
        if epochs:
            # The name of the run folder follows from the file, so the same command finds the run and resumes it.
            tuned = RunFolder(out.with_suffix(""))
            resume = tuned.config.is_file() and not overwrite
            notes.print(f"{'resuming' if resume else 'run'}: {tuned.path}")

            quantisation.fine_tune(
                checkpoint,
                experiment,
                tuned.path,
                epochs=epochs,
                bits=bits,
                resume=resume,
                overwrite=overwrite,
                callback=callback,
            )

        compiled = quantisation.quantise(
            checkpoint,
            experiment.data,
            **given,
            out=out,
            overwrite=overwrite,
            bits=bits,
            tuned=None if tuned is None else tuned.path,
            seed=experiment.seed,
            callback=callback,
        )

    print_parts(*compiled.describe())
    notes.print(f"checkpoint: {out}")


def find_data(checkpoint: str, config: str | None, settings: list[str] | None) -> tuple[str, TrainConfig]:
    """Return the source and the configuration of the data set: CONFIG, the run, or the included classifier."""
    from ..checkpoints.checkpoint import shipped_checkpoints, shipped_config

    # CONFIG may be the first KEY=VALUE; without CONFIG, `given` begins with an empty text, which is left out.
    run = RunFolder(Path(checkpoint)).config
    given = [config or "", *(settings or [])]

    if config is not None and ("=" not in config or Path(config).exists()):
        return config, read_config(config, settings)

    if run.is_file():
        return str(run), read_config(str(run), given[config is None :])
    if checkpoint in shipped_checkpoints():
        name = shipped_config(checkpoint)
        return name, read_config(name, [f"seed={UNSEEN_SEED}", *given[config is None :]])

    if config is None:
        raise ConfigError(f"{checkpoint}: not a run folder, so it has no data set (expected DATA after it)")
    return config, read_config(config, settings)
