"""Learning tab without a browser: films of gestures, their parts, and the training of a classifier."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import dvspipe
from facts import mentions, raises
from filmed import make_film, make_track

from dvspipe.base.errors import ConfigError, DvspipeError
from dvspipe.inference import Classifier
from dvspipe.people import Track, TrackSettings

pytest.importorskip("gradio", reason="the extra app is not installed")

import gradio as gr
from PIL import Image

from dvspipe.app.gestures import (
    AddedFilm,
    LearnTab,
    Trained,
    copy_film,
    name_gesture,
    put_film,
    study_film,
    train_gestures,
)
from dvspipe.app.jobs import Stopped
from dvspipe.app.shared import ChosenFile, Updates
from dvspipe.app.videos import VideoTab
from dvspipe.app.workspace import Session, Workspace
from dvspipe.oneshot import ExampleFilm, LearnConfig

# The server of an earlier test module may end only now; Gradio leaves its event loop and sockets open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
]


def waving(*_: object, **__: object) -> Track:
    """Return a track of a moving hand, instead of tracking a film."""
    return make_track(0.15, axis=0)


def resting(*_: object, **__: object) -> Track:
    """Return a track of a person who does not move."""
    return make_track(0.0, axis=0)


@pytest.fixture(scope="module", autouse=True)
def _tracked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvspipe.oneshot.learning.track", waving)
        yield


def open_session(path: Path) -> Session:
    for name in ("folder", "root/sessions"):
        (path / name).mkdir(parents=True)
    return Workspace(path / "folder", path / "root").open("mine")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> ChosenFile:
    return ChosenFile(make_film(tmp_path_factory.mktemp("films") / "film.webm"), "my film.webm")


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> tuple[LearnTab, VideoTab]:
    space = Workspace(tmp_path_factory.mktemp("tabs"), tmp_path_factory.mktemp("tabs"))

    async def build() -> tuple[LearnTab, VideoTab]:
        """Build the tabs in an event loop; otherwise Gradio opens more of them, and closes none."""
        with gr.Blocks():
            opened = gr.Button().click
            return LearnTab(space, opened), VideoTab(space, opened)

    return asyncio.run(build())


@pytest.fixture(scope="module")
def tab(tabs: tuple[LearnTab, VideoTab]) -> LearnTab:
    return tabs[0]


@pytest.fixture(scope="module")
def session_of_wave(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return open_session(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="module")
def wave(session_of_wave: Session, film: ChosenFile) -> AddedFilm:
    folder = session_of_wave.folder
    return study_film(copy_film(film, "wave", folder), film.name, folder, ignore_stages)


def ignore_stages(*_: float | str) -> None:
    """Do nothing."""


def last(updates: Iterator[Updates]) -> Updates:
    """Run a handler, and return its last updates."""
    return [*updates][-1]


def as_film(film: AddedFilm, path: Path, gesture: str = "wave") -> AddedFilm:
    """Return a film with another file and gesture."""
    return replace(film, cut=replace(film.cut, film=ExampleFilm(path, gesture)))


# Films


def test_added_film_shows_its_part(tab: LearnTab, session: Session, film: ChosenFile) -> None:
    shown = last(tab.add_film(session, film, "my wave", ()))
    (added,) = shown[tab.added]
    assert added.gesture == "my_wave"
    assert (shown[tab.start], shown[tab.stop]) == pytest.approx(added.part_s, abs=0.005)
    label, value = shown[tab.films].choices[0]
    assert mentions(label, "my film.webm", f"{shown[tab.start]:.2f}", f"{shown[tab.stop]:.2f}")
    assert value == shown[tab.films].value == "my_wave-1"
    assert shown[tab.chosen].choices == [("my wave: 1 film", "my_wave")]
    assert added.picture.name in shown[tab.pictures]
    with Image.open(added.picture) as picture:
        assert max(picture.size) <= 240
    assert added.picture.name in shown[tab.view]
    assert shown[tab.name].choices == [("my_wave", "my_wave")]
    assert (shown[tab.name].value, shown[tab.status]) == (None, "")


def test_chosen_part_is_used(
    tab: LearnTab, session_of_wave: Session, wave: AddedFilm, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []

    def note_part(*_: object, config: TrackSettings, **__: object) -> Track:
        parts.append((config.start_s, config.stop_s))
        return waving()

    monkeypatch.setattr("dvspipe.oneshot.learning.track", note_part)
    last(tab.change_part(session_of_wave, wave.name, 1.0, 2.0, (wave,)))
    last(tab.change_part(session_of_wave, wave.name, None, None, (wave,)))
    assert parts == [(1.0, 2.0), (0.0, None)]


def test_gesture_has_several_films(tab: LearnTab, session: Session, wave: AddedFilm) -> None:
    swipe, other_wave = as_film(wave, Path("swipe-1.mp4"), "swipe"), as_film(wave, Path("wave-2.mp4"))
    added = put_film(put_film((wave,), swipe), other_wave)
    assert added == (wave, swipe, other_wave)
    assert put_film(added, swipe) == added

    shown = last(tab.show_gesture(session, "wave", added))
    assert shown[tab.chosen].choices == [("wave: 2 films", "wave"), ("swipe: 1 film", "swipe")]
    assert [value for _, value in shown[tab.films].choices] == ["wave-1", "wave-2"]
    assert shown[tab.films].value == "wave-2"
    assert shown[tab.name].value == "wave"  # the next film is one of this gesture
    assert last(tab.show_film(session, "wave-1", added))[tab.films].value == "wave-1"

    shown = last(tab.remove_film(session, "wave-2", added))
    assert shown[tab.films].value == "wave-1"
    shown = last(tab.remove_film(session, "wave-1", shown[tab.added]))
    assert shown[tab.added] == (swipe,)
    assert shown[tab.chosen].value == "swipe"
    assert last(tab.remove_film(session, "swipe-1", shown[tab.added]))[tab.added] == ()


def test_nothing_can_be_added_without_a_film(tab: LearnTab, session: Session) -> None:
    assert "empty" in last(tab.play_film(session, None, ()))[tab.view]
    with raises(ConfigError, "no film"):
        last(tab.add_film(session, None, "wave", ()))
    example = last(tab.open_first(session, None, ()))[tab.picker.source]
    assert "<video" in last(tab.play_film(session, example, ()))[tab.view]


def test_film_of_the_same_name_does_not_replace_the_file(session: Session, film: ChosenFile) -> None:
    names = [copy_film(film, "wave", session.folder).path.name for _ in range(2)]
    assert names == ["wave-1.webm", "wave-2.webm"]


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", ".hidden", "-o", "x" * 41, "a\0b", "other gestures"])
def test_unsuitable_name_is_an_error(name: str) -> None:
    with raises(ConfigError):
        name_gesture(name)


def test_missing_choices_are_errors(tab: LearnTab, session: Session, wave: AddedFilm) -> None:
    added = (wave,)
    with raises(ConfigError, "film"):
        last(tab.add_film(session, None, "wave", ()))
    with raises(ConfigError, "gesture"):
        last(tab.show_gesture(session, None, added))
    with raises(ConfigError, "film"):
        last(tab.remove_film(session, None, added))
    with raises(ConfigError, "gesture"):
        last(tab.train_classifier(session, (), None, None, False, ()))
    for start_s in (float("inf"), float("nan")):
        with raises(ConfigError, start_s):
            last(tab.change_part(session, wave.name, start_s, 2.0, added))
    with raises(DvspipeError, 1, 2):
        last(tab.change_part(session, wave.name, 2.0, 1.0, added))


def test_film_without_movement_is_refused(
    tab: LearnTab, session: Session, film: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvspipe.oneshot.learning.track", resting)
    with raises(DvspipeError, "wave-1.webm", "movement"):
        last(tab.add_film(session, film, "wave", ()))
    assert not any((session.folder / "films").rglob("*.webm"))


def test_file_that_is_no_video_is_an_error(tab: LearnTab, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no video", encoding="utf-8")
    with raises(DvspipeError, "wave-1.mp4"):
        last(tab.add_film(session, ChosenFile(path, path.name), "wave", ()))


def test_stopped_tracking_adds_nothing(
    tab: LearnTab, session: Session, film: ChosenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(*_: object, progress: object, **__: object) -> Track:
        while True:
            progress(1, 10)
            begun.set()

    monkeypatch.setattr("dvspipe.oneshot.learning.track", endless)
    updates = tab.add_film(session, film, "wave", ())
    assert "wave" in next(updates)[tab.status]
    assert begun.wait(60)
    assert mentions(next(updates)[tab.status], "tracking", "10%")
    session.stop(tab.status)
    with pytest.raises(Stopped):
        last(updates)


# Training


def test_trained_classifier_is_offered(
    tabs: tuple[LearnTab, VideoTab], session_of_wave: Session, wave: AddedFilm
) -> None:
    run = session_of_wave.folder / "gestures-1"
    trained = train_gestures([wave.film], run, LearnConfig(), ignore_stages)
    assert "gestures-1" in trained.summary
    with zipfile.ZipFile(trained.archive) as archive:
        names = archive.namelist()
    assert {"gestures-1/weights/best.safetensors", "gestures-1/weights/joints.safetensors"} <= {*names}
    offered = tabs[1].offer((trained,))
    assert offered.value == str(trained.run)
    assert (trained.to_choice()[0], offered.value) in offered.choices
    assert "wave" in trained.to_choice()[0]
    assert session_of_wave.space.resolve(offered.value) == trained.run.resolve()
    assert Classifier.load(trained.run).config.classes == ("wave", "other_gestures")


def test_shown_command_repeats_the_training(
    tab: LearnTab,
    session: Session,
    wave: AddedFilm,
    film: ChosenFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dvspipe.app.gestures.train_gestures", lambda *_: Trained(tmp_path, ("wave",), "", film.path))
    command = next(tab.train_classifier(session, (wave,), None, None, True, ()))[tab.command]
    assert "--mirror" in command
    (tmp_path / "films" / "wave").mkdir(parents=True)
    shutil.copy(film.path, tmp_path / "films" / "wave" / wave.film.path.name)
    dvspipe(*shlex.split(command, comments=True)[1:], cwd=tmp_path)
    assert (tmp_path / "gestures-1" / "weights" / "best.safetensors").is_file()
