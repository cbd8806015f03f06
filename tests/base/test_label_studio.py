"""Labels in the JSON of Label Studio."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import DataError
from dvspipe.base.label_studio import read_label_studio, write_label_studio
from dvspipe.base.labels import Span

NAMES = ("wave.mp4", "a/wave.mp4", "noise.h5")


def rate_of(name: str) -> float | None:
    return 25.0 if name.endswith(".mp4") else None


def save_task(path: Path, data: dict[str, Any], *results: dict[str, Any], **annotation: Any) -> Path:
    path.write_text(json.dumps([{"id": 1, "data": data, "annotations": [{"result": results, **annotation}]}]))
    return path


def video_label(start: Any, end: Any, name: str = "wave") -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [name]}
    return {"id": "x", "type": "timelinelabels", "value": value}


def recording_label(start: Any, end: Any, name: str = "wave") -> dict[str, Any]:
    return {"type": "timeserieslabels", "value": {"start": start, "end": end, "timeserieslabels": [name]}}


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True))
def test_labels_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, frames: list[int]) -> None:
    path = tmp_path_factory.mktemp("exported") / "labels.json"
    times_us = [40_000 * frame for frame in sorted(frames)]
    spans = [Span(start_us, end_us, "wave") for start_us, end_us in pairwise(times_us)]
    labels = {"a/wave.mp4": spans, "noise.h5": [Span(span.start_us + 3, span.end_us + 3, "b") for span in spans]}
    write_label_studio(path, labels, rate_of)
    assert read_label_studio(path, NAMES, rate_of) == labels


def test_first_frame_begins_at_zero_and_the_last_one_is_included(tmp_path: Path) -> None:
    path = save_task(tmp_path / "l.json", {"video": "wave.mp4"}, video_label(1, 25))
    assert read_label_studio(path, NAMES, rate_of) == {"wave.mp4": [Span(0, 1_000_000, "wave")]}
    path = save_task(tmp_path / "l.json", {"video": "wave.mp4", "fps": 50}, video_label(1, 25))
    assert read_label_studio(path, NAMES, rate_of) == {"wave.mp4": [Span(0, 500_000, "wave")]}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/1/0a1b2c3d-wave.mp4", "wave.mp4"),
        ("/data/local-files/?d=films/a/wave.mp4", "a/wave.mp4"),
        ("http://host/my%20films/wave.mp4", "wave.mp4"),
    ],
)
def test_task_is_found_by_the_end_of_its_address(tmp_path: Path, address: str, name: str) -> None:
    path = save_task(tmp_path / "l.json", {"clip": address}, video_label(1, 2))
    assert [*read_label_studio(path, NAMES, rate_of)] == [name]


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ({"video": "other-wave.mp4"}, video_label(1, 2)),
        ({"video": "wave.mp4"}, {"type": "choices", "value": {"choices": ["wave"]}}),
        ({"video": "wave.mp4"}, video_label(0, 2)),
        ({"video": "wave.mp4"}, video_label(1.5, 2)),
        ({"video": "wave.mp4", "fps": 0}, video_label(1, 2)),
        ({"csv": "noise.h5"}, video_label(1, 2)),
        ({"csv": "noise.h5"}, recording_label("now", 1)),
        ({"csv": "noise.h5"}, recording_label(1, 1)),
        ({"csv": "noise.h5"}, recording_label(0, 1, " ")),
    ],
)
def test_other_tasks_and_values_are_refused(tmp_path: Path, data: dict[str, Any], result: dict[str, Any]) -> None:
    with raises(DataError):
        read_label_studio(save_task(tmp_path / "l.json", data, result), NAMES, rate_of)


def test_cancelled_annotation_does_not_count(tmp_path: Path) -> None:
    path = save_task(tmp_path / "l.json", {"video": "wave.mp4"}, video_label(1, 2), was_cancelled=True)
    with raises(DataError, "l.json", "no labels"):
        read_label_studio(path, NAMES, rate_of)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ('<?xml version="1.0"?><annotations><track label="wave"/></annotations>', ("CVAT", "Label Studio")),
        ("{}", ("not an export", "array")),
        ("[1e999", ("not an export",)),
        ('[{"data": 3}]', ("0: data",)),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, facts: tuple[str, ...]) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with raises(DataError, "labels.json", *facts):
        read_label_studio(path, NAMES, rate_of)
