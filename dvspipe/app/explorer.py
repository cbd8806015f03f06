"""Exploration tab: properties of a recording, events in space and time, pictures, cutting and filtering.

Functions that need no browser come first: `explore` reads a recording once it is chosen, `plot_space_time` and
`draw_picture` show it, `write_cut` writes a part of it. `RecordingTab` has the components, and calls these functions
with their values.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError
from ..base.progress import Progress
from ..events import Events, Region, SensorSize, concatenate
from ..events.filter_config import FILTERS, FilterConfig, FilterFacts
from ..events.filters import FilterCounts, count_pixels, find_hot_pixels
from ..formats import Recording, open_recording
from ..recordings.conversion import convert_recording
from ..recordings.editing import select_part, write_filtered
from ..recordings.info import RecordingInfo, info
from ..recordings.output import write_stream
from ..report import (
    PlotSource,
    PreviewColours,
    PreviewMode,
    PreviewSettings,
    RateCurve,
    sample_events,
    watch_rates,
    write_player_page,
)
from ..report.painter import Box, EventPainter, draw_box, write_picture
from ..report.style import EVENT_PALETTES
from .conversion import EVENT_FORMATS, open_events
from .examples import EVENTS
from .shared import (
    CHART_GREY,
    COLOURS,
    RECORDING_FILE,
    ChosenFile,
    Tab,
    Updates,
    add_command,
    add_parts,
    follow,
    offer_file,
    offer_nothing,
    read_number,
    show_caption,
    show_empty,
    show_page,
    show_picture,
)
from .workspace import Session, Workspace, safe_stem

MAX_POINTS = 50_000  # events in the 3D view
BUSIEST_BINS = 10  # bins of the duration; the summary names the busiest
MAX_HOT = 100  # hot pixels listed
MAX_WINDOW_MS = 500  # longest time
MIN_WINDOW_US = 100  # shortest time shown in a picture
PLAYER = "player"  # view that plays events
REGION = re.compile(r"[0-9]+x[0-9]+[+-][0-9]+[+-][0-9]+")
FADING_WINDOWS = 5  # windows read for a picture of a mode that fades: the one shown, and those before it
MODES: list[tuple[str, PreviewMode]] = [
    ("ON minus OFF events", "count"),
    ("time surface: last event of each pixel", "surface"),
    ("decaying sum of events", "decay"),
]


class HotPixel(NamedTuple):
    """Column and row of a hot pixel, and the number of its events."""

    x: int
    y: int
    events: int


@dataclass(frozen=True, eq=False)
class Explored:
    """Properties of a recording.

    Args:
        source: Recording.
        report: Properties, and anything wrong or unusual.
        sample: Evenly sampled events, at most 50,000.
        hot: Hot pixels, busiest first.
        rate: Events per second.
    """

    source: ChosenFile
    report: RecordingInfo
    sample: Events
    hot: tuple[HotPixel, ...]
    rate: RateCurve

    @property
    def facts(self) -> str:
        """Markdown list of the results of `info`."""
        report = self.report
        lines = [
            f"**{report.events:,} events**, sensor {report.width} x {report.height} ({report.sensor_source}), "
            f"{report.duration_us * 1e-6:.6g} s, format {report.format}"
        ]

        if report.rate_hz is not None:
            lines.append(f"{report.rate_hz:,.0f} events per second")
        if report.on_fraction is not None:
            lines.append(f"{report.on_fraction:.1%} ON")

        lines.append(f"longest gap {report.longest_gap_us:,} us, hot pixels: {report.hot_pixels:,}")
        lines.append(report.problem or "no problems found")

        return "\n".join(f"- {line}" for line in lines)

    @property
    def summary(self) -> str:
        """Text description of the 3D view."""
        events = self.sample
        report = self.report
        seconds = (events.t - (report.t_first_us or 0)) / 1e6
        number, edges = np.histogram(seconds, bins=BUSIEST_BINS)
        busiest = int(number.argmax())

        return (
            f"{describe_sample(self)}. The busiest time is {edges[busiest]:.2f} to {edges[busiest + 1]:.2f} s; "
            f"half of the events are in columns {_interquartile_range(events.x)}, half in rows "
            f"{_interquartile_range(events.y)}."
        )


def describe_sample(explored: Explored) -> str:
    """Describe how many events are shown."""
    shown = len(explored.sample)
    count = explored.report.events
    return f"{shown:,} of {count:,} events, evenly sampled" if shown < count else f"all {count:,} events"


def _interquartile_range(places: NDArray[Any]) -> str:
    """Return the interquartile range of coordinates as text."""
    low, high = np.percentile(places, (25, 75))
    return f"{low:.0f} to {high:.0f}"


def explore(source: ChosenFile, progress: Progress) -> Explored:
    """Read a recording twice and summarise it."""
    # The first pass gives the number of events and their time span, which an even sample needs; the second pass samples
    # them, and counts the events of each pixel and over time on the way.
    report = info(source.path, progress=lambda done, total: progress(done / 2, total))
    if not report.events or report.t_first_us is None or report.t_last_us is None:
        raise EventError(f"{source.name}: no events")

    recording = open_recording(source.path)
    counts = np.zeros((recording.sensor.height, recording.sensor.width), np.int64)

    def counted() -> Iterator[Events]:
        for part in recording.chunks(progress=lambda done, total: progress((total + done) / 2, total)):
            counts[...] += count_pixels([part], recording.sensor)
            yield part

    span_us = report.t_first_us, report.t_last_us
    plotted = PlotSource(counted(), recording.sensor, report.events, span_us)
    rate, watched = watch_rates(plotted)
    sample = sample_events(replace(plotted, chunks=watched), MAX_POINTS)

    return Explored(source, report, sample, _list_hot_pixels(counts), rate)


def _list_hot_pixels(counts: NDArray[np.int64]) -> tuple[HotPixel, ...]:
    rows, columns = np.nonzero(find_hot_pixels(counts))
    events = counts[rows, columns]
    pixels = map(HotPixel, columns.tolist(), rows.tolist(), events.tolist())
    return tuple(sorted(pixels, key=lambda pixel: -pixel.events)[:MAX_HOT])


def plot_space_time(explored: Explored, colours: PreviewColours) -> go.Figure:
    """Plot sampled events in a rotatable 3D view."""
    sample = explored.sample
    report = explored.report
    palette = EVENT_PALETTES[colours]
    seconds = (sample.t - (report.t_first_us or 0)) / 1e6

    figure = go.Figure()
    for name, on, colour in (("OFF", False, palette.off), ("ON", True, palette.on)):
        selected = sample.p == on
        figure.add_scatter3d(
            x=seconds[selected],
            y=sample.x[selected],
            z=sample.y[selected],
            mode="markers",
            name=name,
            marker={"size": 1.5, "color": "rgb({},{},{})".format(*colour), "opacity": 0.6},
            hoverinfo="x+y+z",
        )

    axis = {"showbackground": False, "gridcolor": CHART_GREY, "color": CHART_GREY}
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgb({},{},{})".format(*palette.background),
        font={"color": CHART_GREY},
        legend={"itemsizing": "constant", "orientation": "h", "x": 0, "y": 0, "yanchor": "bottom"},
        scene={
            "xaxis": axis | {"title": "seconds"},
            "yaxis": axis | {"title": "x"},
            # Rows grow downwards, as in a picture.
            "zaxis": axis | {"title": "y", "autorange": "reversed"},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.4, "y": 0.75, "z": 0.75 * report.height / report.width},
            "camera": {"eye": {"x": 0.55, "y": -1.75, "z": 0.55}, "center": {"x": 0, "y": 0, "z": -0.1}},
        },
    )

    return figure


@dataclass(frozen=True)
class PictureChoices:
    """Settings of the picture of a recording.

    Args:
        place: Position in the recording, 0 to 1.
        window_ms: Time shown, in milliseconds.
        events: Number of events shown; 0: use `window_ms` instead.
        mode: What the brightness of a pixel shows.
        colours: Colours of ON and OFF events.
    """

    place: float
    window_ms: float = 30.0
    events: int = 0
    mode: PreviewMode = "count"
    colours: PreviewColours = "light"

    @property
    def text(self) -> str:
        """Text description of the picture."""
        size = f"{self.events:,} events" if self.events else f"{self.window_ms:g} ms"
        brightness = next(text for text, mode in MODES if mode == self.mode)
        return f"{size} at {self.place:.1%} of the recording; {brightness}; ON red, OFF blue"


def draw_picture(explored: Explored, choices: PictureChoices) -> NDArray[np.uint8]:
    """Draw a part of a recording, uint8 [H, W, 3]."""
    recording = open_recording(explored.source.path)
    report = explored.report
    first_us = report.t_first_us or 0

    # The picture shows a number of events or a time; both lie completely inside the recording.
    if choices.events:
        first_event = round(choices.place * max(0, report.events - choices.events))
        shown = _read_events(recording, first_event, choices.events)
        window_us = max(MIN_WINDOW_US, shown.duration_us + 1)
        end_us = int(shown.t[-1]) + 1
    else:
        window_us = max(MIN_WINDOW_US, round(choices.window_ms * 1000))
        end_us = first_us + round(choices.place * max(0, report.duration_us - window_us)) + window_us
        # Modes that fade also show events before the window.
        windows = 1 if choices.mode == "count" else FADING_WINDOWS
        shown = concatenate(recording.chunks(end_us - windows * window_us, end_us), recording.sensor)

    settings = PreviewSettings(window_us=window_us, mode=choices.mode, colours=choices.colours)
    painter = EventPainter(recording.sensor, settings)
    return painter.draw(shown, end_us, end_us - window_us - first_us)


def _read_events(recording: Recording, first: int, count: int) -> Events:
    """Read `count` events, starting at number `first`."""
    seen = 0  # events before the part
    parts = []
    for part in recording.chunks():
        start = max(0, first - seen)
        stop = max(0, min(len(part), first + count - seen))
        parts.append(part[start:stop])

        seen += len(part)
        if seen >= first + count:
            break

    return concatenate(parts, recording.sensor)


@dataclass(frozen=True)
class Cut:
    """Part of a recording, optionally filtered.

    Args:
        start_s: Start time in seconds from the first event.
        stop_s: Stop time; 0: end of the recording.
        roi: Region of the sensor, WIDTHxHEIGHT+LEFT+TOP; empty: complete sensor.
        config: Filters.
    """

    start_s: float = 0.0
    stop_s: float = 0.0
    roi: str = ""
    config: FilterConfig = field(default_factory=FilterConfig)

    @property
    def cuts(self) -> bool:
        """Whether only a part of the recording is kept."""
        return bool(self.start_s or self.stop_s or self.roi)

    def commands(self, source: str, target: str) -> str:
        """Return the equivalent commands."""
        # With both commands, `filter` reads the file that `cut` writes.
        filters = self.config.active
        part = "part.h5" if filters else target
        lines = []

        if self.cuts or not filters:
            words = ["dvspipe", "cut", source, "-o", part]
            words += ["--start-s", f"{self.start_s:g}"] if self.start_s else []
            words += ["--stop-s", f"{self.stop_s:g}"] if self.stop_s else []
            words += ["--region", self.roi] if self.roi else []
            lines = [shlex.join(words)]
            source = part

        if filters:
            words = ["dvspipe", "filter", source, "-o", target]
            for name, setting in filters.items():
                words.append(f"--{name.replace('_', '-')}")
                words += [] if setting is True else [str(setting)]
            lines.append(shlex.join(words))

        return "\n".join(lines)


def write_cut(explored: Explored, cut: Cut, path: Path, progress: Progress) -> FilterCounts:
    """Write a part of a recording without noise; return how many events were removed by each filter."""
    region = Region.parse(cut.roi) if cut.roi else None
    part = select_part(open_recording(explored.source.path), cut.start_s, cut.stop_s or None, region)

    if cut.config.active:
        _, counts = write_filtered(part, path, cut.config, overwrite=True, progress=progress)
    else:
        written = write_stream(path, part.chunks(progress), part.sensor, [part.recording], overwrite=True)
        counts = FilterCounts(written.events)

    if not counts.kept:
        raise EventError(f"{explored.source.name}: no events remain (of {counts.events:,})")
    return counts


class RecordingTab(Tab):
    """Exploration tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.playing = self.make_message()
        self.cutting = self.make_message()
        self.explored: gr.State = gr.State(None)

        add_parts(self._add_choice, self._add_views, self._add_cut)
        self._connect(opened)

    def _add_choice(self) -> None:
        self.picker = self.add_picker(RECORDING_FILE)
        self.source = self.picker.source
        self.add_progress(self.status)

        self.colours = gr.Dropdown(COLOURS, value="light", label="Colours")
        self.facts = gr.Markdown("")

    def _add_cut(self) -> None:
        with gr.Accordion("Hot pixels", open=False):
            self.hot = gr.Dataframe(headers=["x", "y", "events"], interactive=False)

        with gr.Accordion("Cut and filter", open=False):
            with gr.Row():
                start = gr.Number(0, label="Start (s)", min_width=120)
                stop = gr.Number(0, label="Stop (s); 0: end", min_width=120)

            self.roi = gr.Textbox("", label="Region, WxH+X+Y", placeholder="128x128+20+10")
            self.region = gr.HTML("", elem_classes="pixels")

            with gr.Row():
                filters = [_add_filter(facts) for facts in FILTERS.values()]
            self.cut = [start, stop, self.roi, *filters]

            self.suffix = gr.Dropdown(list(EVENT_FORMATS), value=".h5", label="Format")
            self.write = self.add_work("Cut and filter", self.cutting)
            self.file = gr.DownloadButton("Download", interactive=False)
            self.command = add_command()

    def _add_views(self) -> None:
        with gr.Tabs(overflow_behavior="wrap") as self.views:
            with gr.Tab("Space and time"):
                self.view = gr.Plot(
                    label="Events in space and time; drag to rotate",
                    show_label=False,
                    elem_classes="space-time",
                )
                self.caption = gr.HTML(show_empty("Choose a recording."))

            with gr.Tab("Pictures"):
                self.picture = gr.HTML("", elem_classes="pixels")
                place = gr.Slider(
                    0, 1, 0, step=0.001, label="Position in the recording", info="0: its start, 1: its end."
                )
                window = gr.Slider(1, MAX_WINDOW_MS, 30, step=1, label="Time per picture (ms)")
                events = gr.Slider(
                    0, MAX_POINTS, 0, step=100, label="Events per picture", info="0: use the time instead."
                )
                mode = gr.Dropdown(MODES, value="count", label="Brightness")
                self.place = [place, window, events, mode, self.colours]

            with gr.Tab("Rate"):
                self.rate = gr.HTML("")

            with gr.Tab("Player", id=PLAYER):
                self.play = self.add_work("Play the recording", self.playing, variant="primary")
                self.page = gr.HTML("")

    def _connect(self, opened: Any) -> None:
        self.on(opened, self.open_first, [self.source])
        self.after(self.source.change, self.explore, [self.source, *self.place])
        self.on(self.colours.input, self.recolour, [self.explored, *self.place])

        # `change` fires for pointer, keys and the reset button. Colours are left out: they also change other views.
        *sliders_and_mode, _colours = self.place
        changes = [component.change for component in sliders_and_mode]
        shown = [self.explored, *self.place]
        self.after(partial(gr.on, changes), self.show_picture, shown, trigger_mode="always_last")
        self.on(self.play.click, self.show_player, [self.explored, self.colours], status=self.playing)

        cut = [self.explored, self.suffix, self.colours, *self.cut]
        self.on(self.write.click, self.write_cut, cut, status=self.cutting)
        region = [self.explored, self.roi, *self.place]
        self.after(self.roi.change, self.show_region, region, status=self.cutting, trigger_mode="always_last")

    def open_first(self, session: Session, source: ChosenFile | None) -> Iterator[Updates]:
        """Choose the example when the tab is opened, unless a recording is chosen."""
        return iter(()) if source else self.picker.choose_example(session, EVENTS)

    def explore(self, session: Session, source: ChosenFile | None, *place: Any) -> Iterator[Updates]:
        """Summarise the recording and show it."""
        # Clear what belongs to the previous recording.
        yield {
            self.explored: None,
            self.view: None,
            self.hot: [],
            self.file: offer_nothing(),
            **dict.fromkeys((self.facts, self.rate, self.picture, self.page, self.command, self.region), ""),
            self.caption: show_empty("Choose a recording.") if source is None else "",
        }
        if source is None:
            return

        choices = read_place(place)

        def show(explored: Explored) -> Updates:
            return {
                self.explored: explored,
                self.facts: explored.facts,
                self.hot: [list(pixel) for pixel in explored.hot],
                self.caption: show_caption(explored.summary),
                **self._draw_all(session, explored, choices),
            }

        yield from follow(session, self.status, "reading the recording", partial(explore, source), show)

    def recolour(self, session: Session, explored: Explored | None, *place: Any) -> Iterator[Updates]:
        """Show the recording in other colours."""
        if explored is not None and None not in place:
            yield self._draw_all(session, explored, read_place(place))

    def _draw_all(self, session: Session, explored: Explored, choices: PictureChoices) -> Updates:
        """Return the updates of all that depends on the colours."""
        return {
            self.view: plot_space_time(explored, choices.colours),
            self.rate: explored.rate.to_html(),
            self.picture: self._draw(session, explored, choices),
        }

    def show_picture(self, session: Session, explored: Explored | None, *place: Any) -> Iterator[Updates]:
        """Show the picture at the slider positions, unless a number is being typed."""
        if explored is not None and None not in place:
            yield {self.status: "", self.picture: self._draw(session, explored, read_place(place))}

    def _draw(self, session: Session, explored: Explored, choices: PictureChoices) -> str:
        path = write_picture(draw_picture(explored, choices), session.new_folder("pictures") / "picture.png")
        return show_picture(path, choices.text)

    def show_region(
        self, session: Session, explored: Explored | None, roi: str | None, *place: Any
    ) -> Iterator[Updates]:
        """Show the region to keep in the picture at the slider positions, unless it is being typed."""
        text = (roi or "").strip()
        if explored is None or not REGION.fullmatch(text) or None in place:
            yield {self.cutting: "", self.region: ""}
            return

        region = Region.parse(text)
        choices = read_place(place)
        size = region.size
        sensor = SensorSize(width=explored.report.width, height=explored.report.height)

        # The picture is scaled, and has a caption above the pixels.
        picture = draw_picture(explored, choices)
        _, picture_width, _ = picture.shape
        scale = picture_width / sensor.width
        pixels = np.ascontiguousarray(picture[-round(scale * sensor.height) :])
        box = Box(region.left, region.top, size.width, size.height)
        draw_box(pixels, box, sensor, EVENT_PALETTES[choices.colours].bar)

        path = write_picture(pixels, session.new_folder("regions") / "region.png")
        yield {self.cutting: "", self.region: show_picture(path, f"Region {region} of the recording")}

    def show_player(self, session: Session, explored: Explored | None, colours: PreviewColours) -> Iterator[Updates]:
        """Play the recording."""
        if explored is None:
            raise ConfigError("no recording is chosen")
        yield from self._play(session, self.playing, explored.source.path, explored.source.name, colours)

    def write_cut(
        self, session: Session, explored: Explored | None, suffix: str, colours: PreviewColours, *values: Any
    ) -> Iterator[Updates]:
        """Write the chosen part, play it, and offer it for download."""
        if explored is None:
            raise ConfigError("no recording is chosen")

        cut = read_cut(values)
        folder = session.new_folder("cut")
        # The part is written as HDF5 for the player, and converted if the download has another format.
        part = folder / f"{safe_stem(explored.source.name)}-part.h5"
        path = part.with_suffix(suffix)

        def work(progress: Progress) -> FilterCounts:
            counts = write_cut(explored, cut, part, progress)
            if path != part:
                convert_recording(part, path, overwrite=True)
            return counts

        def show(counts: FilterCounts) -> Updates:
            commands = cut.commands(explored.source.name, path.name)
            return {
                self.file: offer_file(path),
                self.views: gr.Tabs(selected=PLAYER),
                self.command: f"# {counts.kept:,} of {counts.events:,} events\n{commands}",
            }

        yield from follow(session, self.cutting, "cutting", work, show)
        yield from self._play(session, self.cutting, part, path.name, colours)

    def _play(
        self, session: Session, status: gr.HTML, path: Path, name: str, colours: PreviewColours
    ) -> Iterator[Updates]:
        page = session.new_folder("played") / "player.html"

        def work(progress: Progress) -> Path:
            write_player_page(open_events(path), page, colours=colours, title=name, progress=progress)
            return page

        yield from follow(
            session, status, "drawing", work, lambda written: {self.page: show_page(written, f"Events of {name}")}
        )


def read_place(values: tuple[Any, ...]) -> PictureChoices:
    """Parse the picture settings: position, time, number of events, mode, colours."""
    place, window_ms, events, mode, colours = values
    return PictureChoices(
        read_number("position in the recording", place, 0, 1),
        read_number("time per picture (ms)", window_ms, 0, MAX_WINDOW_MS),
        int(read_number("events per picture", events, 0, MAX_POINTS)),
        mode,
        colours,
    )


def _add_filter(facts: FilterFacts) -> Any:
    """Add the setting of a filter; 0 turns it off."""
    if facts.is_switch:
        return gr.Checkbox(label=f"Remove {facts.text}")
    return gr.Number(0, label=f"{facts.text.capitalize()} ({facts.unit})", min_width=120)


def read_cut(values: tuple[Any, ...]) -> Cut:
    """Parse the settings of the part to write."""
    start_s, stop_s, roi, *shown = values
    filters = zip(FILTERS.items(), shown, strict=True)
    settings = {
        name: value if facts.is_switch else facts.read(read_number(facts.text, value, 0, math.inf))
        for (name, facts), value in filters
        if value
    }

    # A number that is being typed is None.
    return Cut(
        start_s=read_number("start (s)", start_s or 0, 0, math.inf),
        stop_s=read_number("stop (s)", stop_s or 0, 0, math.inf),
        roi=str(roi or "").strip(),
        config=FilterConfig.model_validate(settings),
    )
