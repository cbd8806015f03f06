"""The settings of inference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import Settings
from ..conversion import ConvertConfig


class SegmentConfig(Settings):
    """How answers become segments; see `find_segments`."""

    enter: float = Field(default=0.5, ge=0, le=1)
    """The probability at which a class begins; below it probabilities are flat, and what is shown is uncertain."""
    leave: float = Field(default=0.35, ge=0, le=1)
    """The probability below which it ends; at most `enter`."""
    smooth_us: int | None = Field(default=None, ge=0, le=10**12)
    """Over how much time probabilities are averaged, in microseconds; three quarters of a window by default."""
    least_us: int | None = Field(default=None, ge=0, le=10**12)
    """The shortest segment of a class in microseconds; half a window by default."""
    quiet: float = Field(default=0.05, ge=0, le=1)
    """A moment is quiet, and so uncertain, whose events are a smaller share than that of those of the recording's busy
    moments (their 90th percentile)."""
    noise: float = Field(default=1.6, ge=0)
    """So is one with fewer than so many times those of the recording's calm moments (their 10th percentile), where
    these have less than a quarter of those of the busy ones: they hold but the sensor's noise. 0 leaves it out."""
    least_events: int = Field(default=0, ge=0)
    """The fewest events of a window that say anything."""

    @model_validator(mode="after")
    def _in_order(self) -> SegmentConfig:
        if self.leave > self.enter:
            raise ValueError(f"leave = {self.leave:g} is above enter = {self.enter:g}; expected at most that")
        return self


class InferConfig(Settings):
    """How recordings are judged."""

    window_us: int | None = Field(default=None, ge=1, le=10**12)
    """Length of a window in microseconds, a whole number of the network's steps; what it learned from by default."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """From one window to the next in microseconds; a window by default. `stateful`: from one answer to the next, whole
    steps; a step by default."""
    stateful: bool = False
    """Whether the network's state runs on from the beginning to the end, without windows; a window is then the time
    constant of the mean of its outputs."""
    fit: Literal["crop", "scale"] | None = None
    """What is done with another sensor than the network's: its middle is taken, or it is scaled. None refuses it; a
    video is scaled before it is simulated."""
    roi: str | None = Field(default=None, pattern=r"^(auto|\d+x\d+\+\d+\+\d+)$")
    """The part of the sensor to look at, WIDTHxHEIGHT+LEFT+TOP, or `auto`: where the events are."""
    video: ConvertConfig = ConvertConfig()
    """How videos become events."""
    segments: SegmentConfig = SegmentConfig()
    """How answers become segments."""
