"""Properties of the files that predict the class are a finding; random ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from conftest import BAR_CLASSES, moving_bar, random_events
from facts import mentions
from numpy.typing import NDArray
from recorder import Recorder

from dvspipe.datasets import FolderConfig, open_dataset
from dvspipe.events import SensorSize
from dvspipe.formats import NO_HINTS, write
from dvspipe.parallel import ignore_progress
from dvspipe.training.file_properties import MIN_GAIN, PropertyScore, read_properties, score_properties
from dvspipe.verbs.training import train
from dvspipe.video.files import read_header
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video


def score(root: Path, group: str | None = None) -> PropertyScore:
    data = open_dataset(FolderConfig(root=root, group=group), seed=0)
    table = read_properties(data, NO_HINTS, {sample.name: 400 for sample in data.samples}, ignore_progress)
    found = score_properties(table, data.classes)
    assert found is not None
    return found


def write_recordings(root: Path, sides: dict[str, int], count: int = 12) -> None:
    """Write random recordings of equal rate and random duration; `sides` are the sensor widths of the classes."""
    for label, (name, side) in enumerate(sides.items()):
        for number in range(count):
            span_us = 90_000 + 1000 * (7 * number + 5 * label % 13)
            events = random_events(100 * label + number, 400, SensorSize(width=side, height=7), span_us)
            write(root / name / f"p{number}_{label}.h5", events)


def test_class_from_another_camera_is_separated(tmp_path: Path) -> None:
    write_recordings(tmp_path, {"a": 12, "b": 12, "c": 20})
    found = score(tmp_path)
    assert (found.separated, found.correct, found.files) == ("c", 36, 36)
    assert found.gain > MIN_GAIN


def test_classes_of_three_cameras_are_all_separated(tmp_path: Path) -> None:
    write_recordings(tmp_path, {"a": 12, "b": 16, "c": 20})
    found = score(tmp_path)
    assert (found.separated, found.correct) == (None, 36)
    assert mentions(str(found), "100%", "36", "33%")


def test_equal_cameras_are_no_finding(tmp_path: Path) -> None:
    write_recordings(tmp_path, {"a": 12, "b": 12})
    assert score(tmp_path).gain < 0.2
    assert score(tmp_path, group=r"^p\d+").gain < 0.2


def test_few_files_are_no_finding() -> None:
    assert PropertyScore(6, 6, 0.5).gain < MIN_GAIN < PropertyScore(16, 16, 0.5).gain


def test_header_of_a_video_has_size_rate_and_duration(tmp_path: Path) -> None:
    write_video(tmp_path / "a.webm", frames_from_arrays([random_image(n) for n in range(10)], fps=25))
    header = read_header(tmp_path / "a.webm")
    assert (header.width, header.height, header.fps, header.duration_s) == (96, 64, 25, 0.4)
    assert header.codec


def random_image(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (64, 96), np.uint8)


def test_training_warns_of_properties_and_reports_them(tmp_path: Path) -> None:
    for label, name in enumerate(BAR_CLASSES):
        for number in range(8):
            write(tmp_path / "data" / name / f"{2 * number}.h5", moving_bar(label, number, windows=label + 1))
    settings: dict[str, Any] = {
        "jobs": 1,
        "bins": {"steps": 5, "step_us": 20_000},
        "network": {"channels": [2]},
        "epochs": 1,
    }
    warnings: list[str] = []
    run = train({"data": {"root": tmp_path / "data"}}, tmp_path / "run", callback=Recorder(warnings), **settings)
    (finding,) = [finding for finding in run.test.findings if finding.kind == "properties"]
    assert mentions(finding.text, "100%", "duration")
    assert any(finding.text in text for text in warnings)
