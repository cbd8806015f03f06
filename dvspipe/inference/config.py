"""The settings of inference."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..config import Settings
from ..framing import FramingConfig


class SegmentConfig(Settings):
    """How predictions over time become segments; see `find_segments`."""

    enter: float = Field(default=0.5, ge=0, le=1)
    """Probability at which a segment of a class starts; while no class reaches it, the segment is uncertain."""
    leave: float = Field(default=0.35, ge=0, le=1)
    """Probability below which the segment ends; at most `enter`."""
    smooth_us: int | None = Field(default=None, ge=0, le=10**12)
    """Length of the moving mean of the probabilities in microseconds; None: three quarters of a window."""
    least_us: int | None = Field(default=None, ge=0, le=10**12)
    """Shortest segment of a class in microseconds; None: half a window."""
    quiet: float = Field(default=0.05, ge=0, le=1)
    """Share of the event rate of the busy times of a recording (90th percentile) below which a time is quiet, and so
    uncertain."""
    noise: float = Field(default=1.6, ge=0)
    """Multiple of the event rate of the calm times of a recording (10th percentile) below which a time is quiet too,
    provided that this rate is less than a quarter of that of the busy times: calm times then show only the noise of the
    sensor. 0 switches this off."""
    least_events: int = Field(default=0, ge=0)
    """Fewest events of a window that is not quiet."""

    @model_validator(mode="after")
    def _check_order(self) -> SegmentConfig:
        if self.leave > self.enter:
            raise ValueError(f"leave = {self.leave:g} is above enter = {self.enter:g}; expected at most that")
        return self


class InferConfig(FramingConfig):
    """How recordings are classified; those settings of the framing that are not given are as in the training."""

    window_us: int | None = Field(default=None, ge=1, le=10**12)
    """Length of a window in microseconds, a multiple of the network's time step; None: the length it was trained on."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Time from one window to the next in microseconds; None: the length of a window. With `stateful`, the time from
    one prediction to the next, a multiple of the time step; None: a time step."""
    stateful: bool = False
    """Whether the state of the network is kept from the start of a recording to its end, without windows. The length of
    a window is then the time constant of the mean of outputs."""
    pose: bool = False
    """Whether videos are classified by joints and events: by the joints of the person in the pictures too."""
    segments: SegmentConfig = SegmentConfig()
    """How predictions over time become segments."""
