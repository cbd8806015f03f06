"""Options of the commands that are not yet made from verbs."""

from __future__ import annotations

# mypy: ignore-errors
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base.errors import ConfigError
from .options import *  # noqa: F403 - until no command needs this module

if TYPE_CHECKING:
    from ..events import Region, SensorSize
    from ..formats import Hints
    from ..inference import InferConfig

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs); or a "
        "KEY=VALUE setting such as data.kind=nmnist, to start from the defaults.",
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that override CONFIG, such as data.root=DIR.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that already exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="Sensor size, for recordings that do not store it.")
]
Hint = Annotated[
    list[str] | None,
    typer.Option(
        "--hint",
        metavar="KEY=VALUE",
        help="Metadata missing from recordings: time_unit=us, columns=txyp, chip=DVS128, topic=/events. Repeatable.",
    ),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of worker processes; default: 1.")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray[=ADDRESS]",
        help="Where to run: local processes, or a Ray cluster; default address: the environment variable RAY_ADDRESS, "
        "or a temporary cluster on this machine.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process only share I of N of the files, assigned by file name; default: the share of the task in a SLURM "
        "array, otherwise all files.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random generators.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Trusted package, installed or in the current folder: configurations and checkpoints may run its code as "
        "a custom network (network.kind=module). Repeatable.",
    ),
]
Start = Annotated[
    float, typer.Option("--start", min=0, metavar="SECONDS", help="Start time, relative to the first event.")
]
Stop = Annotated[
    float | None,
    typer.Option(
        "--stop",
        min=0,
        metavar="SECONDS",
        help="Stop time (exclusive), relative to the first event; default: end of file.",
    ),
]
Roi = Annotated[
    str | None, typer.Option("--roi", metavar="WxH+X+Y", help="Region of the sensor; default: the complete sensor.")
]

RecordingArgument = Annotated[Path, typer.Argument(metavar="RECORDING", help="Recording, or - for standard input.")]
RecordingsArgument = Annotated[
    list[Path], typer.Argument(metavar="RECORDING", help="Recordings; - for standard input.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Output file (its suffix selects the format), or - for CSV on stdout."
    ),
]
CheckpointName = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME or hf://USER/NAME@REVISION.",
    ),
]
Recordings = Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings, videos, or folders of these.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Output folder for tables, pictures and report.html; default: print only."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Label file, or folder of NAME_labels.csv files, to compute scores; default: no scores."
    ),
]
SettingOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Inference setting: window_us=300000 and hop_us=100000 (length and step of windows), stateful=true (no "
        "windows), fit=crop|scale (for another sensor size), roi=WxH+X+Y|auto|full (auto: track the moving person), "
        "pose=true (classify videos by joints and events), segments.enter=0.7, video.simulator.pos_thres=0.3, ...; "
        "default: as in training. Repeatable.",
    ),
]
Adapt = Annotated[bool, typer.Option("--adapt", help="First adapt the network to the sensor of all recordings.")]
InferEngine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|integer|ray[=ADDRESS]",
        help="Where to run: local processes, or a Ray cluster; or integer: local processes, with a network in integers "
        "(a file of dvspipe quantise, or an included classifier), without torch.",
    ),
]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Write only tables, without timelines and videos.")]


def build_config(settings: list[str] | None) -> InferConfig:
    """Build the configuration from the options --set."""
    from ..base.config import build, parse_overrides
    from ..inference import InferConfig

    return build(InferConfig, parse_overrides(settings or []), "infer")


def parse_sensor(text: str | None) -> SensorSize | None:
    """Parse the option --sensor."""
    from ..events import SensorSize

    return SensorSize.parse(text) if text else None


def parse_hints(given: list[str] | None) -> Hints:
    """Parse the options --hint."""
    from ..base.config import build, parse_overrides
    from ..formats import Hints

    hints = {key: str(value) for key, value in parse_overrides(given or []).items()}
    known = Hints.model_fields
    unknown = [key for key in hints if key not in known]
    if unknown:
        raise ConfigError(f"--hint {unknown[0]}: unknown, expected {', '.join(known)}")
    return build(Hints, hints, "--hint")


def parse_region(text: str | None) -> Region | None:
    """Parse the option --roi."""
    from ..events import Region

    return Region.parse(text) if text else None


def to_us(milliseconds: float | None) -> int | None:
    """Convert a time from milliseconds to microseconds, at least 1."""
    return None if milliseconds is None else max(1, round(milliseconds * 1000))
