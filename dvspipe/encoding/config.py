"""Settings of spike tensors and of frames."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..base.errors import ConfigError
from ..base.settings import Settings
from ..events import SensorSize

MAX_COUNT = 255
MAX_STEPS = 10_000

FrameForm = Literal["count", "surface", "voxel"]
"""Values of a frame; see `FrameConfig.form`."""


class BinConfig(Settings):
    """Settings of the spike tensor [T, C, H, W] of a recording."""

    steps: int = Field(default=20, ge=1, le=MAX_STEPS)
    """Number of time steps T."""
    by: Literal["time", "recording"] = "time"
    """Definition of a step. `time`: `step_us` microseconds; `recording`: 1 / T of the duration."""
    step_us: int = Field(default=15_000, ge=1, le=10**9)
    """Length of a step in microseconds; networks use it for any `by`."""
    downsample: int = Field(default=1, ge=1, le=1024)
    """Side of the pixel blocks that are summed into one value; the last block of a row or column may be partial."""
    form: Literal["count", "binary"] = "count"
    """`count`: number of events, at most 255; `binary`: 1 if there is any event."""
    polarity: Literal["separate", "merged"] = "separate"
    """`separate`: C = 2, channel 0 OFF and 1 ON; `merged`: C = 1, ON plus OFF."""

    @property
    def input_channels(self) -> int:
        """Number of channels C of the spike tensor."""
        return 2 if self.polarity == "separate" else 1

    @property
    def tensor_us(self) -> int:
        """Length of the tensor in microseconds, for `by = time`."""
        return self.steps * self.step_us

    @property
    def max_count(self) -> int:
        """Maximum value of the spike tensor."""
        return 1 if self.form == "binary" else MAX_COUNT

    def grid(self, sensor: SensorSize) -> SensorSize:
        """Return width and height of the spike tensor for a sensor."""
        return SensorSize(width=-(-sensor.width // self.downsample), height=-(-sensor.height // self.downsample))

    def shape(self, sensor: SensorSize) -> tuple[int, int, int]:
        """Return C, H and W of the spike tensor for a sensor."""
        grid = self.grid(sensor)
        return self.input_channels, grid.height, grid.width


class FrameConfig(Settings):
    """Settings of frames; one of `every_us` and `every_events` is set."""

    every_us: int | None = Field(default=None, ge=1, le=10**9)
    """Length of a time window in microseconds; default of a data set of frames: 33,333. The first window starts at the
    first event; windows without events give no frame."""
    every_events: int | None = Field(default=None, ge=1, le=10**9)
    """Number of events of a frame; the last frame may have fewer."""
    form: FrameForm = "count"
    """`count`: number of events per polarity, at most 255. `surface`: time surface, exp(-age / tau) of the last event
    of each polarity and pixel, also of earlier windows. `voxel`: ON minus OFF events in `bins` steps, each event
    divided between the two nearest steps."""
    tau_us: float = Field(default=50_000.0, gt=0, le=1e12)
    """Time constant in microseconds, for `surface`."""
    bins: int = Field(default=5, ge=2, le=1000)
    """Number of steps, for `voxel`."""

    @model_validator(mode="after")
    def _has_one_length(self) -> FrameConfig:
        if (self.every_us is None) == (self.every_events is None):
            which = "none" if self.every_us is None else "both"
            raise ConfigError(f"every_us or every_events: expected one of them (found {which})")

        return self
