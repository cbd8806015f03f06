"""Framing of recordings for training: as a trained network expects, or suited to a folder of videos."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

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
    videos = []
    if config.data in OWN_KINDS:
        files = dict.fromkeys(sample.file for sample in data.samples if sample.file is not None)
        videos = [file for file in files if is_video(file)]
    is_chosen = config.size or config.roi or config.fit or config.crop or config.resize or config.sensor_size != "keep"
    if not videos or is_chosen:
        return {}

    # Spread the search over the folder: its first videos may all be of one class.
    searched = videos[:: -(-len(videos) // MAX_SEARCHED)]
    with_person = 0
    for number, video in enumerate(searched, start=1):
        with_person += _shows_person(video, config)
        progress(number, len(searched))
    if 2 * with_person > len(searched):
        return {"size": str(GESTURE_SENSOR), "roi": "auto"}

    # Complete pictures have their size, if it is the same for all and not too large.
    sizes = {open_for_sensor(video, config).size for video in videos}
    largest = max(sizes, key=lambda size: size.width * size.height)
    side = max(largest.width, largest.height)
    if len(sizes) == 1 and side <= MAX_VIDEO_SIDE_PX:
        return {"roi": "full"}

    side = min(MAX_VIDEO_SIDE_PX, side)
    return {"size": str(scaled_size(largest, SensorSize(width=side, height=side))), "roi": "full"}


def _shows_person(video: Path, config: DataConfig) -> bool:
    source = open_source(video, GESTURE_SENSOR, config.model_copy(update={"roi": "auto"}))
    return source.track is not None
