r"""
6. Spike times
==============

**Question.** A neuron answers with *when* it spikes. Its spike is 1 ms too late. How must its weights
change?
"""

# %%
# Derivation
# ----------
#
# Input spikes at the times :math:`t_i` raise the potential by a response :math:`\varepsilon`, and the neuron spikes at
# the time T, when the potential reaches the threshold :math:`\theta` (SpikeProp: Bohte, Kok and La Poutré 2002):
#
# .. math:: u(t) = \sum_i w_i \, \varepsilon(t - t_i), \qquad
#    \varepsilon(s) = \frac{s}{\tau} e^{1 - s / \tau} \;\; (s > 0), \qquad u(T) = \theta
#
# Change one weight by :math:`dw_i`, and the spike moves by :math:`dT`. The potential at the spike is still the
# threshold, so both effects cancel:
#
# .. math:: \varepsilon(T - t_i) \, dw_i + u'(T) \, dT = 0 \quad \Rightarrow \quad
#    \frac{dT}{dw_i} = - \frac{\varepsilon(T - t_i)}{u'(T)}
#
# The error of a spike that should be at :math:`T_d`, and its gradient, are
#
# .. math:: E = \tfrac{1}{2} (T - T_d)^2, \qquad \frac{dE}{dw_i} = - (T - T_d) \frac{\varepsilon(T - t_i)}{u'(T)}
#
# No surrogate is needed, because a time changes smoothly. *EventProp* (Wunderlich and Pehle 2021) finds the same
# derivative for any number of spikes. Its neuron has a current I, to which each spike of input i adds :math:`w_i`, and
# a potential V, which a spike of the neuron resets to 0. The gradient is computed backward in time, with the *adjoints*
# x of the potential and y of the current, both 0 at the end. With s, the time counted backward:
#
# .. math:: \tau_s \frac{dI}{dt} = -I, \qquad \tau_m \frac{dV}{dt} = -V + I, \qquad
#    \tau_m \frac{dx}{ds} = -x, \qquad \tau_s \frac{dy}{ds} = -y + x
#
# At each spike of the neuron, x jumps from :math:`x^+` just after it to :math:`x^-` just before it. The gradient of a
# weight is a sum over all spikes of its input, at the times :math:`t_i`:
#
# .. math:: x^- = x^+ + \frac{\theta x^+ + \partial E / \partial T}{I(T) - \theta}, \qquad
#    \frac{dE}{dw_i} = - \tau_s \sum_{t_i} y(t_i)
#
# By hand
# -------
#
# **SpikeProp.** One input at 0, :math:`\tau` = 10 ms and :math:`\theta` = 1. With :math:`w = 2 / \sqrt{e}`, the neuron
# spikes at half of :math:`\tau`, because :math:`\varepsilon(5) = \sqrt{e} / 2`. Its slope is :math:`w \sqrt{e} / 20 =
# 0.1`, so :math:`dT/dw = - 5 \sqrt{e} = -8.24`. The spike should be at 4 ms.

import numpy as np

tau = 10.0


def response(s):
    """Return the response to a spike after s ms."""
    return s / tau * np.exp(1 - s / tau)


w, T, wanted = 2 / np.sqrt(np.e), 5.0, 4.0
slope = w / tau * np.exp(1 - T / tau) * (1 - T / tau)
by_weight = -response(T) / slope
gradient = (T - wanted) * by_weight
print(f"potential at 5 ms: {w * response(T):.3f}, slope: {slope:.3f}, dT/dw: {by_weight:.3f}, dE/dw: {gradient:.3f}")

# %%
# **EventProp.** One input at 0 with w = 16/3, :math:`\tau_m` = 2, :math:`\tau_s` = 1 and :math:`\theta` = 1. Then
# :math:`I = w e^{-t}` and :math:`V = w (e^{-t/2} - e^{-t})`. With :math:`q = e^{-T/2}`, V at the time T is w q (1 - q).
# It is 1 for q = 3/4, and then the current is w q² = 3.
#
# For dT/dw, the "error" E is T itself, and its derivative is 1. Backward, x jumps at the spike from 0 to (0 + 1) / (3 -
# 1) = 1/2. Before it, :math:`x = e^{-s/2} / 2` and :math:`y = e^{-s/2} - e^{-s}`. The input is at s = T, where y = q (1
# - q) = 3/16. So dT/dw = -3/16.

q = 3 / 4
current = 16 / 3 * q**2
x_at_spike = 1 / (current - 1)
y_at_input = 2 * x_at_spike * q * (1 - q)
print(f"spike at {-2 * np.log(q):.4f}, jump of x: {x_at_spike}, dT/dw: {-y_at_input}")

# %%
# **First-spike code.** The neuron that spikes first wins (Göltz et al. 2021). Two neurons with :math:`\tau_m = \tau_s =
# 1` and :math:`\theta` = 1 have one input at 0 and the weights :math:`2 \sqrt{e}` and :math:`3 e^{1/3}`, so they spike
# at 1/2 and 1/3. The logits (lesson 4) are -T / s, with s = 1 / (6 ln 2): the probabilities are in proportion to
# :math:`2^{-6 T}`, so 1/3 and 2/3. The first neuron is right, so the derivative of the cross-entropy with respect to
# :math:`T_k / s` is 2/3 and -2/3. Multiply by dT/dw, which is :math:`- T / (w (1 - T))`. A step against the gradient
# makes the first neuron earlier, the second one later.

weights = np.array([2 * np.e ** (1 / 2), 3 * np.e ** (1 / 3)])
times = np.array([1 / 2, 1 / 3])
scale = 1 / (6 * np.log(2))
probabilities = np.exp(-times / scale) / np.exp(-times / scale).sum()
by_times = (np.array([1, 0]) - probabilities) / scale
by_weights = by_times * -times / (weights * (1 - times))
print(f"spikes at {times.round(3)}, probabilities {probabilities.round(3)}, gradient {by_weights.round(3)}")

# %%
# With dvspipe
# ------------
#
# Both are functions that PyTorch can differentiate. ``spikeprop_times`` has a synapse for each of ``delays``, here one.

import torch

from dvspipe.rules import eventprop, spikeprop_times


def tensor(values):
    """Return a tensor of float64 that collects gradients."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


weight, zero = tensor([[[w]]]), torch.zeros(1, 1, dtype=torch.float64)
spiked = spikeprop_times(zero, weight, delays=zero[0], tau=tau)
(0.5 * (spiked - wanted) ** 2).sum().backward()
assert np.isclose(spiked.item(), T)
assert np.isclose(weight.grad.item(), gradient)

weight = tensor([[16 / 3]])
spikes = eventprop(zero, weight, tau_mem=2.0, tau_syn=1.0)  # all spikes: here, one
spikes.sum().backward()
assert np.isclose(spikes.item(), -2 * np.log(q))
assert np.isclose(weight.grad.item(), -3 / 16)

pair = tensor(weights[:, None])
first = eventprop(zero, pair, tau_mem=1.0, tau_syn=1.0)[:, :, 0]  # output 0 is the first spike
torch.nn.functional.cross_entropy(-first / scale, torch.tensor([0])).backward()
assert np.allclose(first.detach(), times)
assert np.allclose(pair.grad.flatten(), by_weights)
assert abs(1.1 * w * response(T - 0.8) - 1) < 0.002  # with a weight 10 % larger, the spike is 0.8 ms earlier
print("the same times and gradients as by hand")

# %%
# Left: a larger weight lifts the potential (red), and the spike moves by that height divided by the slope (blue).
# Right: forward (solid), V rises to the threshold. Backward (dashed, from right to left), x starts with a jump at the
# spike and feeds y. At the input, -y is the gradient.

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
ms = np.linspace(0, 12, 200)
left.plot(ms, w * response(ms), color="black", label="w = 1.213")
left.plot(ms, 1.1 * w * response(ms), color="#e58a00", label="10 % larger")
left.axhline(1, color="grey", linewidth=0.8, linestyle=":")
left.plot([T, T], [1, 1.1], color="#c62f2d", label="ε dw")
left.plot([T - 0.1 / slope, T], [1, 1.1 - 0.1], color="#2f6db5", linewidth=2.5, label="ε dw / u'")
left.set(xlim=(2, 8), ylim=(0.6, 1.4), xlabel="ms", ylabel="potential u", title="SpikeProp: a weight moves the spike")
left.legend(loc="lower right")
moment = -2 * np.log(q)
t = np.linspace(0, moment, 100)
before = moment - t
right.plot(t, 16 / 3 * (np.exp(-t / 2) - np.exp(-t)), color="black", label="V")
right.plot(t, np.exp(-before / 2) / 2, "--", color="#c62f2d", label="x")
right.plot(t, np.exp(-before / 2) - np.exp(-before), "--", color="#2f6db5", label="y")
right.plot(0, y_at_input, "o", color="#2f6db5", label="3/16 = -dT/dw")
right.set(xlabel="time", title="EventProp: forward, and back")
right.legend(loc="upper left", fontsize=8)
plt.show()

# %%
# Such gradients train networks: :doc:`/concepts/learning-rules` shows how five learn XOR, the first task of SpikeProp.
#
# Exercise
# --------
#
# Take the first neuron again, with w = 1.213 and a spike at 5 ms. Now the spike should be *later*, at 7 ms, and the
# step is 0.02 times the gradient. What happens?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    The gradient is (5 - 7) * (-8.24) = 16.5, so the weight becomes 1.213 - 0.330 = 0.883. The largest response is
#    :math:`\varepsilon(\tau) = 1`, so below w = 1 the neuron never spikes: it has no gradient, and cannot return. Take
#    small steps, and bound the slope from below (``least_slope``).
#
#    .. code-block:: pycon
#
#       >>> weight = tensor([[[w]]])
#       >>> spiked = spikeprop_times(zero, weight, zero[0], tau=tau)
#       >>> (0.5 * (spiked - 7) ** 2).sum().backward()
#       >>> smaller = weight.detach() - 0.02 * weight.grad
#       >>> round(smaller.item(), 3), spikeprop_times(zero, smaller, zero[0], tau=tau).item()
#       (0.883, inf)
#
# Next: :doc:`plot_7_stdp`.
