"""Events to spike tensors."""

from .bins import BinConfig, BinCounts, cut_windows, encode_events
from .stream import EncoderState, encode_part, encode_stream, finish_encoding, start_encoding

__all__ = [
    "BinConfig",
    "BinCounts",
    "EncoderState",
    "cut_windows",
    "encode_events",
    "encode_part",
    "encode_stream",
    "finish_encoding",
    "start_encoding",
]
