"""Events to spike tensors; static values and signals to spike trains."""

from .bins import BinConfig, BinCounts, cut_windows, encode_events
from .spikes import (
    CODES,
    BensSpiker,
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

__all__ = [
    "CODES",
    "BensSpiker",
    "BinConfig",
    "BinCounts",
    "Delta",
    "EncoderState",
    "HoughSpiker",
    "Latency",
    "LogLatency",
    "Poisson",
    "Population",
    "RankOrder",
    "SignalCode",
    "SpikeCode",
    "StepForward",
    "cut_windows",
    "encode_events",
    "encode_part",
    "encode_stream",
    "finish_encoding",
    "start_encoding",
    "unit_values",
]
