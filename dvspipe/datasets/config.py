"""The settings of a data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from ..config import SIZE_PATTERN
from ..encoding import CodeName
from ..events import Region, SensorSize
from ..formats import Hints
from ..framing import FramingConfig
from .augmentation import VaryConfig

DataKind = Literal["folder", "labelled", "nmnist", "dvsgesture", "gestures", "mnist", "tonic", "shards"]
"""Every kind of data set; see `DataConfig.kind`."""

ImageCode = Literal["constant", "contrast", CodeName]
"""How an image becomes spikes: by one of the spike codes, its local contrast, or its values at every step."""

FRAMED_KINDS: tuple[DataKind, ...] = ("folder", "labelled", "gestures")
"""Kinds of folders whose recordings and videos are framed, by `size`, `roi` and `fit`."""
PERSON_SIZE = SensorSize(width=128, height=128)  # of DVS128, for whose pictures the person finder is trained


class DataConfig(FramingConfig):
    """Which labelled recordings to use, and how they are divided into training, validation and test parts."""

    kind: DataKind = "folder"
    """`folder`: ROOT/<class>/<recording or video>, or ROOT/train/<class> and ROOT/test/<class>. `labelled`: recordings
    below ROOT, each with a NAME_labels.csv beside it that lists the start, end and class of its gestures. `nmnist`:
    ROOT/Train/<digit>/*.bin and ROOT/Test. `dvsgesture`: DVS128 Gesture as distributed by Tonic or by IBM. `gestures`:
    a folder with the classes of DVS128 Gesture or, without a root, rendered ones. `mnist`: ROOT with the four files of
    MNIST, whose images become spikes by `code`. `tonic`: the class `name` of `tonic.datasets`, with the `options`.
    `shards`: ROOT with spike tensors that were written as tar archives, and their index.json."""
    name: str | None = None
    """`tonic`: the class of `tonic.datasets`, such as NCALTECH101; its files are in, or downloaded to, ROOT/<name>."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """`tonic`: arguments of that class by their names, such as `stabilize` of NMNIST."""
    root: Path | None = None
    """Folder of the data set."""
    test_root: Path | None = None
    """Another folder of the same kind, all of whose recordings are the test part."""
    download: bool = False
    """Whether Tonic downloads N-MNIST, DVS Gesture or its other data sets into the root if they are missing."""
    split: Path | None = None
    """The split.json of an earlier run, whose division into parts is used instead of a new random one."""
    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor of the recordings of a folder, WIDTHxHEIGHT, for files that do not store it."""
    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Size of the picture that the network sees, WIDTHxHEIGHT, to which all recordings and videos of a folder are
    fitted by `roi` and `fit`. None: the size of `roi` if it is a region, 128x128 if it is `auto`, and otherwise the
    recordings' own size."""
    hints: Hints = Hints()
    """What else the recordings of a folder do not say: `time_unit`, `columns`, `chip` or `topic`; see `Hints`."""
    window_us: int | None = Field(default=None, ge=1)
    """Length in microseconds of the consecutive windows into which longer recordings in class folders are cut; each
    window is a sample, and those of a recording are in the same part. None: a recording is one sample."""
    code: ImageCode = "poisson"
    """`mnist`: the spike code, as in `dvspipe encode`, or `constant`: the values of the image at every step, or
    `contrast`: the rank of its local contrast (`Contrast`)."""
    code_settings: dict[str, float] = Field(default_factory=dict)
    """`mnist`: settings of the code; its steps are those of `bins`."""
    group: str | None = None
    """Regular expression on file names (`tonic`: on the path below the root). Recordings with the same match (such as a
    person) are kept in the same part. Without it, every recording is its own group, and the parts are drawn class by
    class."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training groups that is held out to choose the best epoch."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that becomes the test part of a data set that has none."""
    views: int = Field(default=1, ge=1, le=1000)
    """Variants of each training recording: the recording itself, and others changed as set in `vary`."""
    vary: VaryConfig = VaryConfig()
    cache: Path | Literal["none"] | None = None
    """Folder in which spike tensors and the events of videos are cached; default: the user's cache folder."""
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people in the training and validation parts."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people in the test part."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: clips per person and class."""

    @property
    def target(self) -> SensorSize | None:
        """Size of the picture that the network sees; None: that of the recordings."""
        if self.size is not None:
            return SensorSize.parse(self.size)
        if self.roi in (None, "full"):
            return None
        return PERSON_SIZE if self.roi == "auto" else Region.parse(self.roi).size

    @property
    def framing(self) -> FramingConfig:
        """How the recordings are framed.

        Recordings of gestures show one person, as `roi = auto` does; other recordings that are not fitted to a size are
        seen as complete pictures.
        """
        whole = self.target is None and self.roi is None and self.kind not in ("gestures", "dvsgesture")
        return FramingConfig(fit=self.fit, roi="full" if whole else self.roi, video=self.video)

    @model_validator(mode="after")
    def _framing_applies(self) -> DataConfig:
        given = [name for name in ("size", "roi", "fit") if getattr(self, name) is not None]
        if given and (self.kind not in FRAMED_KINDS or (self.kind == "gestures" and self.root is None)):
            raise ValueError(f"{given[0]}: frames recordings in folders, and kind = {self.kind} has none")
        return self

    @field_validator("root", "test_root", "split", "cache", mode="before")
    @classmethod
    def _path_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # a folder may be called 2024

    @field_validator("group")
    @classmethod
    def _group_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value
