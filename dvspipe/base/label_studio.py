"""Labels over time as JSON tasks of Label Studio.

A video has ranges of frames, counted from 1, both ends included (https://labelstud.io/tags/timelinelabels); a recording
has times in seconds on its own clock (https://labelstud.io/tags/timeserieslabels). CVAT has no labels over time: its
tracks are boxes with frame numbers, and its files do not store the frame rate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from .errors import DataError
from .files import read_bytes, write_text
from .labels import LATEST_LABEL_US, MAX_LABEL_BYTES, Span

RateOf = Callable[[str], float | None]
"""Returns the frames per second of a video by its name; None for a recording."""
VIDEO_LABELS = "timelinelabels"
RECORDING_LABELS = "timeserieslabels"
UPLOAD_PREFIX = "[0-9a-f]{8}-"  # Label Studio adds it to the names of uploads

Seconds = Annotated[float, Field(ge=-LATEST_LABEL_US / 1e6, le=LATEST_LABEL_US / 1e6)]
Rate = Annotated[float, Field(ge=1e-3, le=1e6)]
FrameNumber = Annotated[int, Field(ge=1, le=1 << 40)]


class _Model(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _Range(_Model):
    start: FrameNumber
    end: FrameNumber


class _VideoLabel(_Model):
    ranges: list[_Range]
    timelinelabels: list[str]


class _RecordingLabel(_Model):
    start: Seconds
    end: Seconds
    timeserieslabels: list[str]


class _Result(_Model):
    type: str = ""
    value: JsonValue = None


class _Annotation(_Model):
    result: list[_Result] = []
    was_cancelled: bool = False


class _Data(_Model, extra="allow"):
    fps: Rate | None = None
    """Frame rate of a video, with which Label Studio counted."""


class _Task(_Model):
    data: _Data
    annotations: list[_Annotation] = []


def write_label_studio(path: Path, labels: Mapping[str, Sequence[Span]], rate_of: RateOf) -> None:
    """Write the labels of videos and recordings, by name, as tasks that Label Studio imports."""
    tasks = []
    for name, spans in labels.items():
        rate_hz = rate_of(name)
        data = {"recording": name} if rate_hz is None else {"video": name, "fps": rate_hz}
        results = [_to_result(span, rate_hz) for span in spans]
        tasks.append({"data": data, "annotations": [{"result": results}]})

    write_text(path, json.dumps(tasks, indent=1))


def _to_result(span: Span, rate_hz: float | None) -> dict[str, object]:
    """Return a label as a result of Label Studio, whose controls are called `label`, and `video` or `recording`."""
    if rate_hz is None:
        value = {"start": span.start_us / 1e6, "end": span.end_us / 1e6, RECORDING_LABELS: [span.name]}
        return {"from_name": "label", "to_name": "recording", "type": RECORDING_LABELS, "value": value}

    start = round(span.start_us * rate_hz / 1e6) + 1
    end = max(start, round(span.end_us * rate_hz / 1e6))
    frames = {"ranges": [{"start": start, "end": end}], VIDEO_LABELS: [span.name]}
    return {"from_name": "label", "to_name": "video", "type": VIDEO_LABELS, "value": frames}


def read_label_studio(path: Path, names: Collection[str], rate_of: RateOf) -> dict[str, list[Span]]:
    """Read the labels of the named videos and recordings from an export of Label Studio; other tasks are skipped.

    The first annotation of a task that was not cancelled counts. Frames have the rate of the task, `fps`, or else of
    the video.

    Raises:
        FileError: If the file cannot be read.
        DataError: If it is not an export of Label Studio, or has no labels over time of a named file.
    """
    text = read_bytes(path, MAX_LABEL_BYTES)
    if text.lstrip().startswith(b"<"):
        raise DataError(
            f"{path}: XML, as of CVAT, has no labels over time (found boxes by frame number without a frame rate, "
            "expected the JSON of Label Studio)"
        )

    labels: dict[str, list[Span]] = {}
    try:
        for task in TypeAdapter(list[_Task]).validate_json(text):
            name = _find_name(task, names)
            submitted = [annotation.result for annotation in task.annotations if not annotation.was_cancelled]
            if name is None or not any(submitted):
                continue

            spans: list[Span] = []
            for result in next(filter(None, submitted)):
                spans += _parse_result(name, result, task.data.fps, rate_of)
            labels[name] = sorted(spans, key=lambda span: span.start_us)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in first["loc"])
        raise DataError(f"{path}: not an export of Label Studio ({place}{first['msg']})") from error

    for name, spans in labels.items():
        for span in spans:
            if not span.name.strip() or span.end_us <= span.start_us:
                raise DataError(f"{path}: {name}: not a label ({span}; expected a name and end > start)")

    if not any(labels.values()):
        raise DataError(f"{path}: no labels over time of a listed file (expected {VIDEO_LABELS} or {RECORDING_LABELS})")
    return labels


def _find_name(task: _Task, names: Collection[str]) -> str | None:
    """Return the file of a task: the longest name with which an address in its data ends."""
    addresses = [unquote(value) for value in (task.data.model_extra or {}).values() if isinstance(value, str)]
    matching = [
        name
        for name in names
        if any(re.search(rf"(^|[/=])({UPLOAD_PREFIX})?{re.escape(name)}$", address) for address in addresses)
    ]
    return max(matching, key=len, default=None)


def _parse_result(name: str, result: _Result, fps: float | None, rate_of: RateOf) -> Iterator[Span]:
    """Yield the spans of a result; results that are not labels over time have none."""
    if result.type == RECORDING_LABELS:
        label = _RecordingLabel.model_validate(result.value)
        for class_name in label.timeserieslabels:
            yield Span(round(label.start * 1e6), round(label.end * 1e6), class_name)

    if result.type == VIDEO_LABELS:
        rate_hz = fps or rate_of(name)
        if rate_hz is None:
            raise DataError(
                f"{name}: labels by frame number, without a frame rate (expected fps in the data of its task)"
            )

        frames = _VideoLabel.model_validate(result.value)
        for interval in frames.ranges:
            for class_name in frames.timelinelabels:
                start_us = round((interval.start - 1) * 1e6 / rate_hz)
                yield Span(start_us, round(interval.end * 1e6 / rate_hz), class_name)
