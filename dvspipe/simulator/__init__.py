"""Frames to events: the model of a DVS pixel.

Each pixel watches the logarithm of its intensity and fires an event whenever that level has moved by a contrast
threshold from a remembered reference, which then moves by the threshold.
"""

from .config import SimulatorConfig
from .simulator import EventSimulator, SimulatorState, simulate

__all__ = ["EventSimulator", "SimulatorConfig", "SimulatorState", "simulate"]
