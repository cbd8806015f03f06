"""Settings of inference."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..base.config import Settings
from ..framing import FramingConfig


class SegmentConfig(Settings):
    """Conversion of predictions over time into segments; see `find_segments`."""

    enter: float = Field(default=0.5, ge=0, le=1)
    """Probability that starts a segment of a class; until a class reaches it, the time is uncertain."""
    leave: float = Field(default=0.35, ge=0, le=1)
    """A segment ends if the probability of its class falls below this value; at most `enter`."""
    smooth_us: int | None = Field(default=None, ge=0, le=10**12)
    """Length of the moving average of the probabilities in microseconds; None: three quarters of a window."""
    least_us: int | None = Field(default=None, ge=0, le=10**12)
    """Minimum length of a segment of a class in microseconds; None: half a window."""
    quiet: float = Field(default=0.05, ge=0, le=1)
    """Threshold of quiet, hence uncertain, times: share of the recording's busy event rate (90th percentile)."""
    noise: float = Field(default=1.6, ge=0)
    """Second threshold of quiet times: multiple of the recording's calm event rate (10th percentile). It applies only
    if the calm rate is less than a quarter of the busy rate; calm times then show only sensor noise. 0: off."""
    least_events: int = Field(default=0, ge=0)
    """Minimum number of events in a window that is not quiet."""

    @model_validator(mode="after")
    def _check_order(self) -> SegmentConfig:
        if self.leave > self.enter:
            raise ValueError(f"leave = {self.leave:g}: larger than enter = {self.enter:g} (expected at most enter)")
        return self


class InferConfig(FramingConfig):
    """Settings of classification; framing settings that are not given are as in the training."""

    window_us: int | None = Field(default=None, ge=1, le=10**12)
    """Window length in microseconds, a multiple of the network's time step; None: as in the training."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Interval between the starts of windows in microseconds; None: as in the training, or one window if `window_us` is
    given. With `stateful`, the interval between predictions, a multiple of the time step; None: one time step."""
    stateful: bool = False
    """Whether to keep the network state throughout a recording instead of classifying windows. The window length is
    then the time constant of the running mean of outputs."""
    pose: bool | None = None
    """Whether to classify videos of people by their joints and events, instead of events alone. None: if the classifier
    was learnt from films (`dvspipe.oneshot`)."""
    segments: SegmentConfig = SegmentConfig()
    """Conversion of predictions over time into segments."""
