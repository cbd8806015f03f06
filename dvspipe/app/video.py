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
FORMATS = [
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


def add_video(site: Site, tab: gr.Tab) -> gr.Dropdown:
    """Add the components of the tab; return the choice of the classifier."""
    with gr.Row():
        with gr.Column(min_width=300):
            options = gr.WebcamOptions(mirror=False)
            film = gr.Video(label="Video", sources=["upload", "webcam"], webcam_options=options, height=320)
            source = add_source(site, film, site.files.list_videos, tab.select)
            checkpoint = gr.Dropdown(site.files.list_checkpoints(), value=DEFAULT_CHECKPOINT, label="Classifier")
            joints = gr.Checkbox(value=True, label="Use the joints of people, if the classifier can")
            classify = gr.Button("Classify", variant="primary")
            stop = gr.Row()
            suffix = gr.Dropdown(FORMATS, value=".h5", label="Format of the download")
            write = gr.Button("Write the file")
            file = gr.File(label="Download", visible=False)
        with gr.Column(scale=2, min_width=300):
            answer = gr.HTML(show_empty(NO_FILE))

    with gr.Accordion("Sensor", open=False), gr.Row():
        with gr.Column(min_width=300):
            preset = gr.Dropdown([IDEAL, *list_presets()], value=IDEAL, label="Sensor", info="Sets the sliders.")
            upsampling = gr.Dropdown(
                [*UPSAMPLING], value="off", label="Steps between frames", info="For finer event times; takes longer."
            )
            knobs = [knob.add() for knob in KNOBS]
        with gr.Column(scale=2, min_width=300):
            shown = gr.HTML("")
            start = gr.Slider(0, MAX_START_S, 0, step=0.1, label="Start of the preview (s)")
            command = gr.Textbox("", label="Equivalent command", interactive=False, buttons=["copy"])

    sensor = [preset, upsampling, *knobs]

    def show_preview(page: Page, upload: str | None, name: str | None, start_s: float, *values: Any) -> Iterator[Any]:
        """Show two seconds of the video as events."""
        if not (upload or name):
            return
        path = site.files.choose(upload, name)
        config = read_sensor(*values)
        folder = page.new_folder("preview")
        player, last_start_s = yield from page.run("preview", tasks.preview, path, start_s, config, folder)
        yield {
            shown: show_file(player, "Preview of the video and its events"),
            command: write_command(path.name, *values),
            start: gr.Slider(maximum=last_start_s or MAX_START_S),
        }

    def show_answer(page: Page, upload: str | None, name: str | None, checkpoint: str, joints: bool) -> Iterator[Any]:
        """Classify the chosen file."""
        path = site.files.choose(upload, name)
        network = site.files.find_checkpoint(checkpoint)
        folder = page.new_folder("classified")
        report = yield from page.run("classifying", tasks.classify, path, network, joints, folder)
        yield {answer: show_file(report, "Events and predictions over time")}

    def show_chosen(
        page: Page, upload: str | None, name: str | None, checkpoint: str, joints: bool, *values: Any
    ) -> Iterator[Any]:
        """Show the preview of a chosen file, and then what it shows."""
        yield {answer: show_empty(NO_FILE), shown: "", command: "", start: 0, file: gr.File(visible=False)}
        if not (upload or name):
            return
        for update in show_preview(page, upload, name, 0.0, *values):
            yield update | ({answer: update[shown]} if shown in update else {})
        yield from show_answer(page, upload, name, checkpoint, joints)

    def write_file(page: Page, upload: str | None, name: str | None, suffix: str, *values: Any) -> Iterator[Any]:
        """Write a file for download."""
        path = site.files.choose(upload, name)
        folder = page.new_folder("download")
        made = yield from page.run("writing the file", tasks.write, path, suffix, read_sensor(*values), folder)
        yield gr.File(value=str(made), visible=True)

    on = partial(gr.on, api_visibility="private")
    network = [checkpoint, joints]
    outputs = [answer, shown, command, start, file]
    chosen = source.connect(site.handler(show_chosen), [*network, *sensor], outputs, answer)
    classified = on([classify.click], site.handler(show_answer), [*source.inputs, *network], [answer])
    written = on(
        [write.click], site.handler(write_file), [*source.inputs, suffix, *sensor], [file], show_progress_on=file
    )
    with stop:
        add_stop(*chosen, classified, written)

    preset.input(set_knobs, [preset], knobs, show_progress="hidden", api_visibility="private")
    on(
        [component.change for component in (start, *sensor)],
        site.handler(show_preview),
        [*source.inputs, start, *sensor],
        [shown, command, start],
        show_progress="hidden",
        trigger_mode="always_last",
    )

    def open_first(upload: str | None, name: str | None) -> Any:
        """Choose the example, unless a file is chosen."""
        return gr.skip() if upload or name else str(SAMPLE)

    tab.select(open_first, source.inputs, [film], api_visibility="private", show_progress="hidden")
    return checkpoint
