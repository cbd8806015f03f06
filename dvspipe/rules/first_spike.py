"""First spikes in closed form with exact gradients: Mostafa 2017 (leak = 0) and Göltz et al. 2021 (leak = 0.5 or 1).

See `dvspipe.networks.spike_times` for the equations and `dvspipe.networks.FirstSpikeNetwork` for a classifier.
PyTorch's backpropagation trains these layers with any loss of spike times.

Example:
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> times = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])  # XOR, and a bias
    >>> labels = torch.tensor([0, 1, 1, 0])
    >>> network = torch.nn.Sequential(FirstSpikeLayer(3, 20, leak=0.5), FirstSpikeLayer(20, 2, leak=0.5, horizon=4.0))
    >>> optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    >>> for _ in range(100):
    ...     optimiser.zero_grad()
    ...     torch.nn.functional.cross_entropy(-network(times) / 0.2, labels).backward()
    ...     optimiser.step()
    >>> network(times).argmin(1).tolist()  # the neuron that spikes first
    [0, 1, 1, 0]
"""

from ..networks import FirstSpikeLayer, first_spike_times

__all__ = ["FirstSpikeLayer", "first_spike_times"]
