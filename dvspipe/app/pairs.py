"""Comparison tab: two recordings, or two sensor settings on one video, side by side and with metrics.

The two sides are called A and B; A is the reference. Two settings are compared by converting the video with each of
them (`compare_settings`), and then comparing the recordings (`compare_recordings`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..base.errors import ConfigError
from ..events import Events
from ..events.filters import filter_events, start_filter
from ..formats import read
from ..parallel import Progress
from ..recordings.conversion import convert_video
from ..report import PreviewColours, write_comparison_page, write_player_page
from ..verbs.inspection import compare
from .conversion import KNOBS, Choices, knobs_of, open_events, sensors
from .examples import FILM, THREADS
from .shared import (
    COLOURS,
    RECORDING_FILE,
    VIDEO_FILE,
    ChosenFile,
    Tab,
    Updates,
    add_command,
    follow,
    listen,
    read_number,
    show_empty,
    show_page,
)
from .workspace import Session, Workspace, safe_stem

SIDES = "AB"
ISOLATED_US = 5_000  # isolated in the sample: 16 % of the events of the ideal sensor, 77 % of the noisy one
SIMILAR = 1.1  # rates of noise that differ by less, as a ratio, are about the same


@dataclass(frozen=True)
class Compared:
    """Comparison of two recordings.

    Args:
        names: Names of A and B.
        players: Pages that play them.
        page: Page with the metrics.
        verdict: Sentence that says which of them has more noise.
        command: Equivalent commands.
    """

    names: tuple[str, str]
    players: tuple[Path, Path]
    page: Path
    verdict: str
    command: str


def compare_recordings(
    sources: tuple[ChosenFile, ChosenFile], folder: Path, colours: PreviewColours, progress: Progress
) -> Compared:
    """Compare two recordings (A is the reference) and write their pages."""
    a, b = sources
    events_a = read(a.path)
    events_b = read(b.path)
    compared = compare(events_a, events_b, progress=lambda done, total: progress(done / 3, total))
    page = write_comparison_page(compared, (a.name, b.name), folder / "comparison.html")

    def write_player(side: str, source: ChosenFile, third: int) -> Path:
        player = folder / side / "player.html"
        player.parent.mkdir()
        write_player_page(
            open_events(source.path),
            player,
            colours=colours,
            title=f"{side}: {source.name}",
            channel=str(folder),
            progress=partial(_report_third, progress, third),
        )
        return player

    # Both players have the same channel, so they play together. The comparison is the first third of the progress, each
    # player another one.
    players = write_player("A", a, 1), write_player("B", b, 2)
    command = shlex.join(["dvspipe", "compare", a.name, b.name, "-o", "comparison.html"])
    return Compared((a.name, b.name), players, page, describe_noise(events_a, events_b), command)


def describe_noise(a: Events, b: Events) -> str:
    """Say which of two recordings has more noise: isolated events, per pixel and second."""
    noise_a_hz, noise_b_hz = map(measure_noise, (a, b))
    rates = f"A has {noise_a_hz:.3g} and B {noise_b_hz:.3g} isolated events per pixel and second"
    meaning = f"isolated: no neighbour fired in the {ISOLATED_US / 1000:g} ms before"

    low_hz, high_hz = sorted((noise_a_hz, noise_b_hz))
    if high_hz <= SIMILAR * low_hz:
        return f"A and B have about the same noise: {rates} ({meaning})."

    more = "A" if noise_a_hz > noise_b_hz else "B"
    return f"{more} has more noise: {rates} ({meaning})."


def measure_noise(events: Events) -> float:
    """Return the number of isolated events per pixel and second."""
    kept, _ = filter_events(events, start_filter(events.sensor, activity_us=ISOLATED_US))
    pixels = events.sensor.width * events.sensor.height
    return (len(events) - len(kept)) / (pixels * max(1, events.duration_us) * 1e-6)


def _report_third(progress: Progress, third: int, done: float, total: float) -> None:
    """Report the progress of a part that takes a third of the time; `third` is 0, 1 or 2."""
    length = max(total, done, 1)
    progress(third * length + done, 3 * length)


def compare_settings(
    source: ChosenFile, choices: tuple[Choices, Choices], folder: Path, colours: PreviewColours, progress: Progress
) -> Compared:
    """Convert a video with two sensor settings, and compare the events."""

    def convert(side: str, choice: Choices) -> ChosenFile:
        path = folder / f"{safe_stem(source.name)}-{side}.h5"
        convert_video(
            source.path,
            path,
            choice.config().for_recording(source.name),
            overwrite=True,
            threads=THREADS,
            # Without a share: how long it takes, relative to the comparison, is not known.
            progress=lambda *_: progress(0, 0),
        )
        return ChosenFile(path, path.name)

    choice_a, choice_b = choices
    a = convert("A", choice_a)
    b = convert("B", choice_b)
    compared = compare_recordings((a, b), folder, colours, progress)

    commands = [choice_a.command(source.name, a.name), choice_b.command(source.name, b.name), compared.command]
    return replace(compared, command="\n".join(commands))


class PairTab(Tab):
    """Comparison tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.on_recordings = self.make_message()

        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Two settings on one video"):
                self._add_settings()
            with gr.Tab("Two recordings"):
                self._add_recordings()

        self.verdict = gr.HTML("", elem_classes="verdict")
        with gr.Row():
            self.players: list[gr.HTML] = []
            for side in SIDES:
                with gr.Column(min_width=320):
                    self.players.append(gr.HTML(show_empty(f"{side} appears here.")))

        with gr.Accordion("Figures", open=False):
            self.page = gr.HTML(show_empty("Compare first."))
        with gr.Accordion("Colours and command", open=False):
            self.colours = gr.Dropdown(COLOURS, value="light", label="Colours")
            self.command = add_command()

        self._connect(opened)

    def _add_settings(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.video = self.add_picker(VIDEO_FILE, webcam=True)
            self.settings: list[Any] = []
            for side, preset in zip(SIDES, ("ideal", "noisy"), strict=True):
                with gr.Column(scale=1, min_width=160):
                    pos_thres, neg_thres = thresholds_of(preset)
                    self.settings += [
                        gr.Dropdown(sensors(), value=preset, label=f"{side}: sensor"),
                        gr.Slider(0.05, 1, pos_thres, step=0.001, label=f"{side}: ON threshold"),
                        gr.Slider(0.05, 1, neg_thres, step=0.001, label=f"{side}: OFF threshold"),
                    ]
        self.compare_settings = self.add_work("Convert and compare", variant="primary")

    def _add_recordings(self) -> None:
        with gr.Row():
            self.sources = []
            for side in SIDES:
                with gr.Column(min_width=320):
                    gr.Markdown(f"**{side}**" + (", the reference" if side == "A" else ""))
                    label = f"Recording {side}"
                    self.sources.append(self.add_picker(RECORDING_FILE, label=label).source)
        self.compare_recordings = self.add_work("Compare", self.on_recordings, variant="primary")

    def _connect(self, opened: Any) -> None:
        self.on(opened, self.open_first, [self.video.source])

        # A preset sets the two thresholds below it.
        for preset, *thresholds in _split_sides(self.settings):
            listen(preset.input, lambda name: list(thresholds_of(name)), [preset], thresholds)

        # The result of other recordings must not stay on the page.
        for source in (self.video.source, *self.sources):
            listen(source.change, self.clear, [], self.outputs)

        settings = [self.video.source, self.colours, *self.settings]
        recordings = [self.colours, *self.sources]
        self.on(self.compare_settings.click, self.show_settings, settings, concurrency_limit=2)
        self.on(
            self.compare_recordings.click,
            self.show_recordings,
            recordings,
            status=self.on_recordings,
            concurrency_limit=2,
        )

    def open_first(self, session: Session, source: ChosenFile | None) -> Iterator[Updates]:
        """Choose the example when the tab is opened, unless a video is chosen."""
        return iter(()) if source else self.video.choose_example(session, FILM)

    def clear(self) -> Updates:
        """Return the updates that remove the comparison of previous files."""
        empty = {player: show_empty(f"{side} appears here.") for player, side in zip(self.players, SIDES, strict=True)}
        return {**empty, self.verdict: "", self.page: show_empty("Compare first."), self.command: ""}

    def show_settings(
        self, session: Session, source: ChosenFile | None, colours: PreviewColours, *values: Any
    ) -> Iterator[Updates]:
        """Convert the chosen video with both settings, and show the events side by side."""
        if source is None:
            raise ConfigError("no video is chosen")

        settings_a, settings_b = _split_sides(values)
        choices = choices_of(*settings_a), choices_of(*settings_b)

        def work(progress: Progress) -> Compared:
            return compare_settings(source, choices, session.next_folder("compared"), colours, progress)

        yield from follow(session, self.status, "comparing", work, self._show)

    def show_recordings(
        self, session: Session, colours: PreviewColours, a: ChosenFile | None, b: ChosenFile | None
    ) -> Iterator[Updates]:
        """Show both recordings side by side."""
        if a is None or b is None:
            raise ConfigError("two recordings are needed; choose A and B")

        def work(progress: Progress) -> Compared:
            return compare_recordings((a, b), session.next_folder("compared"), colours, progress)

        yield from follow(session, self.on_recordings, "comparing", work, self._show)

    def _show(self, compared: Compared) -> Updates:
        # With the names, because another file may have been chosen meanwhile.
        shown = zip(self.players, compared.players, compared.names, SIDES, strict=True)
        players = {
            player: f"<h3>{side}: {escape(name)}</h3>" + show_page(page, f"Events of {side}")
            for player, page, name, side in shown
        }

        page = show_page(compared.page, "Figures")
        verdict = f"<p>{escape(compared.verdict)}</p>"
        return {**players, self.verdict: verdict, self.page: page, self.command: compared.command}


def _split_sides(settings: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the settings of A and of B; each has a preset, an ON threshold and an OFF threshold."""
    return settings[:3], settings[3:]


def thresholds_of(preset: str) -> tuple[float, float]:
    """Return the ON and the OFF threshold of a preset, the first two of `conversion.KNOBS`."""
    pos_thres, neg_thres, *_ = knobs_of(preset)
    return pos_thres, neg_thres


def choices_of(preset: str, *thresholds: object) -> Choices:
    """Return the settings of a sensor preset with other thresholds, on all pixels of the video, to compare them."""
    _, _, *others = knobs_of(preset)
    numbers = [
        read_number(knob.label, value, knob.least, knob.most) for knob, value in zip(KNOBS, thresholds, strict=False)
    ]
    return Choices(preset, (*numbers, *others), "off", keeps_size=True)
