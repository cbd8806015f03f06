"""Framing of recordings for training: as a trained network expects, or suited to a folder of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from ..base.errors import DvspipeError
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import ClassifierConfig
from ..datasets import DataConfig, DataSet
from ..datasets.config import OWN_KINDS
from ..events import GESTURE_SENSOR, SensorSize
from ..framing import open_source, scaled_size
from ..recordings.conversion import open_for_sensor
from ..recordings.sources import is_video

Config = TypeVar("Config", bound=DataConfig)

MAX_SEARCHED = 12  # videos searched for a person
MAX_VIDEO_SIDE_PX = 346  # larger videos are scaled down; a DAVIS346 has 346 columns


def adopt_framing(config: Config, classifier: ClassifierConfig) -> Config:
    """Return settings that frame recordings as a network expects."""
    if config.data not in OWN_KINDS or config.root is None:
        return config

    framed = config.with_defaults(classifier.framing)
    return framed if framed.size is not None else framed.model_copy(update={"size": str(classifier.sensor)})


def choose_framing(data: DataSet, config: DataConfig, progress: Progress = ignore_progress) -> dict[str, JsonValue]:
    """Choose `roi` and, if it changes, `size` for the videos of a folder.

    The choice is the person (`roi = auto`) if one is found in most videos, otherwise the complete picture.

    Returns:
        Settings; empty if there are no videos, or if the settings already change the size or the region.
    """
    if config.data not in OWN_KINDS:
        return {}

    files = [sample.file for sample in data.samples if sample.file is not None]
    videos = [file for file in dict.fromkeys(files) if is_video(file)]
    has_sensor = config.sensor_size != "keep"
    if not videos or any((config.size, config.roi, config.fit, config.crop, config.resize, has_sensor)):
        return {}

    # Spread the search over the folder: its first videos may all be of one class.
    searched = videos[:: -(-len(videos) // MAX_SEARCHED)]
    with_person = 0
    for number, video in enumerate(searched, start=1):
        with_person += _shows_person(video, config)
        progress(number, len(searched))

    if 2 * with_person > len(searched):
        return {"size": str(GESTURE_SENSOR), "roi": "auto"}
    return _choose_size(videos, config) | {"roi": "full"}


def _shows_person(video: Path, config: DataConfig) -> bool:
    try:
        source = open_source(video, GESTURE_SENSOR, config.model_copy(update={"roi": "auto"}))
    except DvspipeError:
        return False  # reported when all recordings are read
    return source.track is not None


def _choose_size(videos: Sequence[Path], config: DataConfig) -> dict[str, JsonValue]:
    """Choose a size for complete pictures; empty if all have the same size, and it is not too large."""
    sizes = set[SensorSize]()
    for video in videos:
        try:
            sizes.add(open_for_sensor(video, config).size)
        except DvspipeError:
            continue  # reported when all recordings are read

    largest = max(sizes, key=lambda size: size.width * size.height, default=None)
    if largest is None or (len(sizes) == 1 and max(largest.width, largest.height) <= MAX_VIDEO_SIDE_PX):
        return {}

    side = min(MAX_VIDEO_SIDE_PX, max(largest.width, largest.height))
    return {"size": str(scaled_size(largest, SensorSize(width=side, height=side)))}
