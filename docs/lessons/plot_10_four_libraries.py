"""
10. One network, four libraries
===============================

**Question.** Norse, snnTorch, SpikingJelly and dvspipe all have a leaky integrate-and-fire neuron. Does the same
network with the same weights give the same spikes in all of them?

You need snnTorch (``pip install snntorch``). SpikingJelly is compared if it is installed.
"""

# %%
# Derivation
# ----------
#
# Lesson 2 has the step of the neuron (Gerstner and Kistler 2002, chapter 4). With a = dt / :math:`\tau`, the potential
# moves by the part a towards the input, and a spike resets it to 0:
#
# .. math:: u[t] = (1 - a) \, u[t-1] + a \, x[t], \qquad z[t] = 1 \text{ and } u[t] = 0 \text{ if } u[t] > 1
#
# The libraries differ in three choices: whether the input is multiplied by a, when a reset acts, and what it does.
# snnTorch's default multiplies the input by 1, and its reset subtracts the threshold one step *later*:
#
# .. math:: u[t] = \beta \, u[t-1] + x[t] - z[t-1]
#
# ============= ============================= ================ ===================== ===================
# library       neuron                        decay            input                 reset, by default
# ============= ============================= ================ ===================== ===================
# dvspipe       ``LIFBox(p, dt)``             1 - dt tau_inv   multiplied by a       to 0, at once
# Norse         ``LIFBoxCell(p, dt)``         1 - dt tau_inv   multiplied by a       to 0, at once
# SpikingJelly  ``LIFNode(tau=1 / a)``        1 - 1 / tau      multiplied by a       to 0, at once
# snnTorch      ``Leaky(beta=1 - a)``         beta             as it is              minus 1, a step later
# ============= ============================= ================ ===================== ===================
#
# A potential of exactly 1 is a spike in SpikingJelly, and none in the others.
#
# By hand
# -------
#
# a = 1/2 and the input 3/2 in each step. Potentials before the reset:
#
# - dvspipe, Norse, SpikingJelly: 3/4, then 3/8 + 3/4 = 9/8, a spike; then the same again.
# - snnTorch's default: 3/2, a spike; 3/4 + 3/2 - 1 = 5/4, 9/8, 17/16: it always spikes.
# - snnTorch with the input multiplied by a: 3/4, then 9/8, a spike; 9/16 + 3/4 - 1 = 5/16, then 29/32. The spike of
#   step 4 is missing: a later reset makes another neuron.

import numpy as np

a = 1 / 2


def at_once(x):
    """Return the potentials of a neuron that a spike resets to 0."""
    u, potentials = 0.0, []
    for value in x:
        u = (1 - a) * u + a * value
        potentials.append(u)
        u = 0.0 if u > 1 else u
    return potentials


def a_step_later(x):
    """Return the potentials of a neuron from which a spike subtracts 1 in the next step."""
    u, spike, potentials = 0.0, 0.0, []
    for value in x:
        u = (1 - a) * u + value - spike
        spike = float(u > 1)
        potentials.append(u)
    return potentials


by_hand = {
    "at once": at_once([1.5] * 4),
    "snnTorch": a_step_later([1.5] * 4),
    "snnTorch, a x": a_step_later([a * 1.5] * 4),
}
for name, potentials in by_hand.items():
    print(f"{name:14}", potentials)

# %%
# With dvspipe
# ------------
#
# Two layers of these neurons with the same random weights, 60 steps.

from importlib.util import find_spec

import norse.torch as norse
import snntorch
import torch

from dvspipe.networks import LIFBox

dt = 1e-3
p = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(a / dt))


def dvspipe_neuron():
    """Return a step of dvspipe's neuron."""
    lif = LIFBox(p, dt)

    def step(x, state):
        spikes, state = lif(x[None], state)  # [T, B, N]: one step
        return spikes[0], state

    return step


def norse_neuron():
    """Return a step of Norse's neuron."""
    return norse.LIFBoxCell(p, dt=dt)


def snntorch_neuron(scale=a, **settings):
    """Return a step of snnTorch's neuron; without settings, with the defaults of snnTorch."""
    leaky = snntorch.Leaky(beta=1 - a, **settings)
    return lambda x, state: leaky(scale * x, leaky.init_leaky() if state is None else state)


def spikingjelly_neuron():
    """Return a step of SpikingJelly's neuron, which keeps its state."""
    from spikingjelly.activation_based import neuron

    node = neuron.LIFNode(tau=1 / a, decay_input=True, v_threshold=1.0, v_reset=0.0)
    return lambda x, state: (node(x), state)


torch.manual_seed(0)
inputs = (torch.rand(60, 1, 8) < 0.3).float()
weights = [torch.randn(12, 8) * 1.5, torch.randn(4, 12) * 3]


def run(make):
    """Return the spikes of both layers of a network of such neurons, [60, 12] and [60, 4]."""
    neurons, states, spikes = [make(), make()], [None, None], ([], [])
    for x in inputs:
        for layer in (0, 1):
            x, states[layer] = neurons[layer](x @ weights[layer].T, states[layer])
            spikes[layer].append(x[0])
    return [torch.stack(steps).detach() for steps in spikes]


same = {"reset_mechanism": "zero", "reset_delay": False}
libraries = {"dvspipe": dvspipe_neuron, "Norse": norse_neuron, "snnTorch": lambda: snntorch_neuron(**same)}
if find_spec("spikingjelly"):
    libraries["SpikingJelly"] = spikingjelly_neuron

results = {name: run(make) for name, make in libraries.items()}
for name, (hidden, output) in results.items():
    assert torch.equal(hidden, results["dvspipe"][0])
    assert torch.equal(output, results["dvspipe"][1])
    print(f"{name:13} {int(hidden.sum())} hidden spikes, {int(output.sum())} output spikes")

default = run(lambda: snntorch_neuron(scale=1))
print(f"snnTorch with its defaults: {int(default[0].sum())} hidden spikes, {int(default[1].sum())} output spikes")

# %%
# All spikes are equal if the settings mean the same. With the defaults of each library, the same weights are another
# network, which has to be *translated*: ``dvspipe export`` writes the Neuromorphic Intermediate Representation
# (Pedersen et al. 2024). The picture shows the hidden layer.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
shown = {"all libraries, same settings": results["dvspipe"], "snnTorch, defaults": default}
for panel, (title, spikes) in zip(axes, shown.items(), strict=True):
    steps, numbers = np.nonzero(spikes[0].numpy())
    panel.plot(steps, numbers, "|", color="black", markersize=8)
    panel.set(title=title, xlabel="step")
axes[0].set_ylabel("hidden neuron")
plt.show()

# %%
# Exercise
# --------
#
# A network was trained in snnTorch with its own input (``scale=1``) and the reset of ``same``. By which factor do you
# multiply its weights, so that dvspipe's neurons give the same spikes?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    dvspipe multiplies the input by a, snnTorch does not: the factor is 1 / a = 2. No spike differs:
#
#    .. code-block:: pycon
#
#       >>> def translated():
#       ...     step = dvspipe_neuron()
#       ...     return lambda x, state: step(x / a, state)
#       >>> ours, theirs = run(translated), run(lambda: snntorch_neuron(scale=1, **same))
#       >>> 1 / a, [int((one != other).sum()) for one, other in zip(ours, theirs)]
#       (2.0, [0, 0])
#
# :doc:`/concepts/networks` compares dvspipe's layers with Norse's; :doc:`/guides/export` says
# which programs read an exported network.
