"""Tabs of the app without a browser: what they show first, and after a file that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import DvspipeError
from dvspipe.base.progress import ignore_progress
from dvspipe.events import SensorSize
from dvspipe.formats import open_recording, write

pytest.importorskip("gradio", reason="the extra app is not installed")

import gradio as gr

from dvspipe.app.conversion import IDEAL, knobs_of
from dvspipe.app.examples import EVENTS, EXAMPLES, SAMPLE
from dvspipe.app.explorer import RecordingTab, explore
from dvspipe.app.jobs import Stopped
from dvspipe.app.shared import ChosenFile, handle, make_css, open_any, show_brand
from dvspipe.app.videos import VideoTab
from dvspipe.app.workspace import Session, Workspace

CHOSEN = ChosenFile(SAMPLE, SAMPLE.name)


@dataclass(frozen=True)
class Tabs:
    """Tabs of a page."""

    videos: VideoTab
    recordings: RecordingTab


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Workspace(tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("root")).open("mine")


@pytest.fixture(scope="module")
def tabs(session: Session) -> Tabs:
    async def build() -> Tabs:
        """Build the tabs in an event loop; otherwise Gradio opens more of them, and closes none."""
        with gr.Blocks():
            space, opened = session.space, gr.Button().click
            return Tabs(
                VideoTab(space, opened),
                RecordingTab(space, opened),
            )

    return asyncio.run(build())


def merge(steps: Iterator[dict[Any, Any]]) -> dict[Any, Any]:
    """Return the values of components after all updates of a handler."""
    return {component: value for updates in steps for component, value in updates.items()}


def test_file_that_cannot_be_read_is_not_chosen_and_named(tabs: Tabs, session: Session) -> None:
    broken = session.space.root / "uploads" / "12ab" / "bad.mp4"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"this is no video" * 100)
    for tab in (tabs.videos, tabs.recordings):
        steps = tab.picker.choose(ChosenFile(broken, "bad.mp4"))
        assert next(steps) == {tab.picker.source: None, tab.picker.line: "", tab.picker.upload: None}
        with raises(DvspipeError, "bad.mp4"):
            next(steps)


def test_without_a_file_previous_videos_and_answers_are_removed(tabs: Tabs, session: Session) -> None:
    tab = tabs.videos
    shown = merge(tab.show_file(session, None, IDEAL, *knobs_of(IDEAL), "off", "light"))
    assert "<iframe" not in shown[tab.page]
    assert (shown[tab.excerpt], shown[tab.classified], shown[tab.windows]) == (None, None, [])
    assert {shown[each] for each in (tab.preview, tab.command, tab.answer_command, tab.exporting)} == {""}
    shown = merge(tabs.recordings.explore(session, None, 0.5, 30.0, 0, "count", "light"))
    assert shown[tabs.recordings.explored] is None
    assert shown[tabs.recordings.page] == shown[tabs.recordings.picture] == ""


def test_video_is_shown_as_a_preview_until_it_is_classified(tabs: Tabs, session: Session) -> None:
    tab = tabs.videos
    settings = (IDEAL, *knobs_of(IDEAL), "off", "light")
    shown = merge(tab.show_file(session, CHOSEN, *settings))
    assert shown[tab.page] == shown[tab.preview]
    assert mentions(shown[tab.preview], "Preview", "256x192", "<iframe")
    assert shown[tab.sensor].visible
    again = list(tab.show_excerpt(session, shown[tab.excerpt], 0.0, CHOSEN, *settings))
    assert again == [{tab.previewing: ""}]
    events = ChosenFile(EVENTS.put(session), EVENTS.name)
    shown = merge(tab.show_file(session, events, *settings))
    assert not shown[tab.sensor].visible
    assert "<iframe" not in shown[tab.page]


def test_explore_opens_with_an_example_unless_a_recording_is_chosen(tabs: Tabs, session: Session) -> None:
    tab = tabs.recordings
    chosen = merge(tab.open_first(session, None))[tab.source]
    assert open_recording(chosen.path).sensor == SensorSize(width=320, height=240)
    assert list(tab.open_first(session, chosen)) == []


def test_region_to_cut_is_drawn(tabs: Tabs, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "noise.h5"
    write(path, random_events(0, 2000, SensorSize(width=34, height=26), 500_000))
    explored = explore(ChosenFile(path, path.name), ignore_progress)
    tab, place = tabs.recordings, (0.5, 30.0, 0, "count", "light")
    assert "10x8+2-3" in merge(tab.show_region(session, explored, "10x8+2-3", *place))[tab.region]
    assert merge(tab.show_region(session, explored, "10x", *place))[tab.region] == ""


def test_examples_have_thumbnails_and_can_be_opened(session: Session) -> None:
    css = make_css()
    assert css.count("data:image/jpeg;base64,") == len(EXAMPLES)
    for example in EXAMPLES:
        assert example.thumbnail.stat().st_size < 10_000
        assert f".{example.css_class}::before" in css
        path = example.put(session)
        assert path.name == example.name
        assert open_any(path)
        assert example.put(session) == path


def test_logo_is_an_accessible_drawing_of_the_page() -> None:
    assert mentions(show_brand(), "<svg", 'aria-label="dvspipe"', "<h1>dvspipe</h1>")


def test_stop_is_no_error(session: Session) -> None:
    def stopped(_: Session) -> Iterator[dict[Any, Any]]:
        raise Stopped("reading")
        yield {}

    class Request:
        session_hash = "page"

    (updates,) = handle(session.space, "status", stopped)(Request())
    assert "Stopped: reading." in updates["status"]
    assert "alert" not in updates["status"]


def test_action_removes_the_messages_of_the_previous_one(tabs: Tabs) -> None:
    class Request:
        session_hash = "page"

    tab = tabs.videos
    run = handle(tab.space, tab.exporting, lambda session: tab.make_file(session, None, ".h5", None), tab.messages)
    first, second = run(Request())
    assert first == dict.fromkeys(tab.messages, "")
    assert [*second] == [tab.exporting]


def test_work_of_a_closed_page_ends_without_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Request:
        session_hash = "closed"

    def broken(session: Session) -> Iterator[dict[Any, Any]]:
        session.space.close(session.name)
        raise ValueError
        yield {}

    space = Workspace(tmp_path / "folder", tmp_path / "root")
    assert list(handle(space, "status", broken)(Request())) == []
    assert not caplog.text
