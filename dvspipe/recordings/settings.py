"""Flat group of all conversion settings, for videos and recordings."""

from __future__ import annotations

from ..events import SensorSize
from ..formats import NO_HINTS, Compression, Hints
from ..simulator import SimulatorConfig
from ..video.config import VideoSettings
from .conversion import ConvertConfig, RecordingConfig, Upsampling

RECORDING_SETTINGS = frozenset({"sort", "salvage"})
"""Settings that apply to recordings only. All others except `compression` apply to videos only."""


class ConversionSettings(VideoSettings, SimulatorConfig):
    """Settings for reading a video, the pixel model, repairing a recording and writing the event file."""

    upsample: Upsampling = "off"
    """As in `ConvertConfig`."""
    label_noise: bool = False
    """As in `ConvertConfig`."""
    compression: Compression = "gzip"
    """As in `ConvertConfig`."""
    sort: bool = False
    """As in `RecordingConfig`."""
    salvage: bool = False
    """As in `RecordingConfig`."""

    def of_video(self) -> ConvertConfig:
        """Return the settings for converting videos."""
        values = self.model_dump()
        return ConvertConfig(
            video=VideoSettings(**{name: values[name] for name in VideoSettings.model_fields}),
            simulator=SimulatorConfig(**{name: values[name] for name in SimulatorConfig.model_fields}),
            upsample=self.upsample,
            label_noise=self.label_noise,
            compression=self.compression,
        )

    def of_recording(self, sensor: SensorSize | None = None, hints: Hints = NO_HINTS) -> RecordingConfig:
        """Return the settings for converting recordings; `sensor` and `hints` supply metadata that a file lacks."""
        return RecordingConfig(
            sensor=sensor, hints=hints, sort=self.sort, salvage=self.salvage, compression=self.compression
        )
