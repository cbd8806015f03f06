"""
4. The first network
====================

**Question.** A neuron was silent when it should have fired. By how much should each weight change, although the
derivative of a spike is 0 or infinite?
"""

# %%
# Derivation
# ----------
#
# Take a LIF neuron in steps of dt, with the factor :math:`a = dt / \tau` and a reset by subtraction (lesson 2). x[t] is
# 1 if the input spikes in step t, v is the potential before the reset, and z the output spikes:
#
# .. math:: v[t] = (1 - a) \, (v[t-1] - z[t-1]) + a \, w \, x[t], \qquad z[t] = \Theta(v[t] - 1)
#
# :math:`\Theta` is the step function: 1 above 0, otherwise 0. With the target spikes y, the loss is :math:`E =
# \frac{1}{2} \sum_t (z[t] - y[t])^2`. In derivatives, the reset counts as a constant.
#
# *Surrogate gradient* (Zenke and Ganguli 2018; Neftci, Mostafa and Zenke 2019): use the step :math:`\Theta` forward,
# and a smooth derivative backward. It is largest at the threshold:
#
# .. math:: \psi[t] = 1 / (1 + \beta |v[t] - 1|)^2
#
# *Backpropagation through time* (BPTT, Werbos 1990): unroll the steps and apply the chain rule, last step first. The
# error of a potential is its own, plus the error that its next value passes back:
#
# .. math:: \delta[t] = (z[t] - y[t]) \, \psi[t] + (1 - a) \, \delta[t+1], \qquad
#           \frac{dE}{dw} = \sum_t \delta[t] \, a \, x[t]
#
# *Three factors*: the same sum, first step first. The derivative of v with respect to w is a *trace*
# :math:`\varepsilon` of the input. Each step contributes error times surrogate times trace:
#
# .. math:: \varepsilon[t] = (1 - a) \, \varepsilon[t-1] + a \, x[t], \qquad
#           \frac{dE}{dw} = \sum_t (z[t] - y[t]) \; \psi[t] \; \varepsilon[t]
#
# With this loss, a spike one step beside its target is as wrong as one far away. *SuperSpike* (Zenke and Ganguli 2018)
# first convolves (\*) the spikes z and y with a short pulse :math:`\alpha`, a difference of two exponentials (van
# Rossum 2001). For neuron i and input j, with the learning rate r:
#
# .. math:: E = \frac{1}{2} \sum_i \int [\alpha * (y_i - z_i)]^2 \, dt, \qquad
#           \frac{dw_{ij}}{dt} = r \; [\alpha * (y_i - z_i)](t) \;\; [\alpha * (\psi_i \, \varepsilon_j)](t)
#
# By hand
# -------
#
# Three steps, a = 1/2, :math:`\beta` = 2, w = 1, input spikes in steps 1 and 2, target spike in step 2. The potential
# is 1/2, 3/4, 3/8: no spike. The surrogates are 1/4, 4/9 and 0.198. Only step 2 has an error, -1. Back from there,
# :math:`\delta` is -4/9 in step 2 and -2/9 in step 1, so dE/dw = (-4/9 - 2/9) / 2 = -1/3. Forward, the trace in step 2
# is 3/4, so dE/dw = -1 · 4/9 · 3/4 = -1/3. A second input, with the weight 0, spikes in step 3: too late, so its
# gradient is 0.

import numpy as np

a, beta = 0.5, 2.0
x = np.array([[1, 0], [1, 0], [0, 1]])  # [steps, inputs]
y = np.array([0, 1, 0])


def forward(w):
    """Return potential before the reset, spikes and surrogate derivative of each step."""
    v, potentials = 0.0, []
    for inputs in x:
        v = (1 - a) * v + a * inputs @ w
        potentials.append(v)
        v -= v > 1
    v = np.array(potentials)
    return v, (v > 1).astype(float), 1 / (1 + beta * np.abs(v - 1)) ** 2


def bptt(w):
    """Return dE/dw, last step first."""
    _, z, psi = forward(w)
    gradient, delta = np.zeros(2), 0.0
    for t in reversed(range(3)):
        delta = (z[t] - y[t]) * psi[t] + (1 - a) * delta
        gradient += delta * a * x[t]
    return gradient


def three_factors(w):
    """Return dE/dw, first step first."""
    _, z, psi = forward(w)
    gradient, trace = np.zeros(2), np.zeros(2)
    for t in range(3):
        trace = (1 - a) * trace + a * x[t]
        gradient += (z[t] - y[t]) * psi[t] * trace
    return gradient


w = np.array([1.0, 0.0])
print("potential:", forward(w)[0], " surrogate:", forward(w)[2].round(3))
print("BPTT:         ", bptt(w))
print("three factors:", three_factors(w))
better = w - 1.5 * bptt(w)
print("after a step of 1.5: weights", better, "spikes", forward(better)[1])

# %%
# With dvspipe
# ------------
#
# ``dvspipe.networks.LIFBox`` has the surrogate in its backward pass, so ``backward()`` is BPTT. Norse's ``alpha`` is
# :math:`\beta`. ``SuperSpikeLayer.update`` computes the three factors while time runs forward.

import norse.torch as norse
import torch

from dvspipe.networks import LIFBox, reset_subtract_detached
from dvspipe.rules import SuperSpikeLayer, VanRossum

p = norse.LIFBoxParameters(
    tau_mem_inv=torch.tensor(500.0), method="superspike", alpha=beta, reset_method=reset_subtract_detached
)
neuron = LIFBox(p, dt=0.001)
weights = torch.tensor(w[:, None], requires_grad=True)
spikes, _ = neuron(torch.tensor(x, dtype=torch.float64)[:, None] @ weights)
(0.5 * (spikes[:, 0, 0] - torch.tensor(y)).square().sum()).backward()
assert np.abs(weights.grad[:, 0].numpy() - bptt(w)).max() < 1e-12
assert np.abs(three_factors(w) - bptt(w)).max() < 1e-12
print("dvspipe:      ", weights.grad[:, 0].numpy())

generator = torch.Generator().manual_seed(1)
layer = SuperSpikeLayer(40, 1, dt=1e-3, generator=generator).double()
inputs = (torch.rand(150, 1, 40, generator=generator) < 0.03).double()
targets = torch.zeros(150, 1, 1, dtype=torch.float64)
targets[[50, 100]] = 1
result = layer.update(inputs, targets)
VanRossum(dt=1e-3).loss(layer(inputs), targets).backward()
assert (layer.weight.grad - result.gradient).abs().max() < 1e-12
print(f"SuperSpike: three factors = gradient of the loss, largest {result.gradient.abs().max():.3f}")

# %%
# A network is more of the same. Here two inputs spike once each, and the network tells which came first, so its neurons
# must remember. The readout ``LIBox`` has a neuron without spikes for each class. Its mean potential is the *logit*
# :math:`o_k` of the class; the *softmax* :math:`p_k = e^{o_k} / \sum_j e^{o_j}` makes probabilities, and the loss is
# the *cross-entropy*, -ln p of the right class.
#
# The picture shows a spike and its surrogate, and how the network improves.

import matplotlib.pyplot as plt

from dvspipe.networks import LIF, LIBox

torch.manual_seed(0)


def record(B):
    """Return B recordings of 40 steps, [T, B, inputs], and the number of the input that spikes first."""
    spikes, labels = torch.zeros(40, B, 2), torch.arange(B) % 2
    first, gap = torch.randint(2, 15, (B,)), torch.randint(3, 20, (B,))
    spikes[first, range(B), labels] = 10  # the random weights at the start are small
    spikes[first + gap, range(B), 1 - labels] = 10
    return spikes, labels


def classify(spikes):
    """Return the logits of the network, [B, 2]."""
    potentials, _ = network(spikes)  # [T, B, 2], and the state after the last step
    return potentials.mean(0)


per_10_ms, per_20_ms = torch.tensor([100.0, 50.0])  # 1/s
neurons = norse.LIFParameters(tau_syn_inv=per_10_ms, tau_mem_inv=per_10_ms, method="superspike", alpha=beta)
network = norse.SequentialState(
    torch.nn.Linear(2, 20, bias=False),
    LIF(neurons, dt=0.001),
    torch.nn.Linear(20, 2),
    LIBox(norse.LIBoxParameters(tau_mem_inv=per_20_ms), dt=0.001),
)
parameters = [*network.parameters()]
(spikes, labels), (new_spikes, new_labels) = record(64), record(200)
losses, accuracies = [], []
for _ in range(100):
    loss = torch.nn.functional.cross_entropy(classify(spikes), labels)
    losses.append(loss.item())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 0.03 * gradient / gradient.norm()  # a step of length 0.03 downhill
        accuracies.append((classify(new_spikes).argmax(1) == new_labels).float().mean().item())
print(f"accuracy on new recordings: {accuracies[0]:.0%} after the first pass, {accuracies[-1]:.0%} after the last")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
v = np.linspace(0, 2, 401)
left.plot(v, v > 1, color="black", label="spike, forward")
left.plot(v, 1 / (1 + beta * np.abs(v - 1)) ** 2, color="#c62f2d", label="surrogate, backward")
left.set(xlabel="v", title="a spike and its derivative", ylim=(-0.05, 1.45))
left.legend(fontsize=8, loc="upper left")
right.plot(losses, color="black", label="loss")
right.plot(accuracies, color="#2f6db5", label="accuracy, new recordings")
right.set(xlabel="pass", title="which input spikes first?", ylim=(0, 1.05))
right.legend(fontsize=8)
plt.show()

# %%
# Exercise
# --------
#
# Move the target spike to step 3. What is dE/dw of both inputs? Which of them grows more?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    Only step 3 has an error, -1, with the surrogate 1 / (1 + 2 · 5/8)^2 = 0.1975. The traces there are 3/8 and 1/2.
#    So dE/dw is -0.1975 · 3/8 = -0.0741 and -0.1975 / 2 = -0.0988: the later input had less time to be forgotten.
#
#    .. code-block:: pycon
#
#       >>> y[:] = 0, 0, 1
#       >>> three_factors(w).round(4)
#       array([-0.0741, -0.0988])
#
# Next: :doc:`plot_5_online_rules`.
