"""Framing of recordings for training: as a trained network expects, or suited to a folder of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..base.errors import DvspipeError
from ..base.trees import SettingsTree
from ..checkpoints.checkpoint import ClassifierConfig
from ..datasets import DataConfig, DataSet, FilesConfig
from ..events import GESTURE_SENSOR, SensorSize
from ..framing import open_source, scaled_size
from ..parallel import Progress, ignore_progress
from ..recordings.conversion import is_video, open_for_sensor

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
    def settings(self) -> SettingsTree:
        """Settings of the data set."""
        size: SettingsTree = {} if self.size is None else {"size": str(self.size)}
        return size | {"roi": self.roi}


def adopt_framing(data: DataConfig, classifier: ClassifierConfig) -> DataConfig:
    """Return data settings that frame recordings as a network expects."""
    if not isinstance(data, FilesConfig) or data.root is None:
        return data

    framed = data.with_defaults(classifier.framing)
    if data.size is not None:
        return framed
    return framed.model_copy(update={"size": str(classifier.sensor)})


def choose_framing(data: DataSet, config: DataConfig, progress: Progress = ignore_progress) -> FramingChoice | None:
    """Choose a framing for the videos of a folder; None if there are no videos, or the settings name a region.

    The choice is the person (`roi = auto`) if one is found in most videos, otherwise the complete picture.
    """
    if not isinstance(config, FilesConfig):
        return None

    # A setting that changes the size or the region was chosen by the user.
    pictures = config.video.video
    has_sensor = config.video.simulator.sensor_size != "keep"
    files = [sample.file for sample in data.samples if sample.file is not None]
    videos = [file for file in dict.fromkeys(files) if is_video(file)]
    if not videos or any((config.size, config.roi, config.fit, pictures.crop, pictures.resize, has_sensor)):
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


def _shows_person(video: Path, config: FilesConfig) -> bool:
    try:
        source = open_source(video, GESTURE_SENSOR, config.model_copy(update={"roi": "auto"}), sensor=None)
    except DvspipeError:
        return False  # reported when all recordings are read
    return source.track is not None


def _common_size(videos: Sequence[Path], config: FilesConfig) -> SensorSize | None:
    """Return the size to scale videos to; None if they already share a size that is not too large."""
    sizes = set[SensorSize]()
    for video in videos:
        try:
            sizes.add(open_for_sensor(video, config.video).size)
        except DvspipeError:
            continue  # reported when all recordings are read

    largest = max(sizes, key=lambda size: size.width * size.height, default=None)
    if largest is None or (len(sizes) == 1 and max(largest.width, largest.height) <= MAX_VIDEO_SIDE_PX):
        return None

    side = min(MAX_VIDEO_SIDE_PX, max(largest.width, largest.height))
    return scaled_size(largest, SensorSize(width=side, height=side))
