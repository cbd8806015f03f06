"""The settings of a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from ..config import SIZE_PATTERN, Settings, build, complete_kind
from ..encoding import CodeName
from ..events import Region, SensorSize
from ..formats import Hints
from ..framing import FramingConfig
from .augmentation import VaryConfig

DataKind = Literal["folder", "labelled", "nmnist", "dvsgesture", "gestures", "mnist", "tonic", "shards"]
"""Every kind of data set; see `DataConfig`."""

ImageCode = Literal["constant", "contrast", CodeName]
"""How an image becomes spikes: by one of the spike codes, its local contrast, or its values at every step."""

PERSON_SIZE = SensorSize(width=128, height=128)  # of DVS128, for whose pictures the person finder is trained


class SourceConfig(Settings):
    """Base of the settings of each kind of data set."""

    kind: DataKind
    """The kind; see `DataConfig`."""
    root: Path | None = None
    """Folder of the data set."""
    cache: Path | Literal["none"] | None = None
    """Folder in which spike tensors and the events of videos are cached; default: the user's cache folder."""

    @property
    def target(self) -> SensorSize | None:
        """Size of the picture that the network sees; None: that of the recordings."""
        return None

    @property
    def framing(self) -> FramingConfig:
        """How the recordings are framed; recordings that are not fitted to a size are seen as complete pictures."""
        return FramingConfig(roi="full")

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        """Return these settings with other shares of the parts, `validation` and `test`, as far as the kind has them.

        Example:
            >>> MnistConfig().with_shares({"validation": 0.0, "test": 0.0}).validation
            0.0
        """
        own = {name: share for name, share in shares.items() if name in type(self).model_fields}
        return self.model_copy(update=own)

    @field_validator("root", "test_root", "split", "cache", mode="before", check_fields=False)
    @classmethod
    def _path_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # a folder may be called 2024


class EventsConfig(SourceConfig):
    """Events, of which a training recording may have several variants."""

    views: int = Field(default=1, ge=1, le=1000)
    """Variants of each training recording: the recording itself, and others changed as set in `vary`."""
    vary: VaryConfig = VaryConfig()


class RecordingsConfig(EventsConfig):
    """Recordings that are divided into training, validation and test parts."""

    test_root: Path | None = None
    """Another folder of the same kind, all of whose recordings are the test part."""
    split: Path | None = None
    """The split.json of an earlier run, whose division into parts is used instead of a new random one."""
    group: str | None = None
    """Regular expression on file names (`tonic`: on the path below the root). Recordings with the same match (such as a
    person) are kept in the same part. Without it, every recording is its own group, and the parts are drawn class by
    class."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training groups that is held out to choose the best epoch."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that becomes the test part of a data set that has none."""

    @field_validator("group")
    @classmethod
    def _group_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value


class PublicConfig(RecordingsConfig):
    """A public data set."""

    download: bool = False
    """Whether Tonic downloads N-MNIST, DVS Gesture or its other data sets into the root if they are missing."""


class WindowsConfig(RecordingsConfig):
    """Recordings in class folders."""

    window_us: int | None = Field(default=None, ge=1)
    """Length in microseconds of the consecutive windows into which longer recordings in class folders are cut; each
    window is a sample, and those of a recording are in the same part. None: a recording is one sample."""


class FramedConfig(FramingConfig, SourceConfig):
    """Recordings and videos that are framed."""

    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Size of the picture that the network sees, WIDTHxHEIGHT, to which all recordings and videos of a folder are
    fitted by `roi` and `fit`. None: the size of `roi` if it is a region, 128x128 if it is `auto`, and otherwise the
    recordings' own size."""

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
        """How the recordings are framed; recordings that are not fitted to a size are seen as complete pictures."""
        whole = self.target is None and self.roi is None
        return FramingConfig(fit=self.fit, roi="full" if whole else self.roi, video=self.video)


class FilesConfig(FramedConfig, RecordingsConfig):
    """Folders of your own recordings and videos."""

    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor of the recordings, WIDTHxHEIGHT, for files that do not store it."""
    hints: Hints = Hints()
    """What else the recordings of a folder do not say: `time_unit`, `columns`, `chip` or `topic`; see `Hints`."""


class FolderConfig(FilesConfig, WindowsConfig):
    """ROOT/<class>/<recording or video>, or ROOT/train/<class> and ROOT/test/<class>."""

    kind: Literal["folder"] = "folder"


class LabelledConfig(FilesConfig):
    """Recordings below ROOT, each with a NAME_labels.csv beside it that lists the start, end and class of gestures."""

    kind: Literal["labelled"] = "labelled"


class NmnistConfig(PublicConfig, WindowsConfig):
    """N-MNIST: ROOT/Train/<digit>/*.bin and ROOT/Test."""

    kind: Literal["nmnist"] = "nmnist"


class DvsGestureConfig(PublicConfig):
    """DVS128 Gesture as distributed by Tonic or by IBM."""

    kind: Literal["dvsgesture"] = "dvsgesture"

    @property
    def framing(self) -> FramingConfig:
        """How the recordings are framed: they show one person, as `roi = auto` does."""
        return FramingConfig()


class GesturesConfig(FilesConfig, WindowsConfig):
    """A folder with the classes of DVS128 Gesture or, without a root, rendered gestures."""

    kind: Literal["gestures"] = "gestures"
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people in the training and validation parts."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people in the test part."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: clips per person and class."""

    @property
    def framing(self) -> FramingConfig:
        """How the recordings are framed: they show one person, as `roi = auto` does."""
        return FramingConfig(fit=self.fit, roi=self.roi, video=self.video)

    @model_validator(mode="after")
    def _framing_applies(self) -> GesturesConfig:
        given = [name for name in ("size", "roi", "fit") if getattr(self, name) is not None]
        if given and self.root is None:
            raise ValueError(f"{given[0]}: frames recordings in a folder, and kind = gestures without root has none")
        return self


class MnistConfig(SourceConfig):
    """The four files of MNIST, whose images become spikes by `code`."""

    kind: Literal["mnist"] = "mnist"
    code: ImageCode = "poisson"
    """The spike code, as in `dvspipe encode`, or `constant`: the values of the image at every step, or `contrast`: the
    rank of its local contrast (`Contrast`)."""
    code_settings: dict[str, float] = Field(default_factory=dict)
    """Settings of the code; its steps are those of `bins`."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training groups that is held out to choose the best epoch."""

    views: ClassVar[int] = 1  # an image is encoded again in every epoch
    vary: ClassVar[VaryConfig] = VaryConfig()


class TonicConfig(PublicConfig):
    """The class `name` of `tonic.datasets`, with the `options`."""

    kind: Literal["tonic"] = "tonic"
    name: str | None = None
    """The class of `tonic.datasets`, such as NCALTECH101; its files are in, or downloaded to, ROOT/<name>."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of that class by their names, such as `stabilize` of NMNIST."""
    sensor: str | None = Field(default=None, pattern=SIZE_PATTERN)
    """Sensor of the recordings, WIDTHxHEIGHT, if the class of Tonic does not say it."""


class ShardsConfig(FramedConfig, EventsConfig):
    """Spike tensors that were written as tar archives into ROOT, and their index.json.

    The framing is that of the recordings that they were written from, and is stored in the checkpoint.
    """

    kind: Literal["shards"] = "shards"


_AnyConfig: TypeAlias = (
    FolderConfig
    | LabelledConfig
    | NmnistConfig
    | DvsGestureConfig
    | GesturesConfig
    | MnistConfig
    | TonicConfig
    | ShardsConfig
)
DataConfig: TypeAlias = Annotated[
    _AnyConfig, Field(discriminator="kind"), BeforeValidator(partial(complete_kind, _AnyConfig))
]
"""The kind of a data set, and its settings; without a kind, those of `folder`."""


class _Group(Settings):
    """A group of settings with a data set, as an experiment is."""

    data: DataConfig = FolderConfig()


def parse_data(settings: Mapping[str, object], where: str = "DataConfig") -> DataConfig:
    """Return the kind of a data set and its settings from plain keys and values.

    Args:
        settings: Keys and values.
        where: The place of a mistake, for messages: a file, or what was typed.

    Raises:
        ConfigError: A key is unknown or belongs to another kind, or a value is wrong.

    Example:
        >>> parse_data({"kind": "mnist", "code": "latency"}).code
        'latency'
    """
    return build(_Group, {"data": settings}, where).data
