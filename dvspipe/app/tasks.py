"""What the page does with files, as functions that run in a worker: each calls a verb, and writes below a folder."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..events import SensorSize, concatenate
from ..events.filter_config import FilterConfig
from ..recordings.config import ConvertConfig
from ..recordings.conversion import convert
from ..recordings.editing import cut, filter  # noqa: A004
from ..recordings.info import info
from ..recordings.sources import is_video
from ..report import PreviewSettings, write_preview
from ..report.views import view
from ..results import OutputFolder
from ..simulator import simulate
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.opening import open_video
from .files import SAMPLE

EXCERPT_S = 2.0
EXCERPT_SIDE_PX = 256  # longer side of an excerpt: it is simulated again whenever a slider moves
PREVIEW = PreviewSettings(fps=15)
FILM = PreviewSettings(fps=25)
WARM_UP_S = 1.5
EVENT_SUFFIXES = (".h5", ".csv", ".aedat4")
CHARTS = ("xyt", "rate")


class Excerpt(NamedTuple):
    """Two seconds of a video in memory.

    Attributes:
        frames: Frames; times start at 0.
        pictures: Times of the frames in microseconds, and the frames in colour.
        size: Size of the frames.
        last_start_s: Latest start of an excerpt; 0: unknown.
    """

    frames: tuple[Frame, ...]
    pictures: tuple[tuple[int, NDArray[np.uint8]], ...]
    size: SensorSize
    last_start_s: float


@functools.lru_cache(maxsize=1)
def read_excerpt(film: Path, start_s: float) -> Excerpt:
    """Read two seconds of a video, with a longer side of at most 256 pixels."""
    full = open_video(film)
    share = min(1.0, EXCERPT_SIDE_PX / max(full.size.width, full.size.height))
    width, height = (max(2, 2 * round(side * share / 2)) for side in (full.size.width, full.size.height))
    size = SensorSize(width=width, height=height)
    video = open_video(film, VideoSettings(start_s=start_s, stop_s=start_s + EXCERPT_S, resize=str(size)))

    frames = tuple(Frame(frame.t_us, frame.image.copy(), frame.transfer) for frame in video.frames())
    zero_us = frames[0].t_us
    shifted = tuple(Frame(frame.t_us - zero_us, frame.image, frame.transfer) for frame in frames)
    pictures = tuple((t_us - zero_us, picture.copy()) for t_us, picture in video.pictures())
    return Excerpt(shifted, pictures, size, max(0.0, round(full.duration_s - EXCERPT_S, 1)))


def preview(film: Path, start_s: float, config: ConvertConfig, folder: Path, _: Progress) -> tuple[Path, float]:
    """Write a film of two seconds of a video beside its events; return its path, and the latest start."""
    excerpt = read_excerpt(film, start_s)
    events = concatenate(simulate(iter(excerpt.frames), config, upsample=config.upsample), excerpt.size)
    path = write_preview(events, excerpt.size, folder / "preview.webm", PREVIEW, beside=iter(excerpt.pictures))
    return path, excerpt.last_start_s


def classify(file: Path, checkpoint: str | Path, joints: bool, folder: Path, progress: Progress) -> Path:
    """Classify a recording or video, write all files of `dvspipe infer -o`, and return the report."""
    from ..inference import InferConfig, infer  # torch takes seconds to import

    config = InferConfig(joints=None if joints else False)
    infer(checkpoint, file, folder / "answers", config, progress=progress)
    return OutputFolder(folder / "answers").report


def warm_up() -> None:
    """Load all that a classification needs, which takes seconds: show and classify the start of the sample."""
    from ..inference import InferConfig, infer

    with TemporaryDirectory() as folder:
        preview(SAMPLE, 0.0, ConvertConfig(), Path(folder), ignore_progress)
        infer(DEFAULT_CHECKPOINT, SAMPLE, Path(folder, "answers"), InferConfig(stop_s=WARM_UP_S))


def write(file: Path, suffix: str, config: ConvertConfig, folder: Path, progress: Progress) -> Path:
    """Write the events of a video or recording in a format, or as a film or sheet of pictures; return the path."""
    path = folder / f"{file.stem}{suffix}"
    shows_film = is_video(file)
    if suffix in EVENT_SUFFIXES:
        convert([file], path, config, progress=NamedStep(progress, "converting"))
        return path

    events = file
    if shows_film:
        events = folder / f"{file.stem}.h5"
        convert([file], events, config, progress=NamedStep(progress, "converting"))

    settings = PreviewSettings() if suffix == ".png" else FILM
    beside = file if shows_film and suffix != ".png" else None
    view(events, path, settings, beside=beside, progress=NamedStep(progress, f"writing {suffix}"))
    return path


class ChosenPart(NamedTuple):
    """Part of a recording.

    Attributes:
        start_s: Start time in seconds after the first event.
        stop_s: Stop time; None: end of the recording.
        region: Region of the sensor, such as 128x128+20+10; None: complete sensor.
    """

    start_s: float
    stop_s: float | None
    region: str | None


def look(file: Path, part: ChosenPart, kind: str, folder: Path, progress: Progress) -> Path:
    """Write a chart (xyt, rate), a sheet of pictures (.png) or a film (.webm) of a part; return its path."""
    path = folder / f"events{kind if kind.startswith('.') else '.png'}"
    chart = kind if kind in CHARTS else None
    settings = FILM if kind == ".webm" else PreviewSettings()
    shown = folder / f"{file.stem}-part.h5"
    cut(file, shown, **part._asdict(), progress=NamedStep(progress, "cutting"))
    view(shown, path, settings, chart=chart, progress=progress)  # type: ignore[arg-type]
    shown.unlink()
    return path


def describe(file: Path, progress: Progress) -> str:
    """Return the facts of a recording, as `dvspipe info` prints them below its name."""
    _, _, facts = str(info(file, progress=progress)).partition("\n")
    return facts


def edit(file: Path, part: ChosenPart, config: FilterConfig, suffix: str, folder: Path, progress: Progress) -> Path:
    """Write a part of a recording without noise, and return its path."""
    path = folder / f"{file.stem}-part{suffix}"
    if not config.active:
        cut(file, path, **part._asdict(), progress=progress)
        return path

    between = folder / "cut.h5"
    cut(file, between, **part._asdict(), progress=NamedStep(progress, "cutting"))
    filter(between, path, config, progress=NamedStep(progress, "filtering"))
    between.unlink()
    return path


class Taught(NamedTuple):
    """Classifier of a user's gestures.

    Attributes:
        run: Run folder.
        archive: ZIP file of the run folder.
        summary: Results of its test, in a few lines.
    """

    run: Path
    archive: Path
    summary: str


def teach(films: Path, mirror: bool, run: Path, progress: Progress) -> Taught:
    """Train a classifier on films, in a folder per gesture."""
    from ..oneshot import LearnConfig  # torch takes seconds to import
    from ..oneshot.learning import learn

    learned = learn(films, run, LearnConfig(mirror=mirror), progress=progress)
    archive = shutil.make_archive(str(run), "zip", run.parent, run.name)
    return Taught(run, Path(archive), str(learned).replace(f"{films}/", ""))
