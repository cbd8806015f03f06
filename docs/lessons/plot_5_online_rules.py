"""
5. Rules that learn while time runs
===================================

**Question.** BPTT goes back through all steps, so it must store them. Can a network learn while a recording runs, with
the memory of one step?
"""

# %%
# Derivation
# ----------
#
# Lesson 4 has the answer for one neuron: error times surrogate times trace, forward in time. *E-prop* (Bellec et al.
# 2020) writes the gradient of a weight as the *learning signal* L of a neuron times the *eligibility trace* e of a
# synapse:
#
# .. math:: \frac{dE}{dW_{ji}} = \sum_t L_j[t] \, e_{ji}[t]
#
# Let the spikes z of hidden neurons drive a leaky readout with the weights V, :math:`y[t] = (1 - k) \, y[t-1] + k \, V
# z[t]`, with a target :math:`y^*` at each step and the loss :math:`E = \frac{1}{2} \sum_t |y[t] - y^*[t]|^2`. A spike
# changes all later outputs, each time less by the factor 1 - k. The later errors are not known yet, so the trace
# remembers the past: :math:`\psi \, \varepsilon`, the effect of the weight on the spike of a step, decays by the same
# factor:
#
# .. math:: L_j[t] = k \sum_m V_{mj} (y_m[t] - y_m^*[t]), \qquad
#           e_{ji}[t] = (1 - k) \, e_{ji}[t-1] + \psi_j[t] \, \varepsilon_i[t]
#
# For one hidden layer, this is the gradient of BPTT. *OTTT* (Xiao et al. 2022) drops the memory of the readout, and
# keeps one trace per input instead of one per synapse:
#
# .. math:: \mathrm{OTTT}: \; e_{ji}[t] = \psi_j[t] \, \varepsilon_i[t]
#
# *DECOLLE* (Kaiser, Mostafa and Neftci 2020) needs no error from other layers. Each layer has a *local loss* of its own
# spikes, read by a fixed random matrix G. The trace is OTTT's:
#
# .. math:: E_l = \frac{1}{2} \sum_t |G z[t] - y^*[t]|^2, \qquad
#           L_j[t] = \sum_m G_{mj} (G z[t] - y^*[t])_m
#
# By hand
# -------
#
# One input, one neuron, one readout; a = k = 1/2, :math:`\beta` = 2, W = 5/2, V = 1, four steps, target 1, input spikes
# in steps 1 and 3. The reset subtracts the threshold 1.
#
# - Step 1: the potential is 5/4, a spike. :math:`\psi` = 4/9 and the trace is 1/2, so e = 2/9 = 0.222. The readout is
#   1/2, so L = 1/2 · (1/2 - 1) = -1/4.
# - Step 2: the reset left 1/4, and half of it is 1/8, no spike. :math:`\psi` = 0.132 and the trace is 1/4; OTTT's e is
#   their product, 0.033. Half of the previous e remains: e = 0.111 + 0.033. L = 1/2 · (1/4 - 1) = -3/8.
# - DECOLLE with G = 1/2 has the learning signals 1/2 · (1/2 - 1) = -1/4 after a spike, and -1/2 otherwise.

import numpy as np

beta, W, V = 2.0, 2.5, 1.0


def forward(x, a, k):
    """Return spikes, surrogate, input trace and readout of each step."""
    v = trace = y = 0.0
    rows = []
    for spike in x:
        v = (1 - a) * v + a * W * spike
        z = float(v > 1)
        trace = (1 - a) * trace + a * spike
        y = (1 - k) * y + k * V * z
        rows.append((z, 1 / (1 + beta * abs(v - 1)) ** 2, trace, y))
        v -= z
    return np.array(rows).T


def online(x, a, k, G=0.5):
    """Return learning signals and eligibility traces of each rule."""
    z, psi, trace, y = forward(x, a, k)
    e, eligible = 0.0, []
    for now in psi * trace:
        e = (1 - k) * e + now
        eligible.append(e)
    signal = k * V * (y - 1)
    return {
        "e-prop": (signal, np.array(eligible)),
        "OTTT": (signal, psi * trace),
        "DECOLLE": (G * (G * z - 1), psi * trace),
    }


def bptt(x, a, k):
    """Return dE/dW, last step first."""
    _, psi, _, y = forward(x, a, k)
    to_y = to_v = gradient = 0.0
    for t in reversed(range(len(x))):
        to_y = (y[t] - 1) + (1 - k) * to_y
        to_v = k * V * to_y * psi[t] + (1 - a) * to_v
        gradient += to_v * a * x[t]
    return gradient


x = np.array([1.0, 0.0, 1.0, 0.0])
print("step       L       e   L * e     OTTT")
by_hand = online(x, 0.5, 0.5)
for t in range(4):
    signal, e = by_hand["e-prop"]
    print(f"{t + 1:4}  {signal[t]:6.3f}  {e[t]:6.3f}  {signal[t] * e[t]:6.3f}   {by_hand['OTTT'][1][t]:6.3f}")
gradients = {"BPTT": bptt(x, 0.5, 0.5)} | {name: signal @ e for name, (signal, e) in by_hand.items()}
for name, gradient in gradients.items():
    print(f"dE/dW by {name:7} {gradient:.4f}")

# %%
# With dvspipe
# ------------
#
# ``EProp``, ``OTTT`` and ``Decolle`` take a network and add to the gradients of its weights, one step at a time
# (:doc:`/concepts/learning-rules`). The input is the ON channel of one pixel. ``update`` expects a loss that is a mean
# over steps, here four, so its gradients are a quarter of the sums above. The loss ignores the second class.

import torch

from dvspipe.networks import NetworkConfig, build_network, list_layers
from dvspipe.rules import OTTT, Bptt, Decolle, EProp

config = NetworkConfig(
    network="mlp", channels=(1,), tau_mem_s=0.002, tau_readout_s=0.002, slope=beta, reset="subtract", detach_reset=True
)
events = torch.zeros(4, 1, 2, 1, 1, dtype=torch.float64)  # [T, B, C, H, W]
events[:, 0, 1, 0, 0] = torch.tensor(x)


def make_network():
    """Return the network of the toy: W for ON events, no bias."""
    network = build_network(config, (2, 1, 1), classes=2, dt=0.001).double()
    for layer, weight in zip(list_layers(network), ([[0.0, W]], [[V], [0.0]]), strict=True):
        layer.synapses.weight.data = torch.tensor(weight, dtype=torch.float64)
        layer.synapses.bias.data.zero_()
    return network


def loss(y):
    """Return the mean over the steps of half the squared error of the first output."""
    return 0.5 * (y[..., 0] - 1).square().mean()


for name, make in (("BPTT", Bptt), ("e-prop", EProp), ("OTTT", OTTT), ("DECOLLE", Decolle)):
    network = make_network()
    rule = make(network)
    if name == "DECOLLE":
        rule.readouts[2] = torch.tensor([[0.5], [0.0]], dtype=torch.float64)  # G of module 2; otherwise random
    rule.update(events, loss)
    weights = list_layers(network)[0].synapses.weight
    assert abs(4 * weights.grad[0, 1].item() - gradients[name]) < 1e-12
print("dvspipe: the same gradients as by hand")

# %%
# The picture has the same neuron for 120 steps, with slower leaks, larger weights and random input. The sum ends at the
# gradient of BPTT (dot). OTTT has the right sign here, and a smaller value. This matters little to Adam (Kingma and Ba
# 2015), which divides a gradient by its recent size.

import matplotlib.pyplot as plt

W, V, a, k = 5.0, 5.0, 0.1, 0.25
x = (np.random.default_rng(4).random(120) < 0.3).astype(float)
rules = online(x, a, k)
signal, eligible = rules["e-prop"]

figure, panels = plt.subplots(3, 1, figsize=(9, 5.5), height_ratios=(1, 1, 1.6), sharex=True, layout="constrained")
panels[0].plot(eligible, color="#1b9e77")
panels[1].plot(signal, color="#c62f2d")
for (name, (signal_of, e)), colour in zip(rules.items(), ("black", "#7570b3", "#d95f02"), strict=False):
    panels[2].plot(np.cumsum(signal_of * e), color=colour, label=name)
panels[2].plot(119, bptt(x, a, k), "o", color="black", label="BPTT")
panels[2].legend(fontsize=8, loc="lower left")
panels[2].set(xlabel="step")
for axes, title in zip(panels, ("eligibility trace e", "learning signal L", "sum of L e until now"), strict=True):
    axes.set_title(title, loc="left", fontsize=9)
plt.show()

# %%
# **What do these rules lose in a deep network?** Let U be the weights from one hidden layer to the next, and d[s] the
# error that arises in the upper layer in step s. A spike of the lower layer in step t stays in the upper potentials, so
# it has a share in the errors of all later steps. BPTT sums these shares; OTTT takes the first one only:
#
# .. math:: \mathrm{BPTT}: \; \frac{\partial E}{\partial z[t]} = a \, U^T \sum_{s \geq t} (1 - a)^{s - t} \, d[s],
#           \qquad \mathrm{OTTT}: \; a \, U^T d[t]
#
# OTTT repeats this loss between any two layers: no later error reaches a spike of the layer below. DECOLLE sends no
# error down: a layer learns what its own readout needs, not what the next layer needs. ``EProp`` takes one hidden layer
# only.
#
# So a network can learn with the memory of one step: exactly with one hidden layer, by e-prop; approximately with more.
# In lesson 9, OTTT trains two hidden layers; :doc:`/concepts/learning-rules` has accuracies on recordings.
#
# Exercise
# --------
#
# Which of the rules equal BPTT, and which if the readout has no memory (k = 1)?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    With k = 1, the trace e keeps nothing of the previous step, so OTTT equals e-prop and BPTT, for any a.
#
#    .. code-block:: pycon
#
#       >>> def equal_bptt(a, k):
#       ...     rules = online(x, a, k)
#       ...     return [name for name, (signal, e) in rules.items() if np.isclose(signal @ e, bptt(x, a, k))]
#       >>> equal_bptt(0.1, 0.25), equal_bptt(0.1, 1.0)
#       (['e-prop'], ['e-prop', 'OTTT'])
#
# Next: :doc:`plot_6_spike_times`.
