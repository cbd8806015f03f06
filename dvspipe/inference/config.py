"""Settings of classification."""

from __future__ import annotations

from pydantic import Field

from ..formats import Hints
from ..framing import RegionConfig
from ..video.config import ClipSettings
from .segments import CertaintyConfig, SegmentConfig


class ClassifyConfig(CertaintyConfig, RegionConfig):
    """Settings that recordings and live streams have in common; the pixel model of videos is the checkpoint's."""

    window_us: int | None = Field(default=None, ge=1, le=10**12)
    """Window length in microseconds, a multiple of the network's time step; default: as in the training."""
    hop_us: int | None = Field(default=None, ge=1, le=10**12)
    """Interval between the starts of windows in microseconds; default: as in the training, or one window if `window_us`
    is given. With one continuous state, the interval between predictions, a multiple of the time step; default: one
    time step, in live streams about 100,000."""
    joints: bool | None = None
    """Whether to classify videos of people by their joints and events, instead of events alone. Default: if the
    classifier has a joint network."""


class InferConfig(Hints, ClipSettings, SegmentConfig, ClassifyConfig):
    """Settings of classification; the region and the fit that are not given are as in the training."""

    stateful: bool = False
    """Whether to keep the network state throughout a recording instead of classifying windows. The window length is
    then the time constant of the running mean of outputs."""
