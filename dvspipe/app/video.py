"""Video tab: what a video shows, with its events; the sensor that makes them; download in any format."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..recordings.config import ConvertConfig
from ..simulator import SimulatorConfig
from ..simulator.config import list_presets
from . import tasks
from .files import SAMPLE
from .parts import Page, Site, add_source, add_stop, show_empty, show_file

IDEAL = "ideal"
MAX_START_S = 60.0  # of the preview of a video whose duration is unknown
UPSAMPLING = ("off", "auto", "2", "4", "8", "16")
NO_FILE = "Choose a video: its events and what it shows appear here."
DOWNLOADS = [
    ("Events: HDF5 (.h5)", ".h5"),
    ("Events: CSV", ".csv"),
    ("Events: AEDAT 4", ".aedat4"),
    ("Film of the events: WebM", ".webm"),
    ("Film of the events: MP4", ".mp4"),
    ("Sheet of pictures: PNG", ".png"),
]


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

    def add(self) -> gr.Slider:
        """Add the slider, with the description of the setting."""
        description = " ".join((SimulatorConfig.model_fields[self.name].description or "").split())
        sentence, _, _ = description.partition(". ")
        value = getattr(SimulatorConfig(), self.name) * self.scale
        return gr.Slider(self.least, self.most, value, step=self.step, label=self.label, info=sentence)


KNOBS = (
    Knob("pos_thres", "ON threshold (log intensity)", most=1, step=0.001, least=0.05),
    Knob("neg_thres", "OFF threshold (log intensity)", most=1, step=0.001, least=0.05),
    Knob("sigma_thres", "Mismatch (log intensity)", most=0.2, step=0.001),
    Knob("cutoff_hz", "Bandwidth (Hz)", most=3000, step=1),
    Knob("leak_rate_hz", "Leak (events per pixel and s)", most=5, step=0.0001),
    Knob("shot_noise_rate_hz", "Shot noise (events per pixel and s)", most=20, step=0.0001),
    Knob("refractory_period", "Refractory period (ms)", most=20, step=0.1, scale=1000),
)


def read_preset(name: str) -> SimulatorConfig:
    """Return the settings of an included sensor preset, or of the ideal sensor."""
    return SimulatorConfig().with_preset(None if name == IDEAL else name)


def set_knobs(preset: str) -> list[float]:
    """Return the slider values of a preset, each in its unit."""
    config = read_preset(preset)
    return [getattr(config, knob.name) * knob.scale for knob in KNOBS]


def find_changes(preset: str, values: tuple[float, ...]) -> dict[str, float]:
    """Return the settings of the sliders that differ from the preset; a slider may round the value of the preset."""
    return {
        knob.name: float(f"{value / knob.scale:g}")
        for knob, value, default in zip(KNOBS, values, set_knobs(preset), strict=True)
        if abs(value - default) > knob.step / 10
    }


def read_sensor(preset: str, upsampling: str, *values: float) -> ConvertConfig:
    """Return the settings of a conversion from the values of the page."""
    upsample: Any = int(upsampling) if upsampling.isdecimal() else upsampling
    settings = read_preset(preset).given | find_changes(preset, values)
    return ConvertConfig(**settings, upsample=upsample)


def write_command(source: str, preset: str, upsampling: str, *values: float) -> str:
    """Return the command that makes the same events."""
    words = ["dvspipe", "convert", source, "-o", "events.h5"]
    words += ["--preset", preset] if preset != IDEAL else []
    words += ["--upsample", upsampling] if upsampling != "off" else []
    for name, value in find_changes(preset, values).items():
        words += [f"--{name.replace('_', '-')}", f"{value:g}"]
    return shlex.join(words)


class VideoTab:
    """Video tab: its components and their event handlers.

    Args:
        site: Server.
        tab: Tab, which is selected.
    """

    def __init__(self, site: Site, tab: gr.Tab) -> None:
        self.site = site
        self._add(tab)
        self._connect(tab)

    def _add(self, tab: gr.Tab) -> None:
        with gr.Row():
            with gr.Column(min_width=300):
                options = gr.WebcamOptions(mirror=False)
                self.film = gr.Video(label="Video", sources=["upload", "webcam"], webcam_options=options, height=320)
                self.source = add_source(self.site, self.film, self.site.files.list_videos, tab.select)
                self.checkpoint = gr.Dropdown(
                    self.site.files.list_checkpoints(), value=DEFAULT_CHECKPOINT, label="Classifier"
                )
                self.joints = gr.Checkbox(value=True, label="Use the joints of people, if the classifier can")
                self.classify = gr.Button("Classify", variant="primary")
                self.stop = gr.Row()
                self.suffix = gr.Dropdown(DOWNLOADS, value=".h5", label="Format of the download")
                self.write = gr.Button("Write the file")
                self.file = gr.File(label="Download", visible=False)
            with gr.Column(scale=2, min_width=300):
                self.answer = gr.HTML(show_empty(NO_FILE))

        with gr.Accordion("Sensor", open=False), gr.Row():
            with gr.Column(min_width=300):
                self.preset = gr.Dropdown(
                    [IDEAL, *list_presets()], value=IDEAL, label="Sensor", info="Sets the sliders."
                )
                self.upsampling = gr.Dropdown(
                    [*UPSAMPLING],
                    value="off",
                    label="Steps between frames",
                    info="For finer event times; takes longer.",
                )
                self.knobs = [knob.add() for knob in KNOBS]
            with gr.Column(scale=2, min_width=300):
                self.shown = gr.HTML("")
                self.start = gr.Slider(0, MAX_START_S, 0, step=0.1, label="Start of the preview (s)")
                self.command = gr.Textbox("", label="Equivalent command", interactive=False, buttons=["copy"])

        self.sensor = [self.preset, self.upsampling, *self.knobs]

    def _connect(self, tab: gr.Tab) -> None:
        on = partial(gr.on, api_visibility="private")
        network = [self.checkpoint, self.joints]
        outputs = [self.answer, self.shown, self.command, self.start, self.file]
        chosen = self.source.connect(
            self.site.handler(self.show_chosen), [*network, *self.sensor], outputs, self.answer
        )
        classified = on(
            [self.classify.click], self.site.handler(self.show_answer), [*self.source.inputs, *network], [self.answer]
        )
        written = on(
            [self.write.click],
            self.site.handler(self.write_file),
            [*self.source.inputs, self.suffix, *self.sensor],
            [self.file],
            show_progress_on=self.file,
        )
        with self.stop:
            add_stop(*chosen, classified, written)

        self.preset.input(set_knobs, [self.preset], self.knobs, show_progress="hidden", api_visibility="private")
        on(
            [component.change for component in (self.start, *self.sensor)],
            self.site.handler(self.show_preview),
            [*self.source.inputs, self.start, *self.sensor],
            [self.shown, self.command, self.start],
            show_progress="hidden",
            trigger_mode="always_last",
        )

        tab.select(self.open_first, self.source.inputs, [self.film], api_visibility="private", show_progress="hidden")

    def show_preview(
        self, page: Page, upload: str | None, name: str | None, start_s: float, *values: Any
    ) -> Iterator[Any]:
        """Show two seconds of the video as events."""
        if not (upload or name):
            return
        path = self.site.files.choose(upload, name)
        config = read_sensor(*values)
        folder = page.new_folder("preview")
        player, last_start_s = yield from page.run("preview", tasks.preview, path, start_s, config, folder)
        yield {
            self.shown: show_file(player, "Preview of the video and its events"),
            self.command: write_command(path.name, *values),
            self.start: gr.Slider(maximum=last_start_s or MAX_START_S),
        }

    def show_answer(
        self, page: Page, upload: str | None, name: str | None, checkpoint: str, joints: bool
    ) -> Iterator[Any]:
        """Classify the chosen file."""
        path = self.site.files.choose(upload, name)
        network = self.site.files.find_checkpoint(checkpoint)
        folder = page.new_folder("classified")
        report = yield from page.run("classifying", tasks.classify, path, network, joints, folder)
        yield {self.answer: show_file(report, "Events and predictions over time")}

    def show_chosen(
        self, page: Page, upload: str | None, name: str | None, checkpoint: str, joints: bool, *values: Any
    ) -> Iterator[Any]:
        """Show the preview of a chosen file, and then what it shows."""
        yield {
            self.answer: show_empty(NO_FILE),
            self.shown: "",
            self.command: "",
            self.start: 0,
            self.file: gr.File(visible=False),
        }
        if not (upload or name):
            return
        for update in self.show_preview(page, upload, name, 0.0, *values):
            yield update | ({self.answer: update[self.shown]} if self.shown in update else {})
        yield from self.show_answer(page, upload, name, checkpoint, joints)

    def write_file(self, page: Page, upload: str | None, name: str | None, suffix: str, *values: Any) -> Iterator[Any]:
        """Write a file for download."""
        path = self.site.files.choose(upload, name)
        folder = page.new_folder("download")
        made = yield from page.run("writing the file", tasks.write, path, suffix, read_sensor(*values), folder)
        yield gr.File(value=str(made), visible=True)

    def open_first(self, upload: str | None, name: str | None) -> Any:
        """Choose the example, unless a file is chosen."""
        return gr.skip() if upload or name else str(SAMPLE)
