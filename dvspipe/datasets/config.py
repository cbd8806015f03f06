"""Settings of data sets of all kinds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, PositiveInt, field_validator

from ..base.settings import UserPath
from ..encoding import CodeName
from ..events import GESTURE_SENSOR, Region, SensorSize
from ..events.sensor import SIZE_PATTERN
from ..framing import FramingConfig
from .augmentation import VaryConfig

DataKind = Literal["folder", "labelled", "nmnist", "dvsgesture", "gestures", "mnist", "tonic"]
"""Kinds of data sets; see `DataConfig.data`."""

ImageCode = Literal["constant", "contrast", CodeName]
"""Encoding of an image: a spike code, the rank of its local contrast, or its constant values at every step."""

OWN_KINDS: tuple[DataKind, ...] = ("folder", "labelled", "gestures")
WINDOW_KINDS: tuple[DataKind, ...] = (*OWN_KINDS, "nmnist")
RECORDING_KINDS: tuple[DataKind, ...] = (*WINDOW_KINDS, "dvsgesture", "tonic")
"""Kinds of data sets: your own files, which are framed; files that are cut into windows; all that are recordings."""


class DataConfig(VaryConfig, FramingConfig):
    """Settings of a data set, from its folder to the variants of its recordings.

    Example:
        >>> DataConfig(data="mnist", code="latency").code
        'latency'
        >>> DataConfig(data="mnist", window_us=1000)
        Traceback (most recent call last):
        dvspipe.base.errors.ConfigError: DataConfig: window_us: needs data = folder, labelled, gestures or nmnist ...
    """

    data: DataKind | str = "folder"
    """Kind of the data set; packages add others by a hook.

    `folder`: class folders, ROOT/<class>/<recording or video>, or ROOT/train/<class> and ROOT/test/<class>.
    `labelled`: recordings below ROOT; NAME_labels.csv next to each recording lists start, end and class of gestures.
    `nmnist`: N-MNIST, `ROOT/Train/<digit>/*.bin` and ROOT/Test.
    `dvsgesture`: DVS128 Gesture as distributed by Tonic or by IBM.
    `gestures`: folder with the classes of DVS128 Gesture; without `root`, rendered gestures.
    `mnist`: the four files of MNIST; images are encoded as spikes by `code`.
    `tonic`: any data set class of `tonic.datasets`."""
    root: UserPath | None = None
    """Folder of the data set."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the split and of rendered clips; in training also of the weights and the order of batches."""
    cache: Literal["none"] | UserPath | None = None
    """Cache folder for spike tensors and the events of videos; `none`: no cache; default: the user's cache folder."""
    test_root: UserPath | None = None
    """Another folder of the same kind; all its recordings form the test part."""
    split: PositiveInt | UserPath | None = None
    """Number of a published split in ROOT/splits.csv, or the file split.json of an earlier run, to reuse its split.
    None: the first published split; without splits.csv, split at random."""
    group: str | None = None
    """Regular expression for file names (`tonic`: for paths relative to the root). Recordings with the same match, such
    as a person, are in the same part. None: files of a folder that differ only in a number at the end of their names
    are a group, and the split is stratified by class."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training groups (of MNIST: images) that is held out to select the best epoch, at least one group of
    each class if each group has one class; 0: none, the last epoch is used."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that is held out for testing, as for `validation`, if the data set has no test part."""
    window_us: int | None = Field(default=None, ge=1)
    """Length in microseconds of consecutive windows that longer recordings in class folders, or longer spans of a label
    file, are cut into. Each window is a sample, and all windows of a recording are in the same part. None: one sample
    per recording or span."""
    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Input size of the network, WIDTHxHEIGHT. All recordings and videos of a folder are fitted to it by `roi` and
    `fit`. None: the size of `roi` if it is a region, 128x128 if it is `auto`, otherwise the size of the recordings."""
    views: int = Field(default=1, ge=1, le=1000)
    """Number of variants of each training recording: the recording itself, and copies with random changes."""
    download: bool = False
    """Whether Tonic downloads missing data sets, such as N-MNIST and DVS Gesture, into the root."""
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people in the training and validation parts."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people in the test part."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: number of clips per person and class."""
    code: ImageCode = "poisson"
    """MNIST: spike code of `dvspipe.encoding`; or `constant`: values of the image at every step; or `contrast`: rank
    of its local contrast (`Contrast`)."""
    code_settings: dict[str, float] = Field(default_factory=dict)
    """MNIST: settings of the code, except its steps."""
    tonic_name: str | None = None
    """Class in `tonic.datasets`, such as NCALTECH101; its files are in ROOT/<name> or downloaded there."""
    tonic_options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the class, such as `stabilize` of NMNIST."""

    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {
        **dict.fromkeys(("size", *FramingConfig.model_fields), ("data", OWN_KINDS)),
        **dict.fromkeys(("views", *VaryConfig.model_fields), ("data", RECORDING_KINDS)),
        **dict.fromkeys(("split", "group", "test"), ("data", RECORDING_KINDS)),
        "test_root": ("data", (*WINDOW_KINDS, "dvsgesture")),
        "sensor": ("data", (*OWN_KINDS, "tonic")),
        "window_us": ("data", WINDOW_KINDS),
        "download": ("data", ("nmnist", "dvsgesture", "tonic")),
        **dict.fromkeys(("train_people", "test_people", "clips"), ("data", ("gestures",))),
        **dict.fromkeys(("code", "code_settings"), ("data", ("mnist",))),
        **dict.fromkeys(("tonic_name", "tonic_options"), ("data", ("tonic",))),
    }

    @field_validator("group")
    @classmethod
    def _check_group(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value

    @property
    def input_size(self) -> SensorSize | None:
        """Input size of the network; None: size of the recordings."""
        if self.size is not None:
            return SensorSize.parse(self.size)

        if self.roi in (None, "full"):
            return None
        return GESTURE_SENSOR if self.roi == "auto" else Region.parse(self.roi).size

    @property
    def framing(self) -> FramingConfig:
        """Framing of the recordings; recordings that are not fitted to a size are used as complete pictures."""
        framing = self.part(FramingConfig)
        if self.input_size is not None or self.roi is not None:
            return framing

        # The clips of DVS128 Gesture show one person already, like the result of `roi = auto`.
        shows_person = self.data in ("dvsgesture", "gestures")
        return framing if shows_person else framing.model_copy(update={"roi": "full"})
