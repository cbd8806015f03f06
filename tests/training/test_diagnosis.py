"""Diagnosis names what limits the result of a training; one folder per planted problem."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import dvspipe
from conftest import BAR_CLASSES, BAR_SENSOR, moving_bar
from facts import mentions, raises
from recorder import Recorder

from dvspipe import evaluate, train
from dvspipe.base.errors import DataError
from dvspipe.datasets import DataConfig, read_split
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.results import Finding, RunFolder, TrainingRun, wilson_interval
from dvspipe.training import TrainConfig, TrainingCallback

SETTINGS: dict[str, Any] = {
    "jobs": 1,
    "steps": 5,
    "step_us": 20000,
    "channels": [6],
    "kernel": 3,
    "tau_mem_s": 0.04,
    "shift_px": 0,
    "epochs": 2,
    "batch": 4,
    "learning_rate": 0.02,
}


def write_bars(root: Path, each: int = 5, windows: int = 1) -> None:
    for label, name in enumerate(BAR_CLASSES):
        for number in range(each):
            write(root / name / f"{number:02}.raw", moving_bar(label, number, windows))


def settings_for(root: Path, **over: Any) -> TrainConfig:
    return TrainConfig.model_validate(SETTINGS | {"root": str(root)} | over)


def run_data(run: TrainingRun) -> DataConfig:
    return TrainConfig.model_validate(yaml.safe_load(run.settings))


def diagnosed(root: Path, **over: Any) -> tuple[dict[str, Finding], TrainingRun, list[str]]:
    """Train on a folder; return the findings by kind, the run and its warnings."""
    warnings: list[str] = []

    run = train(settings_for(root, **over), out=root.parent / "run", callback=Recorder(warnings), overwrite=True)
    return {finding.kind: finding for finding in run.test.findings}, run, warnings


def test_single_recordings_divided_in_time_are_named(tmp_path: Path) -> None:
    write_bars(tmp_path / "data", 1, windows=8)
    windows = {"window_us": 100_000}
    found, run, warnings = diagnosed(tmp_path / "data", **windows)
    assert mentions(found["films"].text, *BAR_CLASSES)
    assert any(found["films"].text in text for text in warnings)
    assert any("in time" in note for note in run.test.notes)


def test_films_divided_in_time_can_be_evaluated(tmp_path: Path) -> None:
    write_bars(tmp_path / "data", 2, windows=8)
    found, run, _ = diagnosed(tmp_path / "data", window_us=100_000)
    assert "films" in found
    assert evaluate(run.folder.path, tmp_path / "data").confusion == run.test.confusion


def test_share_that_is_really_held_out_is_printed(tmp_path: Path) -> None:
    """A part has a recording of each class, so half of two is held out, not 10 %."""
    write_bars(tmp_path / "data", 3)
    notes: list[str] = []

    class Notes(TrainingCallback):
        def on_note(self, text: str) -> None:
            notes.append(text)

    train(settings_for(tmp_path / "data"), out=tmp_path / "run", callback=Notes())
    assert any(mentions(note, "validation: 3 recordings (50%)") for note in notes)


def test_split_without_validation_gets_one_from_its_training_part(tmp_path: Path) -> None:
    write_bars(tmp_path / "data")
    root = tmp_path / "data"
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.raw"))]
    split = {"train": [name for name in names if name not in names[::5]], "validation": [], "test": names[::5]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    _, run, warnings = diagnosed(tmp_path / "data", split=str(tmp_path / "split.json"), validation=0.25)
    used = read_split(run.folder.split)
    assert (len(used.train), len(used.validation), set(used.test)) == (9, 3, set(split["test"]))
    assert any("validation" in text for text in warnings)
    assert "3 for validation" in run.test.notes[0]


def test_copies_of_training_recordings_are_excluded_from_the_test(tmp_path: Path) -> None:
    write_bars(tmp_path / "data" / "train")
    write_bars(tmp_path / "data" / "test", 2, windows=2)
    copy = tmp_path / "data" / "test" / "left" / "copy.raw"
    shutil.copy(tmp_path / "data" / "train" / "left" / "03.raw", copy)
    found, run, warnings = diagnosed(tmp_path / "data")
    assert str(copy) in found["copies"].text
    assert "03.raw" in found["copies"].text
    assert any(str(copy) in text for text in warnings)
    assert run.test.samples == 6
    assert read_split(run.folder.split).copies == ("test/left/copy.raw",)
    assert evaluate(run.checkpoint, settings_for(tmp_path / "data"), part="test").samples == 6
    by_folder = evaluate(run.folder.path, settings_for(tmp_path / "data", seed=5), part="validation")
    assert by_folder.confusion == evaluate(run.checkpoint, run_data(run), part="validation").confusion


def test_test_part_with_only_copies_is_an_error(tmp_path: Path) -> None:
    write_bars(tmp_path / "data" / "train")
    shutil.copytree(tmp_path / "data" / "train" / "left", tmp_path / "data" / "test" / "left")
    with raises(DataError, "5"):
        diagnosed(tmp_path / "data")


def test_class_with_one_recording_is_reported_before_settings(tmp_path: Path) -> None:
    write_bars(tmp_path / "data")
    write(tmp_path / "data" / "rare" / "one.raw", moving_bar(0, 99))
    found, run, _ = diagnosed(tmp_path / "data", epochs=1, learning_rate=1e-4)
    assert "rare" in found["untested"].text
    assert sum(run.test.confusion[run.test.classes.index("rare")]) == 0
    first, *others = run.test.findings
    assert first.kind == "few"
    assert "rare (1)" in first.text
    assert "updates" in {finding.kind for finding in others}


@pytest.fixture(scope="module")
def updated_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Finding], TrainingRun, list[str]]:
    """Train with a single update."""
    root = tmp_path_factory.mktemp("once") / "data"
    write_bars(root)
    return diagnosed(root, epochs=1, batch=32, learning_rate=1e-4)


def test_choice_of_epoch_with_few_validation_recordings_is_explained(
    updated_once: tuple[object, TrainingRun, object],
) -> None:
    _, run, _ = updated_once
    best, last = (run.epochs[0].model_copy(update={"val_accuracy": share}) for share in (1.0, 2 / 3))
    test = run.test.model_copy(update={"chosen_epoch": 2, "val_accuracy": 2 / 3})
    chosen = replace(run, epochs=(best, last.model_copy(update={"epoch": 2})), test=test)
    assert mentions(chosen.choice, "epoch 1", "not significantly worse")
    assert "worse" not in replace(chosen, test=test.model_copy(update={"chosen_epoch": 1})).choice


def test_events_outside_the_steps_give_a_warning(tmp_path: Path) -> None:
    write_bars(tmp_path / "data", windows=4)
    found, _, warnings = diagnosed(tmp_path / "data")
    assert "75%" in found["outside"].text
    assert "window_us=100000" in found["outside"].text
    assert any("75%" in text and "window_us=100000" in text for text in warnings)
    mended, run, warnings = diagnosed(tmp_path / "data", window_us=100_000)
    assert "outside" not in mended
    assert not warnings
    assert run.test.samples == 12  # windows of three recordings

    # The windows are the same as in the run; the progress shows that recordings are opened to cut them.
    stages: list[tuple[object, ...]] = []
    callback = TrainingCallback()
    callback.on_progress = lambda *stage: stages.append(stage)  # type: ignore[method-assign]
    result = evaluate(run.folder.path, tmp_path / "data", callback=callback)
    assert result.samples == 12
    assert stages[:15] == [("opening recordings", number, 15) for number in range(1, 16)]
    recordings = result.classify_recordings()
    assert recordings is not None
    assert recordings.samples == 3


def test_silent_layers_are_reported(tmp_path: Path) -> None:
    write_bars(tmp_path / "data")
    found, _, _ = diagnosed(tmp_path / "data", gain=0.01)
    assert found["silent"].text.startswith("lif1 ")


def test_saturated_layers_are_reported(tmp_path: Path) -> None:
    write_bars(tmp_path / "data")
    # one channel with mostly negative weights: batch norm makes pixels without events positive
    found, _, _ = diagnosed(tmp_path / "data", channels=[1], gain=1e4, learning_rate=1e-6)
    assert found["saturated"].text.startswith("lif1 ")


def test_too_few_updates_are_reported(updated_once: tuple[dict[str, Finding], TrainingRun, object]) -> None:
    found, _, _ = updated_once
    assert "1 times" in found["updates"].text


def test_network_worse_than_event_counting_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(BAR_CLASSES):
        for number in range(8):
            count = 200 * (label + 1) + number
            x, y, p = (rng.integers(0, most, count) for most in (BAR_SENSOR.width, BAR_SENSOR.height, 2))
            events = Events(np.sort(rng.integers(0, 100_000, count)), x, y, p, BAR_SENSOR)
            write(tmp_path / "data" / name / f"{number}.raw", events)
    found, run, _ = diagnosed(tmp_path / "data", form="binary", learning_rate=1e-6)
    assert run.test.event_count_accuracy == 1
    assert "100.0%" in found["counting"].text


@pytest.mark.parametrize(("each", "channels", "batch"), [(6, [6], 32), (5, [8, 8], 32), (4, [6, 6, 6], 16)])
def test_evaluation_mode_matches_training_mode(each: int, channels: list[int], batch: int, tmp_path: Path) -> None:
    """With one update per epoch, running statistics would still be mostly their initial values."""
    write_bars(tmp_path / "data", each)
    _, run, _ = diagnosed(tmp_path / "data", channels=channels, epochs=20, batch=batch)
    printed = run.epochs[run.test.chosen_epoch - 1].train_accuracy
    assert run.test.train_accuracy == pytest.approx(printed, abs=0.02)
    assert printed > 0.6


def test_findings_are_printed_and_in_the_report(tmp_path: Path) -> None:
    write_bars(tmp_path / "data")
    settings = ["step_us=20000", "epochs=1", "learning_rate=0.000001"]
    printed = dvspipe("train", "data", *settings, cwd=tmp_path).output
    run = TrainingRun.read(RunFolder(tmp_path / "runs/train/data"))
    page = run.folder.report.read_text(encoding="utf-8")
    assert run.test.findings
    for finding in run.test.findings:
        assert finding.text.split(",")[0] in " ".join(printed.split())
        assert finding.text.split(",")[0] in page
    assert mentions(printed, "training: 9 recordings", "validation: 3 recordings (25%)", "test: 3 recordings")
    assert run.test.val_accuracy is not None
    correct = round(run.test.val_accuracy * 3)
    for kind, right in (("test", run.test.correct), ("validation", correct)):
        low, high = wilson_interval(right, 3)
        assert mentions(printed, f"{kind} accuracy", f"{right} of 3", f"{low:.1%} to {high:.1%}")
    assert len(run.test.wrong) == run.test.samples - run.test.correct > 0
    assert run.folder.wrong.is_file()
    assert all(Path(wrong.name).name in page and wrong.label != wrong.predicted for wrong in run.test.wrong)
