r"""
9. Your own rule in 20 lines
============================

**Question.** Backpropagation sends errors down through the same weights that the spikes went up through. A synapse in a
brain or on a chip does not know the weights of other synapses. Does learning need them? Write your own rule and find
out.
"""

# %%
# Derivation
# ----------
#
# Two layers have the currents :math:`h_1 = W_1 x` and :math:`h_2 = W_2 z_1`. A neuron spikes, z = 1, if its h is above
# 1; otherwise z = 0. s is the surrogate derivative of the spike (:math:`\psi` in lesson 4), L the loss, and e the
# derivative of L with respect to a current, its *error* (in lesson 5, L was the learning signal and e a trace). s and a
# vector are multiplied element by element. With the error of the second layer,
# :math:`e_2 = s_2 \, \partial L / \partial z_2`, backpropagation is
#
# .. math:: e_1 = s_1 \, W_2^T e_2, \qquad \frac{\partial L}{\partial W_1} = e_1 x^T
#
# *Feedback alignment* replaces the weights :math:`W_2` in the first equation by fixed random weights B (Lillicrap,
# Cownden, Tweed and Akerman 2016). With the learning rate :math:`\eta`, it is
#
# .. math:: e_1' = s_1 \, B^T e_2, \qquad \Delta W_1 = - \eta \, e_1' x^T
#
# Such a step changes the loss by :math:`- \eta \, (e_1 \cdot e_1') \, |x|^2`. The loss falls if :math:`e_1 \cdot e_1'`
# is positive: the angle between the two errors is below 90 degrees. With a random B, it need not be. But the angle
# tends to fall while both layers learn. Take two small steps with the same x, in which :math:`e_2` and :math:`s_1`
# hardly change:
#
# - The first layer learns, and its spikes change by :math:`\Delta z_1 = - \eta \, |x|^2 \, s_1^2 \, B^T e_2`.
# - The weights of the second layer change by :math:`- \eta \, e_2 z_1^T`. The new spikes add a part to this change:
#
# .. math:: - \eta \, e_2 \, \Delta z_1^T = \eta^2 \, |x|^2 \, e_2 \, (s_1^2 \, B^T e_2)^T
#
# Multiply this part by B, element by element, and sum: the result is :math:`\eta^2 |x|^2 |s_1 B^T e_2|^2`, a square
# that is never negative. So this part turns the forward weights :math:`W_2` towards B, and :math:`e_1` towards
# :math:`e_1'`. The part of the old spikes, :math:`- \eta \, e_2 z_1^T`, can turn them anywhere. In a linear network
# that starts with weights near 0, :math:`z_1` is a sum of such changes; for that, Lillicrap et al. prove the alignment,
# under further conditions. For spiking neurons, an experiment has to show it.
#
# By hand
# -------
#
# One step with the input x = (1, 0), the surrogate s = max(0, 1 - abs(h - 1)), and the weights
#
# .. math:: W_1 = \begin{pmatrix} 3/2 & 0 \\ 1/2 & 0 \end{pmatrix}, \qquad
#    W_2 = \begin{pmatrix} 3/2 & 2 \\ 1/2 & -1 \end{pmatrix}, \qquad
#    B = \begin{pmatrix} 1 & 1 \\ 0 & -1 \end{pmatrix}
#
# The currents :math:`h_1` are 3/2 and 1/2, so the first neuron spikes, :math:`z_1` = (1, 0), and both have s = 1/2. The
# second layer has the same currents, 3/2 and 1/2. The loss is output 0 minus output 1, so :math:`e_2` = (1/2, -1/2).
#
# Backpropagation sends down :math:`W_2^T e_2` = (3/2 - 1/2, 2 + 1) / 2 = (1/2, 3/2), so :math:`e_1` = (1/4, 3/4).
# Feedback alignment sends down :math:`B^T e_2` = (1 - 0, 1 + 1) / 2 = (1/2, 1), so :math:`e_1'` = (1/4, 1/2). The angle
# is only 8 degrees, by luck.

import numpy as np

x = np.array([1, 0])
W1 = np.array([[3 / 2, 0], [1 / 2, 0]])
W2 = np.array([[3 / 2, 2], [1 / 2, -1]])
B = np.array([[1, 1], [0, -1]])
h1 = W1 @ x
z1, s1 = h1 > 1, np.maximum(0, 1 - np.abs(h1 - 1))
h2 = W2 @ z1
e2 = np.maximum(0, 1 - np.abs(h2 - 1)) * np.array([1, -1])
exact, aligned = s1 * (W2.T @ e2), s1 * (B.T @ e2)
cosine = exact @ aligned / np.linalg.norm(exact) / np.linalg.norm(aligned)
print(f"e1 of backpropagation: {exact}, of feedback alignment: {aligned}")
print(f"angle: {np.degrees(np.arccos(cosine)):.0f} degrees")

# %%
# With dvspipe
# ------------
#
# A rule that learns forward in time is a subclass of ``OnlineRule`` with one method, ``add_hidden``. dvspipe runs the
# network and trains the readout, the layer of the outputs. For the other layers it calls ``add_hidden`` with
#
# - the layers, first to last,
# - their activities: surrogate derivatives, traces of the inputs (``traced``), and the trace of the constant input 1 of
#   the biases (``ones``),
# - the errors of the spikes of the last of these layers.
#
# These errors come from the readout through its own weights. So the rule below replaces only the weights between hidden
# layers; for the readout too, it would need random weights, as in DECOLLE (:doc:`plot_5_online_rules`).
#
# The method goes through the layers, last to first. ``layer.to_currents`` multiplies the errors by s, and
# ``layer.synapses.add`` multiplies the result by the traces and adds it to the gradient. This is the complete rule:

import torch

from dvspipe.networks import NetworkConfig
from dvspipe.rules import OTTT, OnlineRule

torch.set_num_threads(1)  # the tensors are small: more threads would mostly wait for each other


class FeedbackAlignment(OnlineRule):
    """Errors go down through fixed random weights between the hidden layers (Lillicrap et al. 2016)."""

    def __init__(self, network, *, seed=0):
        super().__init__(network)
        generator = torch.Generator().manual_seed(seed)
        weights = [layer.linear.weight.detach() for layer in network.layers]
        self.feedback = [torch.randn(w.shape, generator=generator) * w.std() for w in weights]

    def add_hidden(self, layers, activities, errors, _loss):
        for number in reversed(range(len(layers))):
            layer, activity = layers[number], activities[number]
            to_currents = layer.to_currents(errors, activity.derivative)
            layer.synapses.add(to_currents, activity.traced, activity.ones)
            errors = to_currents @ self.feedback[number]  # backpropagation: layer.synapses.weight


# %%
# The toy as a network: with tau = dt, neurons have no memory, and a surrogate "triangle" of slope 1 is the s above.
# Without memory, OTTT (:doc:`plot_5_online_rules`) equals backpropagation.

from dvspipe import SensorSize
from dvspipe.networks import SpikingNetwork


def make_toy() -> SpikingNetwork:
    """Return the network of the toy: 2 inputs (OFF and ON of one pixel), two layers of 2 neurons, and 2 outputs."""
    config = NetworkConfig(
        network="mlp",
        channels=(2, 2),
        tau_mem_s=1,
        tau_readout_s=1,
        reset="subtract",
        detach_reset=True,
        surrogate="triangle",
        slope=1,
    )
    network = SpikingNetwork(config, grid=SensorSize(width=1, height=1), classes=2, dt=1)
    modules = [*(layer.linear for layer in network.layers), network.linear]
    for module, values in zip(modules, (W1, W2, np.eye(2)), strict=True):
        module.weight.data = torch.tensor(values, dtype=torch.float32)
        module.bias.data.zero_()
    return network


def learn_toy(rule: type[OnlineRule]) -> np.ndarray:
    """Return the gradient of W1 by a rule."""
    network = make_toy()
    learner = rule(network)
    if rule is FeedbackAlignment:
        learner.feedback[1] = torch.tensor(B, dtype=torch.float32)
    spikes = torch.tensor(x, dtype=torch.float32).reshape(1, 1, 2, 1, 1)  # [T, B, C, H, W]
    learner.update(spikes, lambda outputs: (outputs[:, :, 0] - outputs[:, :, 1]).mean())
    return network.layers[0].linear.weight.grad.numpy()


assert np.allclose(learn_toy(OTTT), np.outer(exact, x))
assert np.allclose(learn_toy(FeedbackAlignment), np.outer(aligned, x))
print("dvspipe: the same gradients as by hand")

# %%
# Now a task that needs hidden layers: is *one* half of the picture busy (class 1), or both or none (class 0)? It is
# XOR. Three rules train the same network of 30 and 20 neurons: OTTT, feedback alignment, and a rule that does nothing,
# and leaves the learning to the readout.


class ReadoutOnly(OnlineRule):
    """Hidden layers stay as they are."""

    def add_hidden(self, _layers, _activities, _errors, _loss):
        pass


def draw(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spikes [T, B, C, H, W] of 20 steps of 5 ms, and labels [B]."""
    left, right = torch.randint(2, (2, count), generator=generator)
    rates = torch.full((count, 2, 4, 8), 0.05)
    rates[:, :, :, :4] += 0.3 * left.reshape(-1, 1, 1, 1)
    rates[:, :, :, 4:] += 0.3 * right.reshape(-1, 1, 1, 1)
    return (torch.rand((20, *rates.shape), generator=generator) < rates).float(), left ^ right


def learn(rule: OnlineRule, spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the gradients of the mean cross-entropy over the steps; return the first layer's."""
    rule.network.zero_grad()
    cross_entropy = torch.nn.functional.cross_entropy
    rule.update(spikes, lambda outputs: sum(cross_entropy(y, labels) for y in outputs) / len(outputs))
    return rule.network.layers[0].linear.weight.grad.flatten().clone()


def train(kind: type[OnlineRule], seed: int) -> tuple[list[float], list[float]]:
    """Return the accuracy before each of 14 passes; for feedback alignment, also the cosine with OTTT's gradient."""
    torch.manual_seed(seed)
    config = NetworkConfig(network="mlp", channels=(30, 20), reset="subtract", detach_reset=True, slope=2, gain=6)
    network = SpikingNetwork(config, grid=SensorSize(width=8, height=4), classes=2, dt=0.005)
    rule, optimiser = kind(network), torch.optim.Adam(network.parameters(), lr=0.005)
    accuracies, cosines = [], []
    parts = [*zip(training[0].split(32, dim=1), training[1].split(32), strict=True)]
    for _ in range(14):
        with torch.no_grad():
            accuracies.append((network(test[0])[0].mean(0).argmax(1) == test[1]).float().mean().item())
        if kind is FeedbackAlignment:
            gradients = learn(OTTT(network), *parts[0]), learn(rule, *parts[0])
            cosines.append(torch.cosine_similarity(*gradients, dim=0).item())
        for part in parts:
            learn(rule, *part)
            optimiser.step()
    return accuracies, cosines


generator = torch.Generator().manual_seed(0)
training, test = draw(128, generator), draw(256, generator)
results = {kind: [train(kind, seed) for seed in range(2)] for kind in (OTTT, FeedbackAlignment, ReadoutOnly)}
for kind, runs in results.items():
    print(f"{kind.__name__:18} accuracy at the end: {', '.join(f'{accuracies[-1]:.0%}' for accuracies, _ in runs)}")

# %%
# Left, a line per seed: feedback alignment learns XOR like OTTT. If only the readout learns, the network stays near
# chance. Right: at first, the gradient of feedback alignment has nothing to do with the gradient of OTTT. (These
# neurons have a memory, so OTTT only approximates backpropagation.) Later, the gradients agree better, with cosines of
# 0.5 to 0.7 before the last pass. So errors need not go down through the forward weights between the hidden layers.

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for kind, colour in ((OTTT, "black"), (FeedbackAlignment, "#c62f2d"), (ReadoutOnly, "#8792a2")):
    for seed, (accuracies, cosines) in enumerate(results[kind]):
        left.plot(accuracies, color=colour, label=None if seed else kind.__name__)
        if kind is FeedbackAlignment:
            right.plot(cosines, color=colour)
left.set(xlabel="pass", title="accuracy on new pictures", ylim=(0.4, 1.25), yticks=(0.4, 0.6, 0.8, 1.0))
left.legend(loc="upper left")
right.axhline(0, color="grey", linewidth=0.8)
right.set(xlabel="pass", title="cosine of the first layer's gradient", ylim=(-1, 1))
plt.show()

# %%
# With this, a rule works in Python. :doc:`/concepts/architecture` says how to make it a rule that ``dvspipe train``
# offers: every ``OnlineRule`` is a ``GradientRule``, so it is called in the same way as backpropagation. Rules without
# gradients, as in :doc:`plot_7_stdp`, need no network: they are functions of spikes.
#
# Exercise
# --------
#
# A compromise: send the error down through the *signs* of the forward weights (Liao, Leibo and Poggio 2016). What is
# :math:`e_1` of the toy? Write the rule.
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    The signs of :math:`W_2` are ((1, 1), (1, -1)), so the errors of the spikes are (1/2 - 1/2, 1/2 + 1/2) = (0, 1),
#    and :math:`e_1` = (0, 1/2). The rule has no weights of its own, so it is shorter than feedback alignment:
#
#    .. code-block:: pycon
#
#       >>> class SignSymmetry(OnlineRule):
#       ...     def add_hidden(self, layers, activities, errors, _loss):
#       ...         for layer, activity in reversed(list(zip(layers, activities, strict=True))):
#       ...             to_currents = layer.to_currents(errors, activity.derivative)
#       ...             layer.synapses.add(to_currents, activity.traced, activity.ones)
#       ...             errors = to_currents @ layer.synapses.weight.sign()
#       >>> learn_toy(SignSymmetry)[:, 0].tolist()
#       [0.0, 0.5]
#
# Next: :doc:`plot_10_four_libraries`. :doc:`/concepts/learning-rules` describes every rule of dvspipe.
