"""All settings of a conversion in one flat group, whatever is converted."""

from __future__ import annotations

from ..events import SensorSize
from ..formats import NO_HINTS, Compression, Hints
from ..simulator import SimulatorConfig
from ..video.config import VideoSettings
from .conversion import ConvertConfig, RecordingConfig, Upsampling

RECORDING_SETTINGS = frozenset({"sort", "salvage"})
"""Settings of recordings only; the others are of videos, except `compression`."""


class ConversionSettings(VideoSettings, SimulatorConfig):
    """Settings of a video, of the pixel model, of a recording and of the event file."""

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
        """Return the settings for videos."""
        values = self.model_dump()
        return ConvertConfig(
            video=VideoSettings(**{name: values[name] for name in VideoSettings.model_fields}),
            simulator=SimulatorConfig(**{name: values[name] for name in SimulatorConfig.model_fields}),
            upsample=self.upsample,
            label_noise=self.label_noise,
            compression=self.compression,
        )

    def of_recording(self, sensor: SensorSize | None = None, hints: Hints = NO_HINTS) -> RecordingConfig:
        """Return the settings for recordings, with what a file does not say."""
        return RecordingConfig(sensor, hints, self.sort, self.salvage, self.compression)
