"""
2. A neuron
===========

**Question.** How far does one input spike move a neuron, when is the effect largest, and when does the neuron itself
spike?
"""

# %%
# Derivation
# ----------
#
# The membrane is a capacitor C with a resistor R in parallel (Lapicque 1907). The input current divides between them:
# :math:`I = C \, dU/dt + U / R`. With :math:`\tau = R C` and the threshold voltage :math:`U_\mathrm{th}`, the potential
# :math:`u = U / U_\mathrm{th}` and the current :math:`i = R I / U_\mathrm{th}` follow
#
# .. math:: \tau \frac{du}{dt} = -u + i
#
# When u rises above the threshold 1, the neuron spikes and u returns to 0: the *leaky integrate-and-fire neuron* (LIF).
# For a constant current from u = 0, the solution is on the left. Solved for u = 1, it gives the time T between spikes:
#
# .. math:: u(t) = i \, (1 - e^{-t / \tau}), \qquad T = \tau \, \ln \frac{i}{i - 1}
#
# A spike arrives through a synapse, whose current decays: :math:`i(t) = w e^{-t / \tau_s}`. The solution is the
# *postsynaptic potential* (PSP), which is largest where its derivative is 0 (Gerstner and Kistler 2002):
#
# .. math:: u(t) = w \frac{\tau_s}{\tau - \tau_s} (e^{-t / \tau} - e^{-t / \tau_s}), \qquad
#           t_\mathrm{max} = \frac{\tau \tau_s}{\tau - \tau_s} \, \ln \frac{\tau}{\tau_s}
#
# A computer takes steps of dt: :math:`u \leftarrow u + \frac{dt}{\tau} (i - u)`. A step can end above the threshold.
# The *reset to zero* of this lesson discards the excess; the *reset by subtraction* of lessons 4 and 5 keeps it.
#
# By hand
# -------
#
# Take :math:`\tau` = 20 ms, steps of 5 ms, and a current of 2. Each step covers a quarter of the way to 2: u is 0.5,
# then 0.875, then 1.15625, a spike at 15 ms. The exact time is T = 20 ln(2) = 13.9 ms. For :math:`\tau_s` = 10 ms, the
# PSP is largest at 13.9 ms, too, where the exponentials are 1/2 and 1/4: a spike of weight w moves the neuron by w / 4.

import numpy as np

tau, tau_s = 20.0, 10.0  # ms


def integrate(currents, dt):
    """Return the potential in each step, before its reset."""
    u, potentials = 0.0, []
    for i in currents:
        u += dt / tau * (i - u)
        potentials.append(u)
        u = 0.0 if u > 1 else u
    return np.array(potentials)


def psp(t, w):
    """Return the postsynaptic potential at t ms after a spike of weight w; 0 before it."""
    t = np.maximum(t, 0)
    return w * tau_s / (tau - tau_s) * (np.exp(-t / tau) - np.exp(-t / tau_s))


by_hand = integrate(np.full(9, 2.0), dt=5)
peak_ms = tau * tau_s / (tau - tau_s) * np.log(tau / tau_s)
print("potential in each step:", by_hand)
print("spikes in steps", np.flatnonzero(by_hand > 1) + 1)
print(f"a spike of weight 3 has its peak at {peak_ms:.2f} ms: {psp(peak_ms, 3):.3f}")

# %%
# With dvspipe
# ------------
#
# ``dvspipe.networks.LIFBox`` is a layer of such neurons for PyTorch, with Norse's parameters and states (Pehle and
# Pedersen 2021): inverse time constants in 1/s, and dt in seconds. ``LIF`` adds the current of the synapse.

import norse.torch as norse
import torch

from dvspipe.networks import LIF, LIFBox

membrane = torch.tensor(1000 / tau)  # 1/s
box = norse.LIFBoxParameters(tau_mem_inv=membrane)
synapse = norse.LIFParameters(tau_mem_inv=membrane, tau_syn_inv=torch.tensor(1000 / tau_s))


def run(neuron, currents):
    """Return the potential after each step and the spikes of a neuron."""
    state, potentials, spikes = None, [], []
    for i in torch.tensor(currents, dtype=torch.float64):
        spike, state = neuron(i.reshape(1, 1, 1), state)  # [T, B, N]: one step, one recording, one neuron
        potentials.append(state.v.item())
        spikes.append(spike.item() > 0)
    return np.array(potentials), np.array(spikes)


potentials, spikes = run(LIFBox(box, dt=0.005), np.full(9, 2.0))
assert (spikes == (by_hand > 1)).all()
assert np.abs(potentials - np.where(spikes, 0, by_hand)).max() < 1e-12

ms = np.arange(0, 80, 0.1)
one = np.zeros(len(ms))
one[0] = 3
response, _ = run(LIF(synapse, dt=0.0001), one)
assert abs(response.max() - psp(peak_ms, 3)) < 0.005
assert abs(ms[response.argmax()] - peak_ms) < 0.3
print(f"dvspipe: peak at {ms[response.argmax()]:.1f} ms: {response.max():.3f}")

# %%
# On the left, the neuron with a constant current. On the right, two spikes of weight 3. Below the threshold, PSPs add
# up. Each alone is too small, but 10 ms apart they make the neuron fire: it detects *coincidence*.

import matplotlib.pyplot as plt

two = one.copy()
two[100] = 3
response, spikes = run(LIF(synapse, dt=0.0001), two)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
fine = np.linspace(0, 45, 500)
left.plot(fine, 2 * (1 - np.exp(-(fine % (tau * np.log(2))) / tau)), color="black", label="exact")
left.plot(5 * np.arange(1, 10), by_hand, "o", color="#e58a00", label="steps of 5 ms, before the reset")
left.set(xlabel="ms", ylabel="u", title="constant current of 2", ylim=(-0.1, 1.9))
left.legend(loc="upper left", fontsize=8)
for gap, name in ((0, "PSP of each spike"), (10, None)):
    right.plot(ms, psp(ms - gap, 3), ":", color="#2f6db5", label=name)
right.plot(ms, response, color="black", label="neuron")
right.vlines(ms[spikes], 1, 1.3, color="#c62f2d", linewidth=2, label="output spike")
right.set(xlabel="ms", title="input spikes at 0 and 10 ms", ylim=(-0.1, 1.9))
right.legend(loc="upper right", fontsize=8)
for axes in (left, right):
    axes.axhline(1, color="grey", linewidth=0.8)
plt.show()

# %%
# Exercise
# --------
#
# Which constant current makes this neuron spike every 20 ms?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    Solve 20 = 20 ln(i / (i - 1)): i / (i - 1) = e, so i = e / (e - 1) = 1.582.
#
#    .. code-block:: pycon
#
#       >>> current = np.e / (np.e - 1)
#       >>> _, spikes = run(LIFBox(box, dt=0.0001), np.full(1000, current))
#       >>> (np.flatnonzero(spikes) + 1) * 0.1  # ms
#       array([ 20.,  40.,  60.,  80., 100.])
#
# Next: :doc:`plot_3_codes`. :doc:`/concepts/networks` describes all settings.
