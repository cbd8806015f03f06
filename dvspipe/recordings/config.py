"""Settings of conversions, from videos to events and from one event format to another; of checks and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypedDict

from pydantic import Field

from ..base.config import Settings
from ..events import SensorSize, SensorSizeLike
from ..formats import (
    NO_HINTS,
    Compression,
    GivenSensor,
    Hints,
    HintsLike,
)
from ..formats.hints import TimeUnit, UniqueHintKeywords
from ..simulator import SimulatorConfig
from ..simulator.config import SimulatorKeywords
from ..video.config import UniqueVideoKeywords, VideoKeywords, VideoSettings

Upsampling = Literal["off", "auto"] | Annotated[int, Field(ge=2, le=256)]


class ConvertConfig(Settings):
    """Settings of a conversion from video to events; stored in the event file."""

    video: VideoSettings = VideoSettings()
    simulator: SimulatorConfig = SimulatorConfig()
    upsample: Upsampling = "off"
    """Motion-compensated steps per pair of frames: `off`, `auto` (depending on the motion) or a number."""
    compression: Compression = "gzip"
    """HDF5 compression: `gzip` is readable by every program; `blosc` is faster and needs hdf5plugin."""

    def for_recording(self, name: str) -> Self:
        """Return the settings for a recording with a name; see `SimulatorConfig.for_recording`."""
        return self.model_copy(update={"simulator": self.simulator.for_recording(name)})

    def for_span(self, start_s: float, stop_s: float | None) -> Self:
        """Return the settings for a part of a video."""
        return self.model_copy(update={"video": self.video.model_copy(update={"start_s": start_s, "stop_s": stop_s})})


class UniqueConvertKeywords(UniqueVideoKeywords, SimulatorKeywords, total=False):
    """Settings of `ConvertConfig` by name, without `video` and `time_unit`, which larger configurations have twice."""

    simulator: SimulatorConfig | Mapping[str, object]
    upsample: Upsampling
    compression: Compression


class ConvertKeywords(UniqueConvertKeywords, VideoKeywords, total=False):
    """Settings of `ConvertConfig` by name."""

    video: VideoSettings | Mapping[str, object]


class RecordingConfig(Settings):
    """Settings of a conversion from one recording format to another."""

    sensor: GivenSensor = None
    """Sensor size, for files that do not store it."""
    hints: Hints = NO_HINTS
    """Other missing metadata: chip, columns, time unit, topic."""
    sort: bool = False
    """Whether to sort events by time; holds all events in memory."""
    salvage: bool = False
    """Whether to write the events before a corruption; otherwise corruption is an error."""
    compression: Compression = "gzip"
    """HDF5 compression, as in `ConvertConfig`."""


class RecordingKeywords(UniqueHintKeywords, total=False):
    """Settings of `RecordingConfig` by name."""

    sensor: SensorSizeLike | None
    hints: HintsLike
    time_unit: TimeUnit | None
    sort: bool
    salvage: bool
    compression: Compression


RECORDING_SETTINGS = frozenset({"sort", "salvage"})
"""Settings that apply to recordings only. All others except `compression` apply to videos only."""


class ConversionSettings(VideoSettings, SimulatorConfig):
    """Settings for reading a video, the pixel model, repairing a recording and writing the event file."""

    upsample: Upsampling = "off"
    """Motion-compensated steps per pair of frames of a video: off, auto (depending on the motion) or a number."""
    compression: Compression = "gzip"
    """HDF5 compression: gzip is readable by every program; blosc is faster and needs hdf5plugin."""
    sort: bool = False
    """Sort the events of an unsorted recording by time, in memory."""
    salvage: bool = False
    """Keep the events of a corrupted recording before its first error."""

    def of_video(self) -> ConvertConfig:
        """Return the settings for converting videos."""
        values = self.model_dump()

        return ConvertConfig(
            video=VideoSettings(**{name: values[name] for name in VideoSettings.model_fields}),
            simulator=SimulatorConfig(**{name: values[name] for name in SimulatorConfig.model_fields}),
            upsample=self.upsample,
            compression=self.compression,
        )

    def of_recording(self, sensor: SensorSize | None = None, hints: Hints = NO_HINTS) -> RecordingConfig:
        """Return the settings for converting recordings; `sensor` and `hints` supply metadata that a file lacks."""
        return RecordingConfig(
            sensor=sensor, hints=hints, sort=self.sort, salvage=self.salvage, compression=self.compression
        )


class ConversionKeywords(VideoKeywords, SimulatorKeywords, total=False):
    """Settings of `ConversionSettings` by name."""

    upsample: Upsampling
    compression: Compression
    sort: bool
    salvage: bool


class CheckSettings(Settings):
    """Thresholds of odd findings."""

    gap_us: int | None = Field(default=None, ge=1)
    """Maximum time without events that is not a gap, in microseconds. Default: 2^14 us, or 16 times the power of two
    that bounds 99 % of the steps between successive distinct times, whichever is longer."""


class CheckKeywords(TypedDict, total=False):
    """Settings of `CheckSettings` by name."""

    gap_us: int | None


class CompareSettings(Settings):
    """Settings of a comparison."""

    window_us: int = Field(default=40_000, ge=1)
    """Window length for correlating signed count maps, in microseconds; default: a frame interval at 25 fps."""


class CompareKeywords(TypedDict, total=False):
    """Settings of `CompareSettings` by name."""

    window_us: int
