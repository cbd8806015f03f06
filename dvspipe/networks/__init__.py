"""Spiking networks on Norse's neurons."""

from .csnn import NetworkConfig, SpikingNetwork, watch_rates
from .neurons import LIF, LeakyReadout

__all__ = ["LIF", "LeakyReadout", "NetworkConfig", "SpikingNetwork", "watch_rates"]
