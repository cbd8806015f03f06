"""Frames to events: the model of a DVS pixel.

Each pixel watches the logarithm of its intensity and fires an event when that level differs from a stored reference by
a contrast threshold; the reference then moves by the threshold.
"""

from .calibration import Calibration, calibrate
from .config import SimulatorConfig, read_preset
from .simulator import EventSimulator, SimulatorState, batches, simulate
from .upsampling import Factor

__all__ = [
    "Calibration",
    "EventSimulator",
    "Factor",
    "SimulatorConfig",
    "SimulatorState",
    "batches",
    "calibrate",
    "read_preset",
    "simulate",
]
