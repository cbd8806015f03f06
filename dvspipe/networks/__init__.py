"""Spiking networks on Norse's neurons."""

from .config import NetworkConfig
from .models import SpikingNetwork, State, watch_rates
from .neurons import LIF, CountReadout, LeakyReadout
from .operations import LayerOperations, count_operations

__all__ = [
    "LIF",
    "CountReadout",
    "LayerOperations",
    "LeakyReadout",
    "NetworkConfig",
    "SpikingNetwork",
    "State",
    "count_operations",
    "watch_rates",
]
