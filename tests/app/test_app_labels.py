"""Label tab without a browser: files in the order of the margin, proposals, and saved labels."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import BAR_SENSOR, random_events
from facts import mentions, raises
from untrained import untrained_config, untrained_network

from dvspipe.base.errors import ConfigError, DataError, DvspipeError
from dvspipe.base.label_studio import write_label_studio
from dvspipe.base.labels import GESTURES, Span, read_labels, write_labels
from dvspipe.checkpoints.checkpoint import save_checkpoint
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.parallel import ignore_progress

pytest.importorskip("gradio", reason="the extra app is not installed")

import gradio as gr

from dvspipe.app.examples import SAMPLE
from dvspipe.app.labels import (
    LabelTab,
    Proposal,
    export_labels,
    fit_labels,
    import_labels,
    open_edited,
    order_files,
    parse_spans,
    propose,
)
from dvspipe.app.shared import ChosenFile
from dvspipe.app.workspace import Session, Workspace

CLAP = {"start_us": 1_500_000, "end_us": 2_000_000, "name": "clap"}
WAVE = {"start_us": 0, "end_us": 1_000_000, "name": "wave"}
SPANS = (Span(0, 1_000_000, "wave"), Span(1_500_000, 2_000_000, "clap"))
PROPOSAL = Proposal(SPANS, 0.25, ("wave", "clap", "other"))


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "root").mkdir()
    shutil.copy(SAMPLE, folder / "film.mp4")
    write(folder / "noise.h5", random_events(0, 400, SensorSize(width=12, height=7), 500_000).shift_time(3_000_000))
    return Workspace(folder, tmp_path / "root")


@pytest.fixture
def session(space: Workspace) -> Session:
    return space.open("page")


@pytest.fixture
def tab(space: Workspace) -> LabelTab:
    async def build() -> LabelTab:
        """Build the tab in an event loop; otherwise Gradio opens more of them, and closes none."""
        with gr.Blocks():
            return LabelTab(space, gr.Button().click)

    return asyncio.run(build())


def test_labels_are_saved_beside_the_file(tab: LabelTab, session: Session, space: Workspace) -> None:
    (shown,) = tab.save(session, "film.mp4", [CLAP, WAVE])
    assert mentions(shown[tab.saving], "film_labels.csv", "2")
    assert tuple(read_labels(space.folder / "film_labels.csv")) == SPANS
    list(tab.save(session, "film.mp4", []))
    assert read_labels(space.folder / "film_labels.csv") == []


@pytest.mark.parametrize("name", ["../root/a.mp4", "/etc/passwd", "film_labels.csv", "missing.mp4"])
def test_labels_are_saved_only_beside_listed_files(tab: LabelTab, session: Session, name: str) -> None:
    with raises(ConfigError, name):
        list(tab.save(session, name, [WAVE]))


@pytest.mark.parametrize(
    "changed",
    [
        {"end_us": 0},
        {"start_us": "0"},
        {"end_us": 1.5},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 100},
        {"name": 3},
    ],
)
def test_values_that_are_no_spans_are_refused(changed: dict[str, Any]) -> None:
    with raises(DataError, "not a span"):
        parse_spans([WAVE | changed])


def test_class_is_not_called_like_times_without_a_label() -> None:
    with raises(DataError, "uncertain"):
        parse_spans([WAVE | {"name": " uncertain"}])


def test_file_that_cannot_be_classified_has_a_reason(space: Workspace) -> None:
    (space.folder / "broken.mp4").write_bytes(b"no video" * 100)
    proposed = propose(space, ["broken.mp4"], "gesture-films", ignore_progress)
    assert proposed.proposals == {}
    (error,) = proposed.errors
    assert mentions(error, "broken.mp4")


def test_overlapping_and_too_many_spans_are_refused() -> None:
    with raises(DataError, "wave", "clap"):
        parse_spans([WAVE, CLAP | {"start_us": 999_999}])
    with raises(DataError, "10,001"):
        parse_spans([WAVE] * 10_001)


def test_least_certain_files_come_first_and_labelled_ones_last(space: Workspace) -> None:
    names = ["film.mp4", "noise.h5"]
    sure = replace(PROPOSAL, margin=0.9)
    assert [name for _, name in order_files(space, names, {"film.mp4": sure, "noise.h5": PROPOSAL})] == names[::-1]
    (space.folder / "noise_labels.csv").write_text("class,start_us,end_us\n")
    (first, _), (last, _) = order_files(space, names, {"film.mp4": sure, "noise.h5": PROPOSAL})
    assert mentions(first, "film.mp4", "90%")
    assert mentions(last, "noise.h5", "labelled")


def test_file_opens_with_proposals_until_it_has_labels(space: Workspace, tmp_path: Path) -> None:
    opened = open_edited(space, "film.mp4", PROPOSAL, tmp_path, ignore_progress)
    assert (opened.spans, opened.are_proposals, opened.classes) == (SPANS, True, PROPOSAL.classes)
    assert (opened.start_us, opened.is_film) == (0, True)
    assert opened.duration_us == pytest.approx(7_000_000, abs=100_000)
    (space.folder / "film_labels.csv").write_text("class,start_s,end_s\njump,1,2\n")
    (space.folder / "noise_labels.csv").write_text("class,start_s,end_s\nhop,1,2\n")
    opened = open_edited(space, "film.mp4", None, tmp_path, ignore_progress)
    assert (opened.spans, opened.are_proposals) == ((Span(1_000_000, 2_000_000, "jump"),), False)
    assert (opened.classes, opened.used) == (("hop", "jump", *GESTURES), ("hop",))


def test_recording_is_shown_as_a_film_on_its_own_clock(tab: LabelTab, session: Session) -> None:
    *_, shown = tab.open_file(session, "noise.h5", {})
    opened = json.loads(shown[tab.edited])
    assert 3_000_000 <= opened["start_us"] < 3_100_000
    assert not opened["is_film"]
    assert "events.webm" in opened["media"]


def test_nothing_to_label_is_explained(tab: LabelTab, session: Session, space: Workspace) -> None:
    for name in ("film", "noise"):
        (space.folder / f"{name}_labels.csv").write_text("class,start_us,end_us\n")
    with raises(DvspipeError, "labels"):
        list(tab.show_proposals(session, None, "gesture-films"))


def test_exported_labels_are_imported_where_there_are_none(space: Workspace, tmp_path: Path) -> None:
    write_labels(space.folder / "film_labels.csv", SPANS)
    write_labels(space.folder / "noise_labels.csv", [Span(3_000_000, 3_400_000, "hop")])
    exported = ChosenFile(export_labels(space, tmp_path), "labels.json")
    (space.folder / "film_labels.csv").unlink()
    assert mentions(import_labels(space, exported), "Imported the labels of 1 file.", "1 file with labels already")
    assert read_labels(space.folder / "film_labels.csv") == list(SPANS)


def test_labels_that_overlap_are_not_imported(space: Workspace, tmp_path: Path) -> None:
    spans = [Span(0, 1_000_000, "wave"), Span(500_000, 2_000_000, "clap")]
    write_label_studio(tmp_path / "labels.json", {"film.mp4": spans}, lambda _: 30.0)
    with raises(DataError, "wave", "clap", "overlap"):
        import_labels(space, ChosenFile(tmp_path / "labels.json", "labels.json"))
    assert not (space.folder / "film_labels.csv").exists()


def test_labels_are_offered_as_a_file(tab: LabelTab, session: Session, space: Workspace) -> None:
    with raises(ConfigError, "no file has labels"):
        list(tab.export_file(session))
    write_labels(space.folder / "film_labels.csv", SPANS)
    (shown,) = tab.export_file(session)
    assert mentions(shown[tab.exchanging], "labels.json", "download")


def test_imported_labels_are_opened(tab: LabelTab, session: Session) -> None:
    write_label_studio(session.folder / "labels.json", {"film.mp4": SPANS}, lambda _: 30.0)
    shown: dict[Any, Any] = {}
    for updates in tab.import_file(session, {"path": str(session.folder / "labels.json")}, "film.mp4", {}):
        shown |= updates
    assert shown[tab.opening] == "film.mp4"
    assert mentions(shown[tab.exchanging], "1 file")


def test_editor_stays_if_there_are_no_new_proposals(tab: LabelTab, session: Session) -> None:
    assert list(tab.open_file(session, None, {})) == [{tab.edited: ""}]


def write_labelled(space: Workspace) -> None:
    """Write two recordings of each of two classes, with labels, and an untrained classifier of others."""
    (space.folder / "film.mp4").unlink()
    for number, name in enumerate(("hop", "hop", "jump", "jump")):
        write(space.folder / f"{number}.h5", random_events(number, 400 + 400 * number, BAR_SENSOR, 200_000))
        (space.folder / f"{number}_labels.csv").write_text(f"class,start_us,end_us\n{name},0,200000\n")
    write(space.folder / "noise.h5", random_events(0, 400, BAR_SENSOR, 200_000), overwrite=True)
    config = untrained_config({"steps": 5, "step_us": 20_000})
    save_checkpoint(space.folder / "bars.safetensors", config, untrained_network(config))


def test_training_on_labels_proposes_with_the_result(tab: LabelTab, session: Session, space: Workspace) -> None:
    write_labelled(space)
    shown: dict[Any, Any] = {}
    for updates in tab.train_classifier(session, None, "bars.safetensors", ()):
        shown |= updates
    (new,) = shown[tab.trained]
    assert new.gestures == ("hop", "jump")
    assert mentions(new.summary, "Test accuracy", "2 of")
    assert Classifier.load(new.run).config.classes == ("hop", "jump")
    assert new.archive.is_file()
    assert shown[tab.proposals]["noise.h5"].classes == ("hop", "jump")

    # A fitted classifier is not fitted again to the same labels.
    *_, again = (
        updates for updates in tab.train_classifier(session, None, str(new.run), (new,)) if tab.trained in updates
    )
    assert [fitted.init for fitted in again[tab.trained]] == [str(space.folder / "bars.safetensors")] * 2


def test_stopped_training_leaves_no_run(session: Session, space: Workspace) -> None:
    write_labelled(space)

    def stop(_: float, __: float, stage: str = "") -> None:
        if stage == "readout":
            raise KeyboardInterrupt

    run = session.kept_folder() / "labels"
    with pytest.raises(KeyboardInterrupt):
        fit_labels(space, str(space.folder / "bars.safetensors"), run, stop)
    assert [*session.kept_folder().iterdir()] == []


def test_training_without_labels_is_explained(tab: LabelTab, session: Session) -> None:
    with raises(ConfigError, "label"):
        list(tab.train_classifier(session, None, "gesture-films", ()))
