"""Spiking networks on Norse's neurons."""

from .config import NetworkConfig
from .models import SpikingNetwork, State, watch_rates
from .neurons import LIF, CountReadout, LeakyReadout

__all__ = ["LIF", "CountReadout", "LeakyReadout", "NetworkConfig", "SpikingNetwork", "State", "watch_rates"]
