"""Layouts of frames: the place of each recording, and the files that describe a data set for YOLO and COCO.

`plan_frames` decides before the work where the frames of each recording go; `write_index` describes, after it, what was
written. The frames themselves are written by `frames.py`.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import yaml

from ..base.errors import DataError, FileError, FormatError, Remedy, escape_controls
from ..base.files import read_bytes, write_beside, write_text
from ..events import Events, SensorSize
from ..formats import NO_HINTS, Hints, open_recording
from ..formats.boxes import BOX_SUFFIX, find_boxes, read_boxes
from ..recordings.conversion import find_recordings
from ..results.frames import CocoAnnotation, CocoCategory, CocoImage, FrameRow, read_frame_rows
from .frames import TIMES, TIMES_FOLDER, FramePlan, FrameSettings, FrameTask

PARTS_OF_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
CLASS_NAMES_FILE = "label_map_dictionary.json"  # written by Prophesee: {"0": "pedestrian", ...}

log = logging.getLogger(__name__)


def plan_frames(
    source: Path,
    out: Path,
    settings: FrameSettings,
    *,
    sensor: SensorSize | None = None,
    hints: Hints = NO_HINTS,
) -> FramePlan:
    """Plan the frames of a recording, or of all recordings in a folder.

    Args:
        source: Recording, or folder that is searched recursively. For the layout `classes`, the folder has a folder per
            class; for `yolo` and `coco`, boxes are in NAME_bbox.npy beside NAME.SUFFIX or NAME_td.SUFFIX. Folders
            train, val and test above these are the parts; without them, all recordings are in train.
        out: Output folder.
        settings: Settings of the frames.
        sensor: Sensor of recordings that do not store it.
        hints: Other missing metadata.
    """
    # Outputs of an earlier run may be below the source: they are no recordings.
    out_inside = out.resolve() if source.resolve() in out.resolve().parents else None
    recordings = [path for path in find_recordings([source]) if not _is_other(path, out_inside)]
    if not recordings:
        raise FileError(f"{source}: contains no recordings (found only boxes or frames)")

    if settings.layout == "folders":
        tasks = [_plan_folder(path, source) for path in recordings]
    else:
        tasks = [_plan_part(path, source, settings) for path in recordings]

    if settings.layout in ("yolo", "coco"):
        tasks = _find_labelled(tasks, source)
    tasks = _distinguish(tasks)

    if settings.val:
        tasks = _draw_val(tasks, source, settings)
    names = _find_names(tasks, source, settings)
    return FramePlan(out, tuple(tasks), settings, names, sensor, hints)


def _is_other(path: Path, out_inside: Path | None) -> bool:
    """Return whether a path is a file of boxes, or in an output folder inside the source."""
    return path.name.endswith(BOX_SUFFIX) or (out_inside is not None and path.resolve().is_relative_to(out_inside))


def _plan_folder(path: Path, source: Path) -> FrameTask:
    folder = path.relative_to(source).with_suffix("") if source in path.parents else Path()
    folder = Path(*map(escape_controls, folder.parts))
    return FrameTask(path, folder, "", "", folder / TIMES)


def _plan_part(path: Path, source: Path, settings: FrameSettings) -> FrameTask:
    relative = path.relative_to(source) if source in path.parents else Path(path.name)
    folders = list(relative.parent.parts)

    # The first folder may name the part; without one, a recording belongs to the training part.
    part = PARTS_OF_FOLDERS.get(folders[0].lower(), "") if folders else ""
    if part:
        folders.pop(0)
    part = part or "train"

    class_name = ""
    if settings.layout == "classes":
        if not folders:
            raise DataError(
                f"{path}: has no class (expected a folder of recordings with a folder per class, CLASS/{path.name})"
            )
        class_name = escape_controls(folders.pop(0))

    # The other folders become a part of the name, because the frames of a part or class share a folder.
    name = escape_controls("-".join([*folders, relative.stem]))
    times = Path(TIMES_FOLDER, part, class_name, f"{name}.csv")
    return _place(FrameTask(path, Path(), f"{name}_", part, times), settings)


def _place(task: FrameTask, settings: FrameSettings) -> FrameTask:
    """Return a task with the folder of its part and class."""
    *_, class_name = task.times.parent.parts  # times/PART/CLASS/NAME.csv
    if settings.layout == "classes":
        return replace(task, folder=Path(task.part, class_name))
    if settings.layout == "yolo":
        return replace(task, folder=Path("images", task.part))
    return replace(task, folder=Path(task.part))


def _find_labelled(tasks: Sequence[FrameTask], source: Path) -> list[FrameTask]:
    """Return the tasks with boxes; warn of others."""
    looked_up = [replace(task, boxes=find_boxes(task.source)) for task in tasks]
    without = [task for task in looked_up if task.boxes is None]
    if len(without) == len(looked_up):
        raise DataError(
            f"{source}: no boxes found (expected NAME{BOX_SUFFIX} beside {without[0].source.name})",
            Remedy("layout", "classes", "use folders of classes"),
        )

    for task in without:
        log.warning("%s: skipped, no boxes in NAME%s beside it", task.source, BOX_SUFFIX)

    return [task for task in looked_up if task.boxes is not None]


def _distinguish(tasks: Sequence[FrameTask]) -> list[FrameTask]:
    """Keep the suffix in the names of recordings that differ only in it: a.raw and a.dat."""
    counts = Counter(task.times for task in tasks)
    named = [task if counts[task.times] == 1 else _keep_suffix(task) for task in tasks]

    first: dict[Path, FrameTask] = {}
    for task in named:
        if first.setdefault(task.times, task) != task:
            raise DataError(f"{task}: has the same name in the output as {first[task.times]} ({task.times.stem})")

    return named


def _keep_suffix(task: FrameTask) -> FrameTask:
    suffix = task.source.suffix
    if not task.prefix:
        folder = task.folder.with_name(task.folder.name + suffix)
        return replace(task, folder=folder, times=folder / TIMES)

    name = task.prefix[:-1] + suffix
    return replace(task, prefix=f"{name}_", times=task.times.with_name(f"{name}.csv"))


def _draw_val(tasks: Sequence[FrameTask], source: Path, settings: FrameSettings) -> list[FrameTask]:
    """Move a share of the recordings to the part val, drawn per class."""
    if {task.part for task in tasks} != {"train"}:
        parts = ", ".join(sorted({task.part for task in tasks}))
        raise DataError(
            f"{source}: val = {settings.val:g}: the folder has parts already (found {parts}, expected none)"
        )

    from ..datasets.samples import Sample, divide  # needs safetensors, which converting does not

    classes = sorted({task.times.parent for task in tasks})
    labels = {str(task.source): classes.index(task.times.parent) for task in tasks}
    load = partial(Events.empty, SensorSize(1, 1))  # never called

    # Each recording is its own group, so recordings are divided individually.
    samples = [Sample(name, label, name, load, str) for name, label in labels.items()]
    _, val = divide(samples, settings.val, settings.seed)
    drawn = {sample.name for sample in val}

    def move(task: FrameTask) -> FrameTask:
        if str(task.source) not in drawn:
            return task
        times = Path(TIMES_FOLDER, "val", *task.times.parts[2:])
        return _place(replace(task, part="val", times=times), settings)

    return list(map(move, tasks))


def _find_names(tasks: Sequence[FrameTask], source: Path, settings: FrameSettings) -> tuple[str, ...]:
    """Return the names of the classes of boxes: as set, of Prophesee's file, or the numbers."""
    files = [task.boxes for task in tasks if task.boxes is not None]
    if not files or settings.classes:
        return settings.classes

    path = source / CLASS_NAMES_FILE
    if path.is_file():
        try:
            stored = json.loads(read_bytes(path))
            return tuple(str(stored[str(number)]) for number in range(len(stored)))
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f'{path}: not names of classes (expected an object such as {{"0": "car"}})') from error

    largest = max(int(read_boxes(file).classes.max(initial=0)) for file in files)
    return tuple(str(number) for number in range(largest + 1))


def write_index(plan: FramePlan) -> None:
    """Write the files that describe all complete recordings: data.yaml (`yolo`) or a file per part (`coco`)."""
    # After an interrupt, only complete recordings are listed.
    missing = set(plan.unwritten())
    complete = [task for task in plan.tasks if task not in missing]
    parts = [part for part in dict.fromkeys(PARTS_OF_FOLDERS.values()) if any(task.part == part for task in complete)]

    if plan.settings.layout == "yolo" and complete:
        described = {part: f"images/{part}" for part in parts} | {"names": dict(enumerate(plan.names))}
        write_text(plan.out / "data.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True))

    if plan.settings.layout == "coco":
        for part in parts:
            path = plan.out / "annotations" / f"instances_{part}.json"
            with write_beside(path) as beside, beside.open("w", encoding="utf-8") as file:
                _write_coco(plan, [task for task in complete if task.part == part], file)


def _write_coco(plan: FramePlan, tasks: Sequence[FrameTask], file: TextIO) -> None:
    """Write COCO's object entry by entry: a data set may have millions of boxes."""
    categories = [CocoCategory(id=number, name=name) for number, name in enumerate(plan.names)]
    file.write('{"info": {"description": "frames of events"}, "licenses": [],\n"categories": [')
    file.write(",\n".join(category.model_dump_json() for category in categories))

    for name, entries in (("images", _images(plan, tasks)), ("annotations", _annotations(plan, tasks))):
        file.write(f'],\n"{name}": [\n')
        for number, entry in enumerate(entries):
            file.write((",\n" if number else "") + entry.model_dump_json())

    file.write("]}\n")


def _rows(plan: FramePlan, tasks: Sequence[FrameTask]) -> Iterator[tuple[FrameTask, SensorSize, int, FrameRow]]:
    """Yield the frames of recordings with the sensor and the number of the image, from 1."""
    number = 0
    for task in tasks:
        sensor = open_recording(task.source, sensor=plan.sensor, hints=plan.hints).sensor
        for row in read_frame_rows(plan.out / task.times):
            number += 1
            yield task, sensor, number, row


def _images(plan: FramePlan, tasks: Sequence[FrameTask]) -> Iterator[CocoImage]:
    for _, sensor, number, row in _rows(plan, tasks):
        yield CocoImage(id=number, file_name=Path(row.file).name, width=sensor.width, height=sensor.height)


def _annotations(plan: FramePlan, tasks: Sequence[FrameTask]) -> Iterator[CocoAnnotation]:
    boxes = None
    boxes_task = None  # the recording that `boxes` belong to
    count = 0

    # Recordings follow each other, so the boxes of only one are in memory.
    for task, sensor, image, row in _rows(plan, tasks):
        if task != boxes_task or boxes is None:
            assert task.boxes is not None
            boxes = read_boxes(task.boxes)
            boxes_task = task

        shown = boxes.last_in(row.start_us, row.end_us).clip(sensor)
        for (left, top, right, bottom), label in zip(shown.corners.tolist(), shown.classes.tolist(), strict=True):
            count += 1
            width = right - left
            height = bottom - top
            yield CocoAnnotation(
                id=count, image_id=image, category_id=label, bbox=(left, top, width, height), area=width * height
            )
