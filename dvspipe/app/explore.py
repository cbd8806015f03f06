"""Explore tab: facts and pictures of a recording, what it shows, and parts of it without noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..events.filter_config import FilterConfig
from ..recordings.config import ConvertConfig
from . import tasks
from .files import SAMPLE
from .parts import Page, Site, add_source, add_stop, show_empty, show_file

KINDS = [("Pictures", ".png"), ("Film", ".webm"), ("Space and time", "xyt"), ("Rate", "rate")]
NO_FILE = "Choose a recording: its events appear here."
EXAMPLE = "sample.h5"


def read_part(start_s: float | None, stop_s: float | None, region: str | None) -> tasks.ChosenPart:
    """Return the part of a recording from the values of the page; an empty or zero value does not cut."""
    return tasks.ChosenPart(start_s or 0.0, stop_s or None, (region or "").strip() or None)


def read_filters(hot: bool, refractory_ms: float | None, activity_ms: float | None) -> FilterConfig:
    """Return the filters from the values of the page; an empty or zero value turns a filter off."""
    times_us = [round(1000 * time_ms) if time_ms else None for time_ms in (refractory_ms, activity_ms)]
    return FilterConfig(hot_pixels=hot, refractory_us=times_us[0], activity_us=times_us[1])


class ExploreTab:
    """Explore tab: its components and their event handlers.

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
                self.upload = gr.File(label="Recording", type="filepath", height=140)
                self.source = add_source(self.site, self.upload, self.site.files.list_recordings, tab.select)
                self.kind = gr.Radio(KINDS, value=".png", label="Show")
                with gr.Row():
                    self.start = gr.Number(0, label="Start (s)", min_width=120, minimum=0)
                    self.stop = gr.Number(0, label="Stop (s); 0: end", min_width=120, minimum=0)
                self.region = gr.Textbox("", label="Region, WxH+X+Y", placeholder="128x128+20+10")
                self.checkpoint = gr.Dropdown(
                    self.site.files.list_checkpoints(), value=DEFAULT_CHECKPOINT, label="Classifier"
                )
                self.classify = gr.Button("Classify")
                self.stopping = gr.Row()
            with gr.Column(scale=2, min_width=300):
                self.view = gr.HTML(show_empty(NO_FILE))
                self.facts = gr.Textbox("", label="Facts", interactive=False, lines=2, elem_classes="facts-box")

        with gr.Accordion("Save this part", open=False):
            with gr.Row():
                self.hot = gr.Checkbox(label="Remove hot pixels")
                self.refractory = gr.Number(0, label="Refractory period (ms); 0: off", min_width=120, minimum=0)
                self.activity = gr.Number(0, label="Background activity (ms); 0: off", min_width=120, minimum=0)
                self.suffix = gr.Dropdown([*tasks.EVENT_SUFFIXES], value=".h5", label="Format", min_width=120)
            self.write = gr.Button("Write the file")
            self.file = gr.File(label="Download", visible=False)

        self.part = [self.start, self.stop, self.region]

    def _connect(self, tab: gr.Tab) -> None:
        on = partial(gr.on, api_visibility="private", trigger_mode="always_last")
        shown = on(
            [
                self.kind.input,
                self.start.submit,
                self.start.blur,
                self.stop.submit,
                self.stop.blur,
                self.region.submit,
                self.region.blur,
            ],
            self.site.handler(self.show_view),
            [*self.source.inputs, self.kind, *self.part],
            [self.view],
        )
        chosen = self.source.connect(
            self.site.handler(self.show_chosen), [self.kind], [self.view, self.facts, *self.part, self.file], self.view
        )
        classified = on(
            [self.classify.click],
            self.site.handler(self.show_answer),
            [*self.source.inputs, self.checkpoint],
            [self.view],
        )
        filters = [self.hot, self.refractory, self.activity]
        written = on(
            [self.write.click],
            self.site.handler(self.write_part),
            [*self.source.inputs, self.suffix, *filters, *self.part],
            [self.file],
            show_progress_on=self.write,
        )
        with self.stopping:
            add_stop(shown, *chosen, classified, written)
        on(
            [tab.select],
            self.site.handler(self.open_first),
            self.source.inputs,
            [self.upload],
            show_progress_on=self.view,
        )

    def show_view(self, page: Page, upload: str | None, name: str | None, kind: str, *part: Any) -> Iterator[Any]:
        """Show the chosen part."""
        path = self.site.files.choose(upload, name)
        made = yield from page.run("drawing", tasks.look, path, read_part(*part), kind, page.new_folder("looked"))
        yield {self.view: show_file(made, "Events of the recording")}

    def show_chosen(self, page: Page, upload: str | None, name: str | None, kind: str) -> Iterator[Any]:
        """Show a chosen recording completely, with its facts."""
        yield {
            self.view: show_empty(NO_FILE),
            self.facts: "",
            self.start: 0,
            self.stop: 0,
            self.region: "",
            self.file: gr.File(visible=False),
        }
        if not (upload or name):
            return
        path = self.site.files.choose(upload, name)
        text = yield from page.run("reading the recording", tasks.describe, path)
        yield {self.facts: text}
        yield from self.show_view(page, upload, name, kind, 0, 0, "")

    def show_answer(self, page: Page, upload: str | None, name: str | None, checkpoint: str) -> Iterator[Any]:
        """Classify the recording."""
        path = self.site.files.choose(upload, name)
        network = self.site.files.find_checkpoint(checkpoint)
        report = yield from page.run(
            "classifying",
            tasks.classify,
            path,
            network,
            False,
            page.new_folder("answered"),
        )
        yield {self.view: show_file(report, "Events and predictions over time")}

    def write_part(
        self,
        page: Page,
        upload: str | None,
        name: str | None,
        suffix: str,
        hot: bool,
        refractory_ms: float | None,
        activity_ms: float | None,
        *part: Any,
    ) -> Iterator[Any]:
        """Write the part without noise."""
        path = self.site.files.choose(upload, name)
        filters = read_filters(hot, refractory_ms, activity_ms)
        folder = page.new_folder("written")
        made = yield from page.run("writing", tasks.edit, path, read_part(*part), filters, suffix, folder)
        yield {self.file: gr.File(value=str(made), visible=True)}

    def open_first(self, page: Page, upload: str | None, name: str | None) -> Iterator[Any]:
        """Choose the events of the example, unless a recording is chosen."""
        if upload or name:
            return
        folder = page.new_folder("example")
        made = yield from page.run("making the example", tasks.write, SAMPLE, ".h5", ConvertConfig(), folder)
        yield str(made)
