"""Framing of recordings for training: as a trained network expects, or suited to a folder of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

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


class FramingChoice(NamedTuple):
    """Framing for a folder of videos.

    Args:
        size: Input size of the network; None: size of the videos.
    """

    size: SensorSize | None
    roi: str
    reason: str

    @property
    def settings(self) -> dict[str, JsonValue]:
        """Settings of the data set."""
        return {"roi": self.roi} if self.size is None else {"size": str(self.size), "roi": self.roi}


def adopt_framing(config: Config, classifier: ClassifierConfig) -> Config:
    """Return settings that frame recordings as a network expects."""
    if config.data not in OWN_KINDS or config.root is None:
        return config

    framed = config.with_defaults(classifier.framing)
    return framed if framed.size is not None else framed.model_copy(update={"size": str(classifier.sensor)})


def choose_framing(data: DataSet, config: DataConfig, progress: Progress = ignore_progress) -> FramingChoice | None:
    """Choose a framing for the videos of a folder; None if there are no videos, or the settings name a region.

    The choice is the person (`roi = auto`) if one is found in most videos, otherwise the complete picture.
    """
    if config.data not in OWN_KINDS:
        return None

    # A setting that changes the size or the region was chosen by the user.
    has_sensor = config.sensor_size != "keep"
    files = [sample.file for sample in data.samples if sample.file is not None]
    videos = [file for file in dict.fromkeys(files) if is_video(file)]
    if not videos or any((config.size, config.roi, config.fit, config.crop, config.resize, has_sensor)):
        return None

    # Spread the search over the folder: its first videos may all be of one class.
    searched = videos[:: -(-len(videos) // MAX_SEARCHED)]
    with_person = 0
    for number, video in enumerate(searched):
        progress(number, len(searched))
        with_person += _shows_person(video, config)
    progress(len(searched), len(searched))

    sample = "" if len(searched) == len(videos) else f" that were searched, of {len(videos)}"
    share = f"found in {with_person} of {len(searched)} videos{sample}"

    if 2 * with_person > len(searched):
        return FramingChoice(GESTURE_SENSOR, "auto", f"framed to the moving person ({share})")
    return FramingChoice(_common_size(videos, config), "full", f"complete picture (moving person {share})")


def _shows_person(video: Path, config: DataConfig) -> bool:
    try:
        source = open_source(video, GESTURE_SENSOR, config.model_copy(update={"roi": "auto"}))
    except DvspipeError:
        return False  # reported when all recordings are read
    return source.track is not None


def _common_size(videos: Sequence[Path], config: DataConfig) -> SensorSize | None:
    """Return the size to scale videos to; None if they already share a size that is not too large."""
    sizes = set[SensorSize]()
    for video in videos:
        try:
            sizes.add(open_for_sensor(video, config).size)
        except DvspipeError:
            continue  # reported when all recordings are read

    largest = max(sizes, key=lambda size: size.width * size.height, default=None)
    if largest is None or (len(sizes) == 1 and max(largest.width, largest.height) <= MAX_VIDEO_SIDE_PX):
        return None

    side = min(MAX_VIDEO_SIDE_PX, max(largest.width, largest.height))
    return scaled_size(largest, SensorSize(width=side, height=side))
