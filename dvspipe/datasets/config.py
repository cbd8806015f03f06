"""Settings of data sets: a model per kind, from shared groups of settings.

The models::

    SourceConfig                 kind, root, cache
    ├── EventsConfig             variants of recordings
    │   └── RecordingsConfig     parts and groups
    │       ├── PublicConfig     download of public data sets
    │       └── WindowsConfig    windows of recordings and labels
    └── FramedConfig             framing of recordings and videos
        └── FilesConfig          (and RecordingsConfig) own files: sensor and other missing metadata

`DataConfig` is the union of all kinds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, PositiveInt, field_validator, model_validator

from ..base.config import Settings, build
from ..base.errors import ConfigError
from ..base.groups import complete_kind
from ..base.patterns import SIZE_PATTERN
from ..encoding import CodeName
from ..events import GESTURE_SENSOR, Region, SensorSize
from ..formats import Hints, HintsLike
from ..formats.hints import UniqueHintKeywords
from ..framing import FramingConfig
from ..framing.config import UniqueFramingKeywords
from .augmentation import VaryConfig, VaryKeywords

DataKind = Literal["folder", "labelled", "nmnist", "dvsgesture", "gestures", "mnist", "tonic"]
"""Kinds of data sets; see `DataConfig`."""

ImageCode = Literal["constant", "contrast", CodeName]
"""Encoding of an image: a spike code, the rank of its local contrast, or its constant values at every step."""


class SourceConfig(Settings):
    """Base class of the settings of all kinds of data sets."""

    kind: DataKind
    """Kind of the data set; see `DataConfig`."""
    root: Path | None = None
    """Folder of the data set."""
    cache: Path | Literal["none"] | None = None
    """Cache folder for spike tensors and the events of videos; `none`: no cache; default: the user's cache folder."""

    @property
    def target(self) -> SensorSize | None:
        """Input size of the network; None: size of the recordings."""
        return None

    @property
    def framing(self) -> FramingConfig:
        """Framing of the recordings; recordings that are not fitted to a size are used as complete pictures."""
        return FramingConfig(roi="full")

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        """Return a copy with other shares of the parts `validation` and `test`; shares that the kind lacks are ignored.

        Example:
            >>> MnistConfig().with_shares({"validation": 0.0, "test": 0.0}).validation
            0.0
        """
        known = {name: share for name, share in shares.items() if name in type(self).model_fields}
        return self.model_copy(update=known)

    @field_validator("root", "test_root", "cache", mode="before", check_fields=False)
    @classmethod
    def _read_path(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # a folder may be called 2024


class EventsConfig(SourceConfig):
    """Settings of event data with augmentation."""

    views: int = Field(default=1, ge=1, le=1000)
    """Number of variants of each training recording: the recording itself, and copies augmented by `vary`."""
    vary: VaryConfig = VaryConfig()


class RecordingsConfig(EventsConfig):
    """Settings of recordings that are split into training, validation and test parts."""

    test_root: Path | None = None
    """Another folder of the same kind; all its recordings form the test part."""
    split: PositiveInt | Path | None = None
    """Number of a published split in ROOT/splits.csv, or the file split.json of an earlier run, to reuse its split.
    None: the first published split; without splits.csv, split at random."""
    group: str | None = None
    """Regular expression for file names (`tonic`: for paths relative to the root). Recordings with the same match, such
    as a person, are in the same part. None: files of a folder that differ only in a number at the end of their names
    are a group, and the split is stratified by class."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training groups that is held out to select the best epoch, at least one group of each class if each
    group has one class; 0: none, the last epoch is used."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that is held out for testing, as for `validation`, if the data set has no test part."""

    @field_validator("group")
    @classmethod
    def _check_group(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value


class PublicConfig(RecordingsConfig):
    """Settings of a public data set."""

    download: bool = False
    """Whether Tonic downloads missing data sets, such as N-MNIST and DVS Gesture, into the root."""


class WindowsConfig(RecordingsConfig):
    """Settings of recordings with one class, or one class at a time."""

    window_us: int | None = Field(default=None, ge=1)
    """Length in microseconds of consecutive windows that longer recordings in class folders, or longer spans of a label
    file, are cut into. Each window is a sample, and all windows of a recording are in the same part. None: one sample
    per recording or span."""


class FramedConfig(FramingConfig, SourceConfig):
    """Settings of recordings and videos with framing."""

    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Input size of the network, WIDTHxHEIGHT. All recordings and videos of a folder are fitted to it by `roi` and
    `fit`. None: the size of `roi` if it is a region, 128x128 if it is `auto`, otherwise the size of the recordings."""

    @property
    def target(self) -> SensorSize | None:
        """Input size of the network; None: size of the recordings."""
        if self.size is not None:
            return SensorSize.parse(self.size)

        if self.roi in (None, "full"):
            return None
        return GESTURE_SENSOR if self.roi == "auto" else Region.parse(self.roi).size

    @property
    def framing(self) -> FramingConfig:
        """Framing of the recordings; recordings that are not fitted to a size are used as complete pictures."""
        is_complete = self.target is None and self.roi is None
        return FramingConfig(fit=self.fit, roi="full" if is_complete else self.roi, video=self.video)


class FilesConfig(FramedConfig, RecordingsConfig):
    """Settings of folders with your own recordings and videos."""

    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor size of the recordings, WIDTHxHEIGHT, for files that do not store it."""
    hints: Hints = Hints()
    """Other metadata that the files do not store: `time_unit`, `columns`, `chip` or `topic`; see `Hints`."""


class FolderConfig(FilesConfig, WindowsConfig):
    """Class folders: ROOT/<class>/<recording or video>, or ROOT/train/<class> and ROOT/test/<class>."""

    kind: Literal["folder"] = "folder"


class LabelledConfig(FilesConfig, WindowsConfig):
    """Recordings below ROOT; NAME_labels.csv next to each recording lists start, end and class of gestures."""

    kind: Literal["labelled"] = "labelled"


class NmnistConfig(PublicConfig, WindowsConfig):
    """N-MNIST: `ROOT/Train/<digit>/*.bin` and `ROOT/Test`."""

    kind: Literal["nmnist"] = "nmnist"


class DvsGestureConfig(PublicConfig):
    """DVS128 Gesture as distributed by Tonic or by IBM."""

    kind: Literal["dvsgesture"] = "dvsgesture"

    @property
    def framing(self) -> FramingConfig:
        """Framing of the recordings: they show one person already, like the result of `roi = auto`."""
        return FramingConfig()


class GesturesConfig(FilesConfig, WindowsConfig):
    """Folder with the classes of DVS128 Gesture; without `root`, rendered gestures."""

    kind: Literal["gestures"] = "gestures"
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people in the training and validation parts."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people in the test part."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: number of clips per person and class."""

    @property
    def framing(self) -> FramingConfig:
        """Framing of the recordings: they show one person already, like the result of `roi = auto`."""
        return FramingConfig(fit=self.fit, roi=self.roi, video=self.video)

    @model_validator(mode="after")
    def _check_framing(self) -> GesturesConfig:
        for name in ("size", "roi", "fit"):
            if self.root is None and getattr(self, name) is not None:
                raise ConfigError(f"{name}: needs recordings in a folder (found kind = gestures without root)")
        return self


class MnistConfig(SourceConfig):
    """The four files of MNIST; images are encoded as spikes by `code`."""

    kind: Literal["mnist"] = "mnist"
    code: ImageCode = "poisson"
    """Spike code, as in `dvspipe spikes`; or `constant`: values of the image at every step; or `contrast`: rank of its
    local contrast (`Contrast`)."""
    code_settings: dict[str, float] = Field(default_factory=dict)
    """Settings of the code, except its steps: `bins` sets the steps."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training images that is held out to select the best epoch; 0: none, the last epoch is used."""

    views: ClassVar[int] = 1  # images are encoded again in every epoch
    vary: ClassVar[VaryConfig] = VaryConfig()


class TonicConfig(PublicConfig):
    """Any data set class of `tonic.datasets`."""

    kind: Literal["tonic"] = "tonic"
    name: str | None = None
    """Class in `tonic.datasets`, such as NCALTECH101; its files are in ROOT/<name> or downloaded there."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the class, such as `stabilize` of NMNIST."""
    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor size of the recordings, WIDTHxHEIGHT, if the Tonic class does not define it."""


_AnyConfig: TypeAlias = (
    FolderConfig | LabelledConfig | NmnistConfig | DvsGestureConfig | GesturesConfig | MnistConfig | TonicConfig
)
DataConfig: TypeAlias = Annotated[
    _AnyConfig, Field(discriminator="kind"), BeforeValidator(partial(complete_kind, _AnyConfig))
]
"""Settings of a data set of any kind; default kind: `folder`."""


class UniqueDataKeywords(UniqueFramingKeywords, UniqueHintKeywords, VaryKeywords, total=False):
    """Settings of `DataConfig` by name, without `root` and names that are not unique in `TrainConfig`."""

    cache: str | Path | None
    views: int
    vary: VaryConfig | Mapping[str, object]
    test_root: str | Path | None
    split: int | str | Path | None
    group: str | None
    validation: float
    test: float
    download: bool
    window_us: int | None
    size: str | None
    sensor: str | None
    hints: HintsLike
    train_people: int
    test_people: int
    clips: int
    code: ImageCode
    code_settings: Mapping[str, float]


class _Group(Settings):
    """Wrapper with the settings of a data set, as in an experiment."""

    data: DataConfig = FolderConfig()


def parse_data(settings: Mapping[str, object], where: str = "DataConfig") -> DataConfig:
    """Parse the settings of a data set.

    Args:
        settings: Keys and values, including `kind`; default kind: `folder`.
        where: Source of the settings for error messages, such as a file name.

    Raises:
        ConfigError: If a key is unknown or belongs to another kind, or a value is invalid.

    Example:
        >>> parse_data({"kind": "mnist", "code": "latency"}).code
        'latency'
    """
    return build(_Group, {"data": settings}, where).data
