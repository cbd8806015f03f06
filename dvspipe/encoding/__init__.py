"""Events to spike tensors."""

from .bins import BinConfig, count_events, windows

__all__ = ["BinConfig", "count_events", "windows"]
