"""Encoding: events to spike tensors, static values and signals to spike trains."""

from typing import TYPE_CHECKING

from ..base.errors import refuse_unknown
from .bins import BinConfig, BinCounts, BinForm, PolarityMode, StepRule, cut_windows, encode
from .contrast import Contrast
from .frames import EventFrame, FrameConfig, FrameForm, encode_frames
from .spikes import (
    CODES,
    BensSpiker,
    CodeName,
    Delta,
    HoughSpiker,
    Latency,
    LogLatency,
    Poisson,
    Population,
    RankOrder,
    SignalCode,
    SpikeCode,
    StepForward,
    unit_values,
)
from .stream import EncoderState, encode_part, encode_stream, finish_encoding, start_encoding
from .transform import ToSpikes

__all__ = [
    "CODES",
    "BensSpiker",
    "BinConfig",
    "BinCounts",
    "BinForm",
    "CodeName",
    "Contrast",
    "Delta",
    "EncoderState",
    "EventFrame",
    "FrameConfig",
    "FrameForm",
    "HoughSpiker",
    "Latency",
    "LogLatency",
    "Poisson",
    "PolarityMode",
    "Population",
    "RankOrder",
    "SignalCode",
    "SpikeCode",
    "StepForward",
    "StepRule",
    "ToSpikes",
    "cut_windows",
    "encode",
    "encode_frames",
    "encode_part",
    "encode_stream",
    "finish_encoding",
    "start_encoding",
    "unit_values",
]

OTHER_NAMES = {
    "Rate": "dvspipe.encoding.Poisson",
    "ToFrame": "dvspipe.encoding.ToSpikes",
    "ToImage": "dvspipe.encoding.encode_frames(events, every_us=10_000)",
    "ToVoxelGrid": 'dvspipe.encoding.ToSpikes(form="voxel")',
    "delta": "dvspipe.encoding.Delta",
    "latency": "dvspipe.encoding.Latency",
    "rate": "dvspipe.encoding.Poisson",
}
"""What to write instead of names of other libraries."""


if not TYPE_CHECKING:  # type checkers find unknown names themselves
    __getattr__ = refuse_unknown(__name__, __all__, OTHER_NAMES)
