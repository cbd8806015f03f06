"""Video tab: convert an excerpt immediately, the complete video on demand, and download the result.

`Choices` are the settings of a conversion: a preset, and the values of the sliders (`KNOBS`). An `Excerpt` is read once
and simulated again with each change of a slider (`show_excerpt`). The complete video is `Converted` to a file
(`convert_complete`), from which other formats are written (`export_converted`). `VideoTab` has the components.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ..base.config import SettingsTree, build, merge_settings
from ..base.errors import ConfigError
from ..events import SensorSize, concatenate
from ..formats import open_recording
from ..parallel import Progress
from ..recordings.config import ConvertConfig
from ..recordings.conversion import convert_recording, convert_video
from ..recordings.editing import select_part
from ..report import PlotSource, PreviewColours, PreviewSettings, RateCurve, show_part, write_player_page
from ..simulator import SimulatorConfig, simulate
from ..simulator.config import list_presets, read_preset
from ..video.config import VideoSettings
from ..video.frames import Frame
from ..video.opening import open_video
from ..video.video import Video
from ..video.writing import open_webm
from .examples import THREADS
from .shared import (
    COLOURS,
    VIDEO_FILE,
    ChosenFile,
    Tab,
    Updates,
    add_command,
    add_parts,
    add_slider,
    follow,
    listen,
    offer_file,
    offer_nothing,
    show_empty,
    show_page,
)
from .work import Session, Workspace, safe_stem

IDEAL = "ideal"
UPSAMPLING = ("off", "auto", "2", "4", "8", "16")
EXCERPT_S = 2.0
EXCERPT_SIDE_PX = 256  # longer side; encoding pictures of noise as VP8 dominates the time of an excerpt
EXCERPT_FPS = 15.0
ONLY_FRAME_US = 40_000.0  # time shown of an excerpt with one frame
EVENT_FORMATS = (".h5", ".csv", ".aedat4")
PICTURE_FORMATS = (".webm", ".mp4", ".png")
NO_VIDEO = "Choose a video to see two seconds of it as events here."


class Knob(NamedTuple):
    """Slider for a setting of the pixel model.

    Args:
        name: Name of the setting.
        label: Display name, with unit.
        most: Maximum.
        step: Step size.
        info: Help text.
        least: Minimum.
        scale: Slider value / setting value.
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
        "pos_thres",
        "ON threshold (log intensity)",
        most=1,
        step=0.001,
        info="Brightness increase per ON event; higher: fewer.",
        least=0.05,
    ),
    Knob(
        "neg_thres",
        "OFF threshold (log intensity)",
        most=1,
        step=0.001,
        info="Brightness decrease per OFF event; higher: fewer.",
        least=0.05,
    ),
    Knob(
        "sigma_thres",
        "Mismatch (log intensity)",
        most=0.2,
        step=0.001,
        info="Standard deviation of thresholds between pixels.",
    ),
    Knob(
        "cutoff_hz",
        "Bandwidth (Hz)",
        most=3000,
        step=1,
        info="Of a white pixel; lower values blur fast changes; 0: unlimited.",
    ),
    Knob(
        "leak_rate_hz",
        "Leak (events per pixel and s)",
        most=5,
        step=0.0001,
        info="ON events without any change.",
    ),
    Knob(
        "shot_noise_rate_hz",
        "Shot noise (events per pixel and s)",
        most=20,
        step=0.0001,
        info="In the dark; a quarter of it at white.",
    ),
    Knob(
        "refractory_period",
        "Refractory period (ms)",
        most=20,
        step=0.1,
        info="Minimum time between events of a pixel.",
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
        keeps_size: Whether to keep the size of the video, and not to use the size of the preset.
    """

    preset: str
    knobs: tuple[float, ...]
    upsampling: str
    keeps_size: bool = False

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
        model: SettingsTree = merge_settings(_preset(self.preset), dict(self.changed))
        model |= {"sensor_size": "keep"} if self.keeps_size else {}

        upsample = int(self.upsampling) if self.upsampling.isdecimal() else self.upsampling
        return build(ConvertConfig, {"simulator": model, "video": video.model_dump(), "upsample": upsample}, "the page")

    def command(self, source: str, target: str) -> str:
        """Return the equivalent command."""
        words = ["dvspipe", "convert", source, "-o", target]
        words += ["--preset", self.preset] if self.preset != IDEAL else []
        for name, value in self.changed.items():
            words += [f"--{name.replace('_', '-')}", f"{value:g}"]
        words += ["--upsample", self.upsampling] if self.upsampling != "off" else []
        # Without a preset that sets a size, the sensor has the size of the video.
        words += ["--sensor-size", "keep"] if self.keeps_size and "sensor_size" in _preset(self.preset) else []

        return shlex.join(words)


def sensors() -> list[str]:
    """Return the names of the available sensors: the ideal sensor, and the included presets."""
    return [IDEAL, *list_presets()]


def _preset(name: str) -> dict[str, Any]:
    return {} if name == IDEAL else read_preset(name)


def knobs_of(preset: str) -> tuple[float, ...]:
    """Return the slider values of a preset, each in its unit."""
    config = build(SimulatorConfig, _preset(preset), preset)
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
    duration_s = video.duration_s or 1e-6 * max((t_us for t_us, _ in video.images()), default=0)
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
    chunks = simulate(iter(excerpt.frames), config.simulator, upsample=config.upsample, threads=THREADS)
    events = concatenate(chunks, excerpt.size)

    span_us = 0, excerpt.frames[-1].t_us
    title = "Excerpt of a video and its events"
    source = PlotSource([events], excerpt.size, len(events), span_us)
    return write_player_page(source, page, beside=excerpt.picture, colours=colours, title=title, fps=EXCERPT_FPS)


@dataclass(frozen=True)
class Converted:
    """Complete video, converted to events.

    Args:
        events: HDF5 file of the events.
        source: Video.
        page: Page that plays both.
    """

    events: Path
    source: Path
    page: Path


def convert_complete(
    source: ChosenFile, choices: Choices, folder: Path, colours: PreviewColours, progress: Progress
) -> Converted:
    """Convert a complete video, and write the page that plays it."""
    events = folder / f"{safe_stem(source.name)}.h5"
    is_counted = open_video(source.path).frame_count > 0  # webcam recordings do not store the number of frames

    # Conversion and page are a half of the progress each.
    def converting(done: float, total: float) -> None:
        progress(done / 2, total if is_counted else 0)

    def drawing(done: float, total: float) -> None:
        progress((total + done) / 2, total)

    config = choices.config().for_recording(source.name)  # as in the command, where the file has this name
    convert_video(source.path, events, config, overwrite=True, progress=converting, threads=THREADS)

    player = open_events(events)
    page = folder / "player.html"
    write_player_page(player, page, beside=source.path, colours=colours, title=source.name, progress=drawing)
    return Converted(events, source.path, page)


def open_events(path: Path) -> PlotSource:
    """Open a complete event file for playing."""
    return PlotSource.of(select_part(open_recording(path)))


def export_converted(
    converted: Converted, suffix: str, folder: Path, colours: PreviewColours, progress: Progress
) -> Path:
    """Export the events of a conversion in another format, or as a preview."""
    path = folder / converted.events.with_suffix(suffix).name
    if suffix == ".h5":
        return converted.events
    if suffix in EVENT_FORMATS:
        convert_recording(converted.events, path, overwrite=True, progress=progress)
        return path

    recording = select_part(open_recording(converted.events))
    beside = None if suffix == ".png" else converted.source
    show_part(recording, path, PreviewSettings(colours=colours), beside=beside, progress=progress)
    return path


class ExcerptSettings(NamedTuple):
    """Source and settings of an excerpt."""

    source: ChosenFile
    start_s: float
    choices: Choices
    colours: PreviewColours


class ShownExcerpt(NamedTuple):
    """The excerpt shown, with its frames; its session keeps it."""

    settings: ExcerptSettings
    excerpt: Excerpt


class VideoTab(Tab):
    """Video tab: its components and their event handlers.

    Args:
        space: Folders of the app.
    """

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.exporting = gr.HTML("", render=False)
        self.excerpt: gr.State = gr.State(None)
        self.converted: gr.State = gr.State(None)

        add_parts(self._add_choice, self._add_outputs, self._add_knobs)
        self._connect()

    def _add_choice(self) -> None:
        self.picker = self.add_picker(VIDEO_FILE)
        self.convert = self.add_work("Convert the complete video", variant="primary")

    def _add_knobs(self) -> None:
        self.preset = gr.Dropdown(
            sensors(), value=IDEAL, label="Sensor", info="Sets the sliders below; ideal: no noise."
        )
        values = knobs_of(IDEAL)

        with gr.Accordion("Pixel model", open=True):
            self.knobs = [
                add_slider(knob.least, knob.most, value, step=knob.step, label=knob.label, info=knob.info)
                for knob, value in zip(KNOBS, values, strict=True)
            ]
            self.upsampling = gr.Dropdown(
                list(UPSAMPLING),
                value="off",
                label="Steps between frames",
                info="Estimates motion between frames for finer event times; takes longer.",
            )

        self.colours = gr.Dropdown(COLOURS, value="light", label="Colours")

    def _add_outputs(self) -> None:
        self.page = gr.HTML(show_empty(NO_VIDEO))
        self.start = add_slider(
            0, 60, 0, step=0.1, label="Start of the excerpt (s)", info="The excerpt lasts two seconds."
        )
        self.command = add_command()

        with gr.Row():
            self.format = gr.Dropdown(
                [*EVENT_FORMATS, *PICTURE_FORMATS],
                value=".h5",
                label="Download as",
                info="Events: HDF5, CSV, AEDAT 4. Pictures: WebM, MP4, a PNG sheet.",
            )
            with gr.Column(min_width=160):
                self.export = self.add_work("Export", self.exporting)
                self.file = gr.DownloadButton("Download", interactive=False)

    def _connect(self) -> None:
        choices = [self.picker.source, self.preset, *self.knobs, self.upsampling, self.colours]
        listen(self.preset.input, lambda name: list(knobs_of(name)), [self.preset], self.knobs)
        self.on(self.picker.source.change, self.fit_start, [self.picker.source])

        # `change` fires for pointer, keys, the reset button and a preset. Of several changes during a simulation, only
        # the last one counts.
        changes = [component.change for component in (self.start, *choices)]
        shown = [self.excerpt, self.start, *choices]
        self.on(partial(gr.on, changes), self.show_excerpt, shown, trigger_mode="always_last")

        self.on(self.convert.click, self.convert_complete, choices, concurrency_limit=2)
        exported = [self.converted, self.format, self.colours]
        self.on(self.export.click, self.make_file, exported, status=self.exporting)

    def fit_start(self, _: Session, source: ChosenFile | None) -> Iterator[Updates]:
        """Limit the start of the excerpt to the length of the video."""
        if source is not None:
            yield {self.start: gr.Slider(maximum=last_start_s(source.path), value=0.0)}

    def show_excerpt(
        self,
        session: Session,
        shown: ShownExcerpt | None,
        start_s: float | None,
        source: ChosenFile | None,
        *values: Any,
    ) -> Iterator[Updates]:
        """Show two seconds of the video as events, unless they are already shown or a value is being typed."""
        if source is None:
            if shown is not None:
                yield self._clear(NO_VIDEO)
            return

        if start_s is None or not are_complete(values):
            return
        choices, colours = read_choices(values)
        if shown is None or shown.settings.source != source:  # the slider of the new video is being adjusted
            start_s = 0.0
            yield self._clear(f"Reading {source.name}.")

        # A change may report a value that is shown already.
        wanted = ExcerptSettings(source, start_s, choices, colours)
        if shown is not None and shown.settings == wanted:
            return

        # Frames are read again only for another video or another start.
        folder = session.folder / "excerpts" / f"{source.path.stat().st_ino}-{start_s:g}"
        can_reuse = shown is not None and shown.excerpt.picture.parent == folder
        excerpt = shown.excerpt if shown and can_reuse else read_excerpt(source.path, float(start_s), folder)

        page = session.next_folder("shown") / "player.html"
        show_excerpt(excerpt, choices, page, colours)
        command = choices.command(source.name, f"{safe_stem(source.name)}.h5")
        yield {
            self.status: "",
            self.page: show_page(page, "Video and events"),
            self.command: command,
            self.excerpt: ShownExcerpt(wanted, excerpt),
        }

    def _clear(self, text: str) -> Updates:
        """Return the updates that replace what belongs to the previous video by a text."""
        return {
            self.page: show_empty(text),
            self.command: "",
            self.excerpt: None,
            self.converted: None,
            self.file: offer_nothing(),
        }

    def convert_complete(self, session: Session, source: ChosenFile | None, *values: Any) -> Iterator[Updates]:
        """Convert the complete video and show it."""
        choices, colours = read_choices(values)
        if source is None:
            raise ConfigError("no video is chosen")

        def show(converted: Converted) -> Updates:
            return {
                self.page: show_page(converted.page, "Video and events"),
                self.converted: converted,
                self.file: offer_file(converted.events),
            }

        yield from follow(
            session,
            self.status,
            "converting the video",
            lambda progress: convert_complete(source, choices, session.new_folder("converted"), colours, progress),
            show,
        )

    def make_file(
        self, session: Session, converted: Converted | None, suffix: str, colours: PreviewColours
    ) -> Iterator[Updates]:
        """Write a file for download."""
        if converted is None:
            raise ConfigError("nothing is converted yet; convert the complete video first")

        folder = session.new_folder("download")
        yield from follow(
            session,
            self.exporting,
            f"writing {suffix}",
            lambda progress: export_converted(converted, suffix, folder, colours, progress),
            lambda path: {self.file: offer_file(path)},
        )


def are_complete(values: tuple[Any, ...]) -> bool:
    """Return whether every slider has a value in its range; a number being typed may have none."""
    _preset, *knobs, _upsampling, _colours = values
    return all(value is not None and knob.least <= value <= knob.most for knob, value in zip(KNOBS, knobs, strict=True))


def read_choices(values: tuple[Any, ...]) -> tuple[Choices, PreviewColours]:
    """Parse the page's values into settings and colours: preset, sliders, upsampling, colours."""
    preset, *knobs, upsampling, colours = values
    return Choices(str(preset), tuple(float(knob) for knob in knobs), str(upsampling)), colours
