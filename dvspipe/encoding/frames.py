"""Events to frames: an array per time window, or per number of events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..base.config import Settings, as_settings
from ..events import LATEST_US, Events, checked_parts
from .bins import cut_windows, encode, note_last_times
from .config import BinConfig
from .kernels import NO_EVENT_US, write_surface

FrameForm = Literal["count", "surface", "voxel"]
"""Values of a frame; see `FrameConfig.form`."""


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
            raise ValueError(f"every_us or every_events: expected one of them (found {which})")

        return self

    @property
    def windows(self) -> BinConfig:
        """Steps that define the windows."""
        if self.every_us is not None:
            return BinConfig(steps=1, step_us=self.every_us)

        return BinConfig(steps=1, by="events", step_events=self.every_events or 1)


class FrameKeywords(TypedDict, total=False):
    """Settings of `FrameConfig` by name."""

    every_us: int | None
    every_events: int | None
    form: FrameForm
    tau_us: float
    bins: int


class EventFrame(NamedTuple):
    """Frame of events.

    Args:
        start_us: Start of the window in microseconds; with `every_events`, the time of the first event.
        end_us: End of the window (exclusive) in microseconds.
        events: Number of events in the window.
        values: Values: `count` uint8 [2, H, W] and `surface` float32 [2, H, W], channel 0 OFF and 1 ON; `voxel`
            float32 [bins, H, W].
    """

    start_us: int
    end_us: int
    events: int
    values: NDArray[np.uint8 | np.float32]


def encode_frames(
    parts: Events | Iterable[Events],
    config: FrameConfig | Mapping[str, object] | None = None,
    **named: Unpack[FrameKeywords],
) -> Iterator[EventFrame]:
    """Yield the frames of a recording; memory is bounded by the busiest window.

    The values are as from `encode` for the events of the window: `form = count` with one step, `surface` with
    the events before the window too, and `voxel` with signed polarity and steps from the first to the last event.

    Args:
        parts: Events, or consecutive parts of one recording.
        config: Windows and values; a model or a mapping.
        named: Settings by name, such as `every_us=10_000`; they take precedence over `config`.

    Raises:
        ConfigError: If not exactly one of `every_us` and `every_events` is given.
        EventError: If a part is not `Events`.

    Example:
        >>> events = Events([0, 4, 25], [3, 3, 5], [1, 1, 2], [1, 1, 0], "12x7")
        >>> [(f.start_us, f.end_us, f.events, f.values[1, 1, 3]) for f in encode_frames(events, every_us=10)]
        [(0, 10, 2, np.uint8(2)), (20, 30, 1, np.uint8(0))]
    """
    return _encode_frames(checked_parts(parts), as_settings(FrameConfig, config, named, encode_frames))


def _encode_frames(parts: Iterable[Events], config: FrameConfig) -> Iterator[EventFrame]:
    surface = BinConfig(form="surface")
    last_us = np.zeros(0, np.int64)
    values: NDArray[np.uint8 | np.float32]

    for start_us, events in cut_windows(parts, config.windows):
        end_us = int(events.t[-1]) + 1
        if config.every_us is not None:
            end_us = min(start_us + config.every_us, LATEST_US)

        if config.form == "surface":
            # The last times carry over from window to window; the sensor is known from the first one.
            shape = surface.shape(events.sensor)
            last_us = last_us if last_us.size else np.full(int(np.prod(shape)), NO_EVENT_US)
            note_last_times(events, surface, last_us)

            ages = np.zeros(last_us.size, np.float32)
            write_surface(last_us, end_us, config.tau_us, ages)
            values = ages.reshape(shape)
        elif config.form == "voxel":
            voxels = BinConfig(steps=config.bins, by="recording", form="voxel", polarity="signed")
            values = encode(events, voxels)[:, 0]
        else:
            values = encode(events, BinConfig(steps=1, by="recording"))[0]

        yield EventFrame(start_us, end_us, len(events), values)
