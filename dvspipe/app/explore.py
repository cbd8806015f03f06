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


def read_part(start_s: float | None, stop_s: float | None, region: str | None) -> tasks.Part:
    """Return the part of a recording from the values of the page; an empty or zero value does not cut."""
    return tasks.Part(start_s or 0.0, stop_s or None, (region or "").strip() or None)


def read_filters(hot: bool, refractory_ms: float | None, activity_ms: float | None) -> FilterConfig:
    """Return the filters from the values of the page; an empty or zero value turns a filter off."""
    times_us = [round(1000 * time_ms) if time_ms else None for time_ms in (refractory_ms, activity_ms)]
    return FilterConfig(hot_pixels=hot, refractory_us=times_us[0], activity_us=times_us[1])


def add_explore(site: Site, tab: gr.Tab) -> gr.Dropdown:
    """Add the components of the tab; return the choice of the classifier."""
    with gr.Row():
        with gr.Column(min_width=300):
            upload = gr.File(label="Recording", type="filepath", height=140)
            source = add_source(site, upload, site.files.list_recordings, tab.select)
            kind = gr.Radio(KINDS, value=".png", label="Show")
            with gr.Row():
                start = gr.Number(0, label="Start (s)", min_width=120, minimum=0)
                stop = gr.Number(0, label="Stop (s); 0: end", min_width=120, minimum=0)
            region = gr.Textbox("", label="Region, WxH+X+Y", placeholder="128x128+20+10")
            checkpoint = gr.Dropdown(site.files.list_checkpoints(), value=DEFAULT_CHECKPOINT, label="Classifier")
            classify = gr.Button("Classify")
            stopping = gr.Row()
        with gr.Column(scale=2, min_width=300):
            view = gr.HTML(show_empty(NO_FILE))
            facts = gr.Textbox("", label="Facts", interactive=False, lines=2, elem_classes="facts-box")

    with gr.Accordion("Save this part", open=False):
        with gr.Row():
            hot = gr.Checkbox(label="Remove hot pixels")
            refractory = gr.Number(0, label="Refractory period (ms); 0: off", min_width=120, minimum=0)
            activity = gr.Number(0, label="Background activity (ms); 0: off", min_width=120, minimum=0)
            suffix = gr.Dropdown([*tasks.EVENT_SUFFIXES], value=".h5", label="Format", min_width=120)
        write = gr.Button("Write the file")
        file = gr.File(label="Download", visible=False)

    part = [start, stop, region]

    def show_view(page: Page, upload: str | None, name: str | None, kind: str, *part: Any) -> Iterator[Any]:
        """Show the chosen part."""
        path = site.files.choose(upload, name)
        made = yield from page.run("drawing", tasks.look, path, read_part(*part), kind, page.new_folder("looked"))
        yield {view: show_file(made, "Events of the recording")}

    def show_chosen(page: Page, upload: str | None, name: str | None, kind: str) -> Iterator[Any]:
        """Show a chosen recording completely, with its facts."""
        yield {view: show_empty(NO_FILE), facts: "", start: 0, stop: 0, region: "", file: gr.File(visible=False)}
        if not (upload or name):
            return
        path = site.files.choose(upload, name)
        text = yield from page.run("reading the recording", tasks.describe, path)
        yield {facts: text}
        yield from show_view(page, upload, name, kind, 0, 0, "")

    def show_answer(page: Page, upload: str | None, name: str | None, checkpoint: str) -> Iterator[Any]:
        """Classify the recording."""
        path = site.files.choose(upload, name)
        network = site.files.find_checkpoint(checkpoint)
        report = yield from page.run(
            "classifying",
            tasks.classify,
            path,
            network,
            False,
            page.new_folder("answered"),
        )
        yield {view: show_file(report, "Events and predictions over time")}

    def write_part(
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
        path = site.files.choose(upload, name)
        filters = read_filters(hot, refractory_ms, activity_ms)
        folder = page.new_folder("written")
        made = yield from page.run("writing", tasks.edit, path, read_part(*part), filters, suffix, folder)
        yield {file: gr.File(value=str(made), visible=True)}

    def open_first(page: Page, upload: str | None, name: str | None) -> Iterator[Any]:
        """Choose the events of the example, unless a recording is chosen."""
        if upload or name:
            return
        folder = page.new_folder("example")
        made = yield from page.run("making the example", tasks.write, SAMPLE, ".h5", ConvertConfig(), folder)
        yield str(made)

    on = partial(gr.on, api_visibility="private", trigger_mode="always_last")
    shown = on(
        [kind.input, start.submit, start.blur, stop.submit, stop.blur, region.submit, region.blur],
        site.handler(show_view),
        [*source.inputs, kind, *part],
        [view],
    )
    chosen = source.connect(site.handler(show_chosen), [kind], [view, facts, *part, file], view)
    classified = on([classify.click], site.handler(show_answer), [*source.inputs, checkpoint], [view])
    filters = [hot, refractory, activity]
    written = on(
        [write.click],
        site.handler(write_part),
        [*source.inputs, suffix, *filters, *part],
        [file],
        show_progress_on=write,
    )
    with stopping:
        add_stop(shown, *chosen, classified, written)
    on([tab.select], site.handler(open_first), source.inputs, [upload], show_progress_on=view)
    return checkpoint
