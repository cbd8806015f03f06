"""Diagnosis names what limits the result of a training; one folder per planted problem."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, write_bars
from facts import mentions, raises, warnings_of
from small_training import SMALL

from dvspipe import evaluate, train
from dvspipe.base.errors import DataError, FileError
from dvspipe.base.gestures import OTHER
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.datasets.split import read_split
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.results import RunFolder, TrainingRun
from dvspipe.training import TrainConfig


def train_on(root: Path, **over: Any) -> TrainingRun:
    """Train on a folder; its findings are in the test."""
    config = TrainConfig.model_validate(SMALL | {"root": str(root), "epochs": 2, "batch": 4, "shift_px": 0} | over)
    return train(config, out=root.parent / "run", overwrite=True)


def find(run: TrainingRun, *facts: object) -> str:
    """Return the finding with these facts."""
    (finding,) = [text for text in run.test.findings if mentions(text, *facts)]
    return finding


def test_films_divided_in_time_are_named_and_can_be_evaluated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train_on(write_bars(tmp_path / "data", 1, windows=8), window_us=100_000)
    assert find(run, "films", *BAR_CLASSES) in warnings_of(caplog)
    assert evaluate(run.folder.path, tmp_path / "data").confusion == run.test.confusion


def test_copies_of_training_recordings_are_excluded_from_the_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    write_bars(root / "train", 5)
    write_bars(root / "test", 2, windows=2)
    copy = root / "test" / "left" / "copy.raw"
    shutil.copy(root / "train" / "left" / "04.raw", copy)
    run = train_on(root)
    assert find(run, copy, "04.raw") in warnings_of(caplog)
    assert read_split(run.folder.split).copies == ("test/left/copy.raw",)
    assert run.test.samples == evaluate(run.checkpoint, root).samples == 6

    shutil.rmtree(root / "test")
    shutil.copytree(root / "train" / "left", root / "test" / "left")
    with raises(DataError, "5"):
        train_on(root)


def test_pieces_of_one_recording_in_two_parts_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "data"
    for label, name in enumerate(BAR_CLASSES):
        for number in range(5):
            bar = moving_bar(label, number)
            later = Events(bar.t + label * number * 10**6, bar.x, bar.y, bar.p, bar.sensor)  # not of the first class
            write(root / name / f"{number:02}.h5", later, source=f"{name}.raw")
    run = train_on(root)
    assert find(run, "2 of 3 test recordings", "down.raw", "group", "if several recordings") in warnings_of(caplog)


def test_two_classes_never_say_no_gesture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for names, is_said in ((("left", "right"), True), (("left", OTHER), False), (BAR_CLASSES, False)):
        caplog.clear()
        root = tmp_path / "_".join(names) / "data"
        for label, name in enumerate(names):
            for number in range(5):
                write(root / name / f"person{number}.raw", moving_bar(label, number))
        run = train_on(root)
        said = [text for text in warnings_of(caplog) if mentions(text, "left or right", OTHER, "third folder")]
        assert len(said) == is_said
        assert sum(mentions(text, "third folder") for text in run.test.findings) == is_said


def test_rank_alone_does_not_silence_a_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    run = train_on(write_bars(tmp_path / "data", 5))
    assert run.folder.test.is_file()
    with raises(FileError, "overwrite"):  # which only the first process checks
        train(TrainConfig.model_validate(SMALL | {"root": str(tmp_path / "data")}), out=run.folder.path)
    assert any(record.levelname == "INFO" for record in caplog.records if record.name == "dvspipe.training")


def test_events_outside_the_steps_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train_on(write_bars(tmp_path / "data", 5, windows=4))
    assert find(run, "75%", "window_us=100000") in warnings_of(caplog)

    run = train_on(tmp_path / "data", window_us=100_000)
    assert warnings_of(caplog) == []
    assert run.test.samples == 12  # windows of three recordings
    result = evaluate(run.folder.path, tmp_path / "data")  # with the windows of the run
    recordings = result.classify_recordings()
    assert (result.samples, recordings and recordings.samples) == (12, 3)


def test_silent_and_saturated_layers_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_bars(tmp_path / "data", 5)
    assert find(train_on(root, tau_mem_s=1000.0), "lif1", "not spike")

    monkeypatch.setattr("dvspipe.training.diagnosis.SATURATED_RATE", 1e-3)
    assert find(train_on(root), "lif1", "% of the steps")


def test_overfitting_is_reported(tmp_path: Path) -> None:
    """The test recordings have the labels of other classes."""
    root = tmp_path / "data"
    write_bars(root / "train", 8)
    for label, name in enumerate(BAR_CLASSES):
        for number in range(6):
            write(root / "test" / name / f"{number}.raw", moving_bar((label + 1) % 3, 100 + number))
    run = train_on(root, epochs=6)
    assert run.test.accuracy < 0.5
    assert find(run, "overfitting", f"{run.test.train_accuracy:.0%}", f"{run.test.accuracy:.0%}")


def test_few_validation_recordings_are_reported(tmp_path: Path) -> None:
    run = train_on(write_bars(tmp_path / "data", 5))
    assert find(run, "3 validation")

    best, last = (run.epochs[0].model_copy(update={"val_accuracy": share}) for share in (1.0, 2 / 3))
    test = run.test.model_copy(update={"chosen_epoch": 2, "val_accuracy": 2 / 3})
    chosen = replace(run, epochs=(best, last.model_copy(update={"epoch": 2})), test=test)
    assert mentions(chosen.choice, "epoch 1", "not significantly worse")


def test_without_validation_all_training_recordings_and_the_last_epoch_are_used(tmp_path: Path) -> None:
    run = train_on(write_bars(tmp_path / "data", 5), validation=0)
    assert (run.test.chosen_epoch, run.test.val_accuracy) == (2, None)
    assert mentions(run.choice, "last")

    config, network = load_checkpoint(run.checkpoint)
    _, last = load_checkpoint(run.folder.last)
    assert (config.temperature, config.calibrated_on) == (1.0, 0)
    assert all(torch.equal(last.state_dict()[name], weights) for name, weights in network.state_dict().items())


def test_split_without_validation_gets_one_from_its_training_part(tmp_path: Path) -> None:
    root = write_bars(tmp_path / "data", 5)
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.raw"))]
    split = {"train": [name for name in names if name not in names[::5]], "validation": [], "test": names[::5]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    used = read_split(train_on(root, split=str(tmp_path / "split.json"), validation=0.25).folder.split)
    assert (len(used.train), len(used.validation), set(used.test)) == (9, 3, set(split["test"]))


def test_result_and_findings_are_printed_and_in_the_report(tmp_path: Path) -> None:
    write_bars(tmp_path / "data", 5)
    printed = dvspipe(
        "train", "data", "step_us=20000", "epochs=1", "learning_rate=0.000001", "jobs=1", cwd=tmp_path
    ).output
    run = TrainingRun.read(RunFolder(tmp_path / "runs/train/data"))
    page = run.folder.report.read_text(encoding="utf-8")
    assert run.test.findings
    for finding in run.test.findings:
        assert finding in " ".join(printed.split())
        assert finding in page
    assert mentions(printed, "test accuracy", f"{run.test.correct} of 3")
