"""Verbs that encode recordings as frames, and images as spike trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from ..base.config import as_settings, build
from ..base.errors import Brief, DataError, FileError
from ..base.files import claim_output, require_suffix, write_beside
from ..encoding.spikes import CodeName, SpikeKeywords, SpikeSettings, unit_values
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike
from ..parallel import Processes, Progress
from ..report.config import FrameSetKeywords, FrameSettings

if TYPE_CHECKING:
    from ..report.frames import FrameCount, FramePlan


def frames(
    source: str | Path,
    out: str | Path,
    settings: FrameSettings | Mapping[str, object] | None = None,
    *,
    jobs: int = 1,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    overwrite: bool = False,
    progress: Progress | None = None,
    **named: Unpack[FrameSetKeywords],
) -> tuple[FrameCount, ...]:
    """Write events as frames: a picture or array per time window or number of events, and a table of their times.

    A folder gives the same folders of pictures, such as one per class. The same call resumes after an interruption.

    Args:
        source: Recording, or folder of recordings, searched recursively.
        out: Output folder.
        settings: Settings of the frames; also a mapping. Without `every_us` and `every_events`: windows of 33,333 us.
        jobs: Number of worker processes.
        sensor: Sensor size, for recordings that do not store it.
        hints: Other metadata that the recordings do not store.
        overwrite: Remove the frames of earlier runs first.
        progress: Called with the number of recordings done and the total.
        named: Settings of `FrameSettings` by name.

    Returns:
        Numbers of frames and events of each recording that was written now.

    Raises:
        DvspipeError: As in `plan_frames` and `write_frames`; or the first error of a recording, after all others.

    Example:
        >>> frames("recordings", "frames", every_us=10_000)  # doctest: +SKIP
        (FrameCount(frames=601, events=149629, sensor=SensorSize(width=128, height=128)),)
    """
    from ..report.frame_sets import write_frames

    plan = open_frames(source, out, settings, sensor=sensor, hints=hints, named=named)
    outcomes = [*write_frames(plan, engine=Processes(jobs), overwrite=overwrite, progress=progress)]
    return tuple(outcome.result() for outcome in outcomes)


def open_frames(
    source: str | Path,
    out: str | Path,
    settings: FrameSettings | Mapping[str, object] | None = None,
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    named: Mapping[str, object] | None = None,
) -> FramePlan:
    """Plan what `frames` writes, from its arguments."""
    from ..report.frame_sets import plan_frames

    out = Path(out)
    if out.suffix in (".npy", ".png") and not out.is_dir():
        raise FileError(
            f"{out}: the output is a folder (expected a name such as {out.stem}); use format={out.suffix[1:]} to "
            "select the format"
        )

    size = None if sensor is None else SensorSize.of(sensor)
    chosen = as_settings(FrameSettings, settings, named or {}, frames)
    return plan_frames(Path(source), out, chosen, sensor=size, hints=as_settings(Hints, hints))


@dataclass(frozen=True, repr=False)
class SpikeTrains(Brief):
    """What `spikes` has encoded.

    Attributes:
        out: File.
        trains: Spike trains of each code, uint8 [T, C, H, W].
        step_us: Length of a step in microseconds.
    """

    out: Path
    trains: Mapping[str, NDArray[np.uint8]]
    step_us: int


def spikes(
    image: str | Path,
    out: str | Path,
    settings: SpikeSettings | Mapping[str, object] | None = None,
    *,
    method: CodeName | Sequence[CodeName] = "poisson",
    resize: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    **named: Unpack[SpikeKeywords],
) -> SpikeTrains:
    """Encode an image as spike trains and draw or store them.

    For values in memory, see the codes of `dvspipe.encoding`.

    Args:
        image: Image file; colours are converted to grey.
        out: Output file: .png (raster plot) or .npz (spike arrays).
        settings: Settings of the codes; also a mapping.
        method: Spike code. Several codes are compared.
        resize: Size to resize the image to. None: its own size.
        seed: Seed of the random generators.
        overwrite: Replace an existing file.
        named: Settings of `SpikeSettings` by name.

    Raises:
        ConfigError: If no code has a setting, or a picture cannot show so many trains.
        FileError: If the suffix is wrong, or the file exists or cannot be written.
        VideoError: If the image is missing or cannot be read.

    Example:
        >>> spikes("grey.png", "raster.png", method=["latency", "population"], steps=30)  # doctest: +SKIP
    """
    from ..report import draw_rasters
    from ..video.config import VideoSettings
    from ..video.folders import read_image

    path = Path(out)
    require_suffix(path, "spikes", ".png", ".npz")
    codes = as_settings(SpikeSettings, settings, named, spikes).build_codes(
        [method] if isinstance(method, str) else method
    )
    claim_output(path, overwrite=overwrite)

    picture = read_image(Path(image), build(VideoSettings, {"resize": resize}, "spikes"))
    try:
        values = unit_values(picture)
    except DataError as error:
        raise error.named(str(image)) from error

    # Each code has its own generator with the same seed, so its spikes do not depend on the other codes.
    trains = {name: code.encode(values, np.random.default_rng(seed)) for name, code in codes.items()}
    step_us = next(iter(codes.values())).step_us

    if path.suffix.lower() == ".png":
        draw_rasters(trains, values, path, step_us=step_us)
    else:
        with write_beside(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, step_us=step_us, **trains)

    return SpikeTrains(path, trains, step_us)
