"""The tab that turns a video into events: an excerpt at once, the complete video on demand, downloads."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ..config import SettingsTree, build, merge_settings
from ..conversion import ConvertConfig, convert_recording, convert_video
from ..errors import ConfigError
from ..events import Events, SensorSize, concatenate
from ..formats import describe, iterate
from ..frames import Frame
from ..parallel import Progress
from ..report import PlayedEvents, PreviewColours, PreviewSettings, RateCurve, write_player_page, write_preview
from ..simulator import SimulatorConfig, read_preset, simulate
from ..video import Video, VideoSettings, open_video, open_webm
from .shared import (
    COLOURS,
    Source,
    Updates,
    add_command,
    add_picker,
    follow,
    handle,
    listen,
    offer_file,
    show_empty,
    show_page,
    stop_work,
)
from .work import Session, Workspace, safe_stem

IDEAL = "ideal"
PRESETS = (IDEAL, "clean", "v2e", "noisy", "davis346", "dvs128", "gen4")
UPSAMPLING = ("off", "auto", "2", "4", "8", "16")
EXCERPT_S = 2.0
EXCERPT_SIDE_PX = 320  # of the longer side
EVENT_FORMATS = (".h5", ".csv", ".aedat4")
PICTURE_FORMATS = (".webm", ".mp4", ".png")
THREADS = 2


class Knob(NamedTuple):
    """A slider of a setting of the pixel model.

    Args:
        name: The setting.
        label: Its name for people, with its unit.
        most: The largest value.
        step: The distance of values.
        info: A sentence of help.
        least: The smallest value.
        scale: Number by which a value is divided to get that of the setting.
    """

    name: str
    label: str
    most: float
    step: float
    info: str
    least: float = 0.0
    scale: float = 1.0


KNOBS = (
    Knob(
        "pos_thres", "ON threshold (log intensity)", 1, 0.001, "Rise of brightness per ON event; higher: fewer.", 0.05
    ),
    Knob(
        "neg_thres", "OFF threshold (log intensity)", 1, 0.001, "Fall of brightness per OFF event; higher: fewer.", 0.05
    ),
    Knob(
        "sigma_thres", "Mismatch (log intensity)", 0.2, 0.001, "Standard deviation of thresholds from pixel to pixel."
    ),
    Knob("cutoff_hz", "Bandwidth (Hz)", 3000, 1, "Of a pixel at white; lower: fast changes are blurred; 0: unlimited."),
    Knob("leak_rate_hz", "Leak (events per pixel and s)", 5, 0.0001, "ON events that come without any change."),
    Knob("shot_noise_rate_hz", "Shot noise (events per pixel and s)", 20, 0.0001, "In the dark; a quarter at white."),
    Knob("refractory_period", "Refractory period (ms)", 20, 0.1, "Time after an event without another.", 0, 1000),
)


@dataclass(frozen=True)
class Choices:
    """What is chosen for a conversion.

    Args:
        preset: Name of a sensor, or `ideal`.
        knobs: A value per slider, in its unit.
        upsampling: `off`, `auto` or a number.
    """

    preset: str
    knobs: tuple[float, ...]
    upsampling: str

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"{self.preset}: unknown preset (expected {', '.join(PRESETS)})")

    @property
    def changed(self) -> dict[str, float]:
        """The settings that differ from the preset."""
        values = knobs_of(self.preset)
        pairs = zip(KNOBS, self.knobs, values, strict=True)
        return {
            knob.name: float(f"{new / knob.scale:g}") for knob, new, old in pairs if abs(new - old) > knob.step / 10
        }

    def config(self, video: VideoSettings = VideoSettings()) -> ConvertConfig:
        """Return the settings of the conversion.

        Raises:
            ConfigError: A value is out of range.
        """
        model: SettingsTree = merge_settings(_preset(self.preset), dict(self.changed))
        how = int(self.upsampling) if self.upsampling.isdecimal() else self.upsampling
        return build(ConvertConfig, {"simulator": model, "video": video.model_dump(), "upsample": how}, "the page")

    def command(self, source: str, target: str) -> str:
        """Return the command that does the same."""
        words = ["dvspipe", "convert", source, "-o", target]
        words += ["--preset", self.preset] if self.preset != IDEAL else []
        words += [word for name, value in self.changed.items() for word in ("--set", f"{name}={value:g}")]
        words += ["--upsample", self.upsampling] if self.upsampling != "off" else []
        return shlex.join(words)


def _preset(name: str) -> dict[str, Any]:
    return {} if name == IDEAL else read_preset(name)


def knobs_of(preset: str) -> tuple[float, ...]:
    """Return the value of each slider, in its unit, for a preset."""
    config = build(SimulatorConfig, _preset(preset), preset)
    return tuple(getattr(config, knob.name) * knob.scale for knob in KNOBS)


@dataclass(frozen=True)
class Excerpt:
    """Two seconds of a video, in memory, not larger than 320 pixels.

    Args:
        frames: Its frames, whose times start at 0.
        size: Their size.
        picture: The same as a small video in colours.
    """

    frames: tuple[Frame, ...]
    size: SensorSize
    picture: Path


@lru_cache(maxsize=8)
def read_excerpt(path: Path, start_s: float, folder: Path) -> Excerpt:
    """Return two seconds of a video.

    Args:
        path: The video.
        start_s: Where they start.
        folder: Gets the small video.

    Raises:
        VideoError: The video cannot be read, or ends before the start.
    """
    settings = VideoSettings(start_s=start_s, stop_s=start_s + EXCERPT_S)
    size = _fit(open_video(path).size)
    video = open_video(path, settings.model_copy(update={"resize": str(size)}))
    frames = tuple(video.frames())
    zero_us = frames[0].t_us if frames else 0
    shifted = tuple(Frame(frame.t_us - zero_us, frame.image.copy(), frame.transfer) for frame in frames)
    folder.mkdir(parents=True, exist_ok=True)
    return Excerpt(shifted, size, _write_pictures(video, shifted, folder / "excerpt.webm"))


def _fit(size: SensorSize) -> SensorSize:
    """Return a size of the same shape that is not larger than an excerpt, with even sides."""
    share = min(1.0, EXCERPT_SIDE_PX / max(size.width, size.height))
    width, height = (max(2, 2 * round(side * share / 2)) for side in (size.width, size.height))
    return SensorSize(width=width, height=height)


def _write_pictures(video: Video, frames: tuple[Frame, ...], path: Path) -> Path:
    interval_us = (frames[-1].t_us / (len(frames) - 1)) if len(frames) > 1 else 40_000.0
    with open_webm(path, video.size, 1e6 / interval_us) as write:
        for _, picture in video.pictures():
            write(picture[:, :, ::-1].copy())
    return path


def show_excerpt(excerpt: Excerpt, choices: Choices, page: Path, colours: PreviewColours = "light") -> RateCurve:
    """Write a page that plays an excerpt beside its events, and return their rate.

    Args:
        excerpt: The excerpt.
        choices: How it becomes events.
        page: The page.
        colours: Colours of ON and OFF.

    Raises:
        ConfigError: A value is out of range.
        VideoError: There are fewer than two frames.
    """
    config = choices.config()
    chunks = simulate(iter(excerpt.frames), config.simulator, upsample=config.upsample, threads=THREADS)
    events = concatenate(chunks, excerpt.size)
    span_us = 0, excerpt.frames[-1].t_us
    played = PlayedEvents(lambda: [events], excerpt.size, span_us, excerpt.picture)
    return write_player_page(played, page, colours=colours, title="Excerpt of a video and its events")


@dataclass(frozen=True)
class Converted:
    """A complete video as events.

    Args:
        events: The HDF5 file.
        source: The video.
        page: The page that plays both.
    """

    events: Path
    source: Path
    page: Path


def convert_complete(
    source: Source, choices: Choices, folder: Path, colours: PreviewColours, progress: Progress
) -> Converted:
    """Convert a complete video, and write the page that plays it.

    Args:
        source: The video.
        choices: How it becomes events.
        folder: Gets the event file and the page.
        colours: Colours of ON and OFF.
        progress: Called with how much is done; half of it is the conversion.

    Raises:
        ConfigError: A value is out of range.
        VideoError: The video cannot be read.
    """
    path = folder / f"{safe_stem(source.name)}.h5"

    counted = open_video(source.path).frame_count > 0  # a recorded webcam does not say how many frames it has

    def converting(done: float, total: float) -> None:
        progress(done / 2, total if counted else 0)

    def drawing(done: float, total: float) -> None:
        progress((total + done) / 2, total)

    convert_video(source.path, path, choices.config(), overwrite=True, progress=converting, threads=THREADS)
    page = folder / "player.html"
    write_player_page(played_file(path, source.path), page, colours=colours, title=source.name, progress=drawing)
    return Converted(path, source.path, page)


def played_file(path: Path, beside: Path | None = None) -> PlayedEvents:
    """Return an event file to be played."""
    info = describe(path)

    def parts() -> Iterator[Events]:
        return iterate(path)

    sensor = SensorSize(width=info.width, height=info.height)
    return PlayedEvents(parts, sensor, (info.t_first_us or 0, info.t_last_us or 0), beside)


def export_converted(
    converted: Converted, suffix: str, folder: Path, colours: PreviewColours, progress: Progress
) -> Path:
    """Return the events of a conversion in another format, or as a preview.

    Args:
        converted: The conversion.
        suffix: The format: .h5, .csv, .aedat4; or .webm, .mp4, .png for a preview.
        folder: Gets the file.
        colours: Colours of a preview.
        progress: Called with how much is done.

    Raises:
        FileError: The file cannot be written.
        VideoError: The format needs an encoder that is missing.
    """
    path = folder / converted.events.with_suffix(suffix).name
    if suffix == ".h5":
        return converted.events
    if suffix in EVENT_FORMATS:
        convert_recording(converted.events, path, overwrite=True, progress=progress)
        return path
    played = played_file(converted.events)
    settings = PreviewSettings(colours=colours)
    beside = None if suffix == ".png" else converted.source
    return write_preview(
        played.parts(), played.sensor, path, settings, span_us=played.span_us, beside=beside, progress=progress
    )


class VideoTab:
    """The tab: its components, and what happens in them.

    Args:
        space: The folders of the page.
    """

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.status = gr.HTML("", render=False)
        with gr.Row(elem_classes="parts"):
            with gr.Column(elem_classes="choose"):
                self.source = add_picker(
                    space, self.status, names=space.list_videos, webcam=True, sample=True, kind="Video"
                )
            with gr.Column(elem_classes="show"):
                self.status.render()
                self.page = gr.HTML(show_empty("Choose a video: two seconds of it are shown here as events at once."))
                self._add_outputs()
            with gr.Column(elem_classes="adjust"):
                self._add_knobs()
        self._connect()

    def _add_knobs(self) -> None:
        self.preset = gr.Dropdown(
            list(PRESETS), value=IDEAL, label="Sensor", info="Sets the sliders below; ideal: no noise at all."
        )
        values = knobs_of(IDEAL)
        with gr.Accordion("Pixel model", open=True):
            self.knobs = [
                gr.Slider(knob.least, knob.most, value, step=knob.step, label=knob.label, info=knob.info)
                for knob, value in zip(KNOBS, values, strict=True)
            ]
            self.upsampling = gr.Dropdown(
                list(UPSAMPLING), value="off", label="Steps between two frames",
                info="Estimates the motion between frames, so that event times are finer; takes longer.",
            )  # fmt: skip
        self.colours = gr.Dropdown(COLOURS, value="light", label="Colours")

    def _add_outputs(self) -> None:
        self.start = gr.Slider(
            0, 60, 0, step=0.5, label="Start of the excerpt (s)", info="Which two seconds of the video are shown."
        )
        with gr.Row():
            self.convert = gr.Button("Convert the complete video", variant="primary")
            self.stop = gr.Button("Stop", variant="stop")
        self.command = add_command()
        self.converted: gr.State = gr.State(None)
        with gr.Row():
            self.format = gr.Dropdown(
                [*EVENT_FORMATS, *PICTURE_FORMATS], value=".h5", label="Download as",
                info="Events: HDF5, CSV, AEDAT 4. Pictures: WebM, MP4, a PNG sheet.",
            )  # fmt: skip
            with gr.Column(min_width=160):
                self.export = gr.Button("Make the file")
                self.file = gr.DownloadButton("Download", interactive=False)

    def _connect(self) -> None:
        choices = [self.source, self.preset, *self.knobs, self.upsampling, self.colours]
        shown = [self.status, self.page, self.command]
        excerpt = handle(self.space, self.status, self.show_excerpt)
        for event in (self.source.change, self.start.release, self.upsampling.input, self.colours.input):
            listen(event, excerpt, [self.start, *choices], shown, trigger_mode="always_last")
        for knob in self.knobs:
            listen(knob.release, excerpt, [self.start, *choices], shown, trigger_mode="always_last")
        listen(self.preset.input, lambda name: list(knobs_of(name)), [self.preset], self.knobs).then(
            excerpt, [self.start, *choices], shown, api_visibility="private", show_progress="hidden"
        )
        listen(
            self.convert.click, handle(self.space, self.status, self.convert_complete), choices,
            [*shown, self.converted], concurrency_limit=2,
        )  # fmt: skip
        listen(self.stop.click, handle(self.space, self.status, stop_work), [], [self.status])
        listen(
            self.export.click, handle(self.space, self.status, self.make_file),
            [self.converted, self.format, self.colours], [self.status, self.file],
        )  # fmt: skip

    def show_excerpt(self, session: Session, start_s: float, source: Source | None, *values: Any) -> Iterator[Updates]:
        """Show two seconds of the video as events."""
        if source is None:
            return
        choices, colours = read_choices(values)
        folder = session.folder / "excerpts" / f"{source.path.stat().st_ino}-{start_s:g}"
        excerpt = read_excerpt(source.path, float(start_s), folder)
        page = session.new_folder("shown") / "player.html"
        show_excerpt(excerpt, choices, page, colours)
        command = choices.command(source.name, f"{safe_stem(source.name)}.h5")
        yield {self.status: "", self.page: show_page(page, "Video and events"), self.command: command}

    def convert_complete(self, session: Session, source: Source | None, *values: Any) -> Iterator[Updates]:
        """Convert the complete video and show it."""
        choices, colours = read_choices(values)
        if source is None:
            raise ConfigError("no video is chosen")
        folder = session.new_folder("converted")

        def show(converted: Converted) -> Updates:
            return {self.page: show_page(converted.page, "Video and events"), self.converted: converted}

        yield from follow(
            session, self.status, "converting the video",
            lambda progress: convert_complete(source, choices, folder, colours, progress), show,
        )  # fmt: skip

    def make_file(
        self, session: Session, converted: Converted | None, suffix: str, colours: PreviewColours
    ) -> Iterator[Updates]:
        """Make a file to download."""
        if converted is None:
            raise ConfigError("nothing is converted yet; convert the complete video first")
        folder = session.new_folder("download")
        yield from follow(
            session, self.status, f"writing {suffix}",
            lambda progress: export_converted(converted, suffix, folder, colours, progress),
            lambda path: {self.file: offer_file(path)},
        )  # fmt: skip


def read_choices(values: tuple[Any, ...]) -> tuple[Choices, PreviewColours]:
    """Return the choices and the colours in the values of the page: preset, sliders, upsampling, colours."""
    preset, *knobs, upsampling, colours = values
    return Choices(str(preset), tuple(float(knob) for knob in knobs), str(upsampling)), colours
