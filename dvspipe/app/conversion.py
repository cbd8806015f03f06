"""Conversion of a video for the page: an excerpt immediately, the complete video for a download.

`Choices` are the settings of a conversion: a preset, and the values of the sliders (`KNOBS`). An `Excerpt` is read once
and simulated again with each change of a slider (`show_excerpt`). `export` writes the events of a complete video or
recording in any format.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ..base.errors import ConfigError
from ..base.progress import Progress
from ..events import SensorSize, concatenate
from ..formats import open_recording
from ..recordings.config import ConvertConfig
from ..recordings.conversion import convert_recording, convert_video
from ..recordings.editing import select_part
from ..recordings.sources import is_video
from ..report import PlotSource, PreviewColours, PreviewSettings, RateCurve, show_part, write_player_page
from ..report.pages import data_address
from ..simulator import SimulatorConfig, simulate
from ..simulator.config import list_presets
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.opening import open_video
from ..video.video import Video
from ..video.writing import open_webm
from .examples import HERE, THREADS
from .jobs import StagedProgress
from .shared import COLOURS, ChosenFile, read_number
from .workspace import safe_stem

IDEAL = "ideal"
UPSAMPLING = ("off", "auto", "2", "4", "8", "16")
EXCERPT_S = 2.0
EXCERPT_SIDE_PX = 256  # longer side; encoding pictures of noise as VP8 dominates the time of an excerpt
EXCERPT_FPS = 15.0
ONLY_FRAME_US = 40_000.0  # time shown of an excerpt with one frame
EVENT_FORMATS = (".h5", ".csv", ".aedat4")


class Knob(NamedTuple):
    """Slider for a setting of the pixel model.

    Args:
        name: Name of the setting.
        label: Display name, with unit.
        most: Maximum.
        step: Step size.
        least: Minimum.
        scale: Slider value / setting value.
    """

    name: str
    label: str
    most: float
    step: float
    least: float = 0.0
    scale: float = 1.0

    @property
    def picture(self) -> Path:
        """Picture of events with a low and a high value."""
        return HERE / f"knob-{self.name}.webp"

    def to_html(self) -> str:
        """Return the HTML of a question mark that shows what the setting means."""
        description = SimulatorConfig.model_fields[self.name].description or ""
        sentence, _, _ = " ".join(description.split()).partition(". ")
        address = data_address("image/webp", self.picture.read_bytes())
        text = escape(f"{sentence.removesuffix('.')}.")

        return (
            f'<details class="knob-help"><summary aria-label="{escape(self.label)}: what it means">?</summary>'
            f'<figure><img src="{address}" alt="Events with a low value, and with a high value">'
            f"<figcaption><span>low</span><span>high</span></figcaption></figure><p>{text}</p></details>"
        )


KNOBS = (
    Knob(
        "pos_thres",
        "ON threshold (log intensity)",
        most=1,
        step=0.001,
        least=0.05,
    ),
    Knob(
        "neg_thres",
        "OFF threshold (log intensity)",
        most=1,
        step=0.001,
        least=0.05,
    ),
    Knob(
        "sigma_thres",
        "Mismatch (log intensity)",
        most=0.2,
        step=0.001,
    ),
    Knob(
        "cutoff_hz",
        "Bandwidth (Hz)",
        most=3000,
        step=1,
    ),
    Knob(
        "leak_rate_hz",
        "Leak (events per pixel and s)",
        most=5,
        step=0.0001,
    ),
    Knob(
        "shot_noise_rate_hz",
        "Shot noise (events per pixel and s)",
        most=20,
        step=0.0001,
    ),
    Knob(
        "refractory_period",
        "Refractory period (ms)",
        most=20,
        step=0.1,
        scale=1000,
    ),
)


@dataclass(frozen=True)
class Choices:
    """Settings chosen for a conversion.

    Args:
        preset: Name of a sensor preset, or `ideal`.
        knobs: Slider values, each in its unit.
        upsampling: `off`, `auto` or a number.
    """

    preset: str
    knobs: tuple[float, ...]
    upsampling: str

    def __post_init__(self) -> None:
        if self.preset not in sensors():
            raise ConfigError(f"{self.preset}: unknown preset (expected {', '.join(sensors())})")

    @property
    def changed(self) -> dict[str, float]:
        """Settings that differ from the preset."""
        changed = {}
        for knob, chosen, preset in zip(KNOBS, self.knobs, knobs_of(self.preset), strict=True):
            # A slider may round the value of the preset, so less than a tenth of a step is no difference.
            if abs(chosen - preset) > knob.step / 10:
                changed[knob.name] = float(f"{chosen / knob.scale:g}")

        return changed

    def config(self, video: VideoSettings = VideoSettings()) -> ConvertConfig:
        """Return the settings of the conversion."""
        upsample: Any = int(self.upsampling) if self.upsampling.isdecimal() else self.upsampling
        settings = _preset(self.preset).given | self.changed | video.given
        return ConvertConfig(**settings, upsample=upsample)

    def command(self, source: str, target: str) -> str:
        """Return the equivalent command."""
        words = ["dvspipe", "convert", source, "-o", target]
        words += ["--preset", self.preset] if self.preset != IDEAL else []
        for name, value in self.changed.items():
            words += [f"--{name.replace('_', '-')}", f"{value:g}"]
        words += ["--upsample", self.upsampling] if self.upsampling != "off" else []

        return shlex.join(words)


def sensors() -> list[str]:
    """Return the names of the available sensors: the ideal sensor, and the included presets."""
    return [IDEAL, *list_presets()]


def _preset(name: str) -> SimulatorConfig:
    return SimulatorConfig().with_preset(None if name == IDEAL else name)


def knobs_of(preset: str) -> tuple[float, ...]:
    """Return the slider values of a preset, each in its unit."""
    config = _preset(preset)
    return tuple(getattr(config, knob.name) * knob.scale for knob in KNOBS)


@dataclass(frozen=True)
class Excerpt:
    """Two seconds of a video in memory, with a longer side of at most 256 pixels.

    Args:
        frames: Frames; times start at 0.
        size: Size of the frames.
        picture: The same excerpt as a small colour video.
    """

    frames: tuple[Frame, ...]
    size: SensorSize
    picture: Path


def read_excerpt(path: Path, start_s: float, folder: Path) -> Excerpt:
    """Read two seconds of a video."""
    settings = VideoSettings(start_s=start_s, stop_s=start_s + EXCERPT_S)
    # Small pictures, because the excerpt is simulated again whenever a slider moves.
    size = _fit(open_video(path).size)
    video = open_video(path, settings.model_copy(update={"resize": str(size)}))

    # Times count from the start of the excerpt.
    frames = tuple(video.frames())
    zero_us = frames[0].t_us if frames else 0
    shifted = tuple(Frame(frame.t_us - zero_us, frame.image.copy(), frame.transfer) for frame in frames)

    folder.mkdir(parents=True, exist_ok=True)
    return Excerpt(shifted, size, _write_pictures(video, shifted, folder / "excerpt.webm"))


def last_start_s(path: Path) -> float:
    """Return the latest start of an excerpt, in seconds; a video without a known duration is read to its end."""
    video = open_video(path)
    duration_s = video.duration_s or 1e-6 * max((t_us for t_us, _ in video.start_pass()), default=0)
    return max(0.1, round(duration_s - EXCERPT_S, 1))


def _fit(size: SensorSize) -> SensorSize:
    """Scale a size to the maximum of an excerpt, keeping its shape, with even sides."""
    share = min(1.0, EXCERPT_SIDE_PX / max(size.width, size.height))
    width, height = (max(2, 2 * round(side * share / 2)) for side in (size.width, size.height))
    return SensorSize(width=width, height=height)


def _write_pictures(video: Video, frames: tuple[Frame, ...], path: Path) -> Path:
    interval_us = (frames[-1].t_us / (len(frames) - 1)) if len(frames) > 1 else ONLY_FRAME_US

    with open_webm(path, video.size, 1e6 / interval_us) as write:
        for _, picture in video.pictures():
            write(picture[:, :, ::-1].copy())  # RGB and BGR have opposite orders

    return path


def show_excerpt(excerpt: Excerpt, choices: Choices, page: Path, colours: PreviewColours = "light") -> RateCurve:
    """Write a page that plays an excerpt beside its events, and return the event rate."""
    config = choices.config()
    chunks = simulate(iter(excerpt.frames), config, upsample=config.upsample, threads=THREADS)
    events = concatenate(chunks, excerpt.size)

    span_us = 0, excerpt.frames[-1].t_us
    title = "Excerpt of a video and its events"
    source = PlotSource([events], excerpt.size, len(events), span_us)
    return write_player_page(source, page, beside=excerpt.picture, colours=colours, title=title, fps=EXCERPT_FPS)


def convert_complete(source: ChosenFile, choices: Choices, folder: Path, progress: Progress) -> Path:
    """Convert a complete video to an HDF5 file of events, and return its path."""
    events = folder / f"{safe_stem(source.name)}.h5"
    is_counted = open_video(source.path).frame_count > 0  # webcam recordings do not store the number of frames
    convert_video(
        source.path,
        events,
        choices.config().for_recording(source.name),  # as in the command, where the file has this name
        overwrite=True,
        progress=lambda done, total: progress(done, total if is_counted else 0),
    )

    return events


def open_events(path: Path) -> PlotSource:
    """Open a complete event file for playing."""
    return PlotSource.of(select_part(open_recording(path)))


def export(
    source: ChosenFile, choices: Choices, suffix: str, folder: Path, colours: PreviewColours, progress: StagedProgress
) -> Path:
    """Write the events of a video, or of a recording, in a format or as a preview; return the path of the file."""
    shows_video = is_video(source.path)
    events = source.path
    if shows_video:
        events = convert_complete(source, choices, folder, lambda done, total: progress(done, total, "converting"))
        if suffix == ".h5":
            return events

    def writing(done: float, total: float) -> None:
        progress(done, total, f"writing {suffix}")

    path = folder / f"{safe_stem(source.name)}{suffix}"
    if suffix in EVENT_FORMATS:
        convert_recording(events, path, overwrite=True, progress=writing)
        return path

    beside = source.path if shows_video and suffix != ".png" else None
    recording = select_part(open_recording(events))
    show_part(recording, path, PreviewSettings(colours=colours), beside=beside, progress=writing)
    return path


def read_choices(values: tuple[Any, ...]) -> tuple[Choices, PreviewColours]:
    """Parse the page's values into settings and colours: preset, sliders, upsampling, colours."""
    preset, *knobs, upsampling, colours = values
    if colours not in dict(COLOURS).values():
        raise ConfigError(f"colours: {colours} (expected {', '.join(dict(COLOURS).values())})")

    numbers = [read_number(knob.label, value, knob.least, knob.most) for knob, value in zip(KNOBS, knobs, strict=True)]
    return Choices(str(preset), tuple(numbers), str(upsampling)), colours
