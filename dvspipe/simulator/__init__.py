"""Simulate a DVS: convert video frames to events.

Each pixel compares the logarithm of its intensity (its level) with a stored reference. It fires an event when the two
differ by a contrast threshold, and the reference moves by the threshold.
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
