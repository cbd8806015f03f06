"""Encoding: events to spike tensors, static values and signals to spike trains."""

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
