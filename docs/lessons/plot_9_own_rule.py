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
# 1. s is the surrogate derivative of the spike (:math:`\psi` in lesson 4), L the loss, and e the derivative of L with
# respect to a current, its *error*. With :math:`e_2 = s_2 \, \partial L / \partial z_2`, backpropagation is
#
# .. math:: e_1 = s_1 \, W_2^T e_2, \qquad \frac{\partial L}{\partial W_1} = e_1 x^T
#
# *Feedback alignment* replaces the weights :math:`W_2` in the first equation by fixed random weights B (Lillicrap,
# Cownden, Tweed and Akerman 2016). With the learning rate :math:`\eta`, it is
#
# .. math:: e_1' = s_1 \, B^T e_2, \qquad \Delta W_1 = - \eta \, e_1' x^T
#
# Such a step changes the loss by :math:`- \eta \, (e_1 \cdot e_1') \, |x|^2`: it falls if the angle between the two
# errors is below 90 degrees. A random B cannot promise this, but the angle tends to fall while both layers learn. Take
# two small steps with the same x. The first changes the spikes of the first layer by :math:`\Delta z_1 = - \eta \,
# |x|^2 \, s_1^2 \, B^T e_2`. This adds a part to the next change of the second layer:
#
# .. math:: - \eta \, e_2 \, \Delta z_1^T = \eta^2 \, |x|^2 \, e_2 \, (s_1^2 \, B^T e_2)^T
#
# Multiply it by B, element by element, and sum: the result is :math:`\eta^2 |x|^2 |s_1 B^T e_2|^2`, never negative. So
# it turns :math:`W_2` towards B, and :math:`e_1` towards :math:`e_1'`. The part of the old spikes can turn them
# anywhere. Lillicrap et al. prove the alignment for a linear network; spiking neurons need an experiment.
#
# By hand
# -------
#
# One step with the input x = (1, 0), the surrogate :math:`s = 1 / (1 + 4 (h - 1)^2)`, and the weights
#
# .. math:: W_1 = \begin{pmatrix} 3/2 & 0 \\ 1/2 & 0 \end{pmatrix}, \qquad
#    W_2 = \begin{pmatrix} 3/2 & 2 \\ 1/2 & -1 \end{pmatrix}, \qquad
#    B = \begin{pmatrix} 1 & 1 \\ 0 & -1 \end{pmatrix}
#
# The currents of both layers are 3/2 and 1/2, so the first neuron spikes, and all have s = 1/2. The loss is output 0
# minus output 1, so :math:`e_2` = (1/2, -1/2). Backpropagation sends down :math:`W_2^T e_2` = (1/2, 3/2), so
# :math:`e_1` = (1/4, 3/4). Feedback alignment sends down :math:`B^T e_2` = (1/2, 1), so :math:`e_1'` = (1/4, 1/2). The
# angle is only 8 degrees, by luck.

import numpy as np

x = np.array([1, 0])
W1 = np.array([[3 / 2, 0], [1 / 2, 0]])
W2 = np.array([[3 / 2, 2], [1 / 2, -1]])
B = np.array([[1, 1], [0, -1]])
h1 = W1 @ x
z1, s1 = h1 > 1, 1 / (1 + 4 * (h1 - 1) ** 2)
h2 = W2 @ z1
e2 = 1 / (1 + 4 * (h2 - 1) ** 2) * np.array([1, -1])
exact, aligned = s1 * (W2.T @ e2), s1 * (B.T @ e2)
cosine = exact @ aligned / np.linalg.norm(exact) / np.linalg.norm(aligned)
print(f"e1 of backpropagation: {exact}, of feedback alignment: {aligned}")
print(f"angle: {np.degrees(np.arccos(cosine)):.0f} degrees")

# %%
# With dvspipe
# ------------
#
# ``OTTT`` (:doc:`plot_5_online_rules`) calls ``run_module(index, x)`` for each module in each step, and then
# ``backward`` for the loss of the step. For a linear layer, ``run_module`` returns the currents.
#
# Your rule overrides this method. With ``x.detach()``, the currents send nothing down. ``down - down.detach()`` is 0 on
# the way up, and sends errors through B on the way down:

import torch

from dvspipe.networks import NetworkConfig, build_network, list_layers, run_network
from dvspipe.rules import OTTT

torch.set_num_threads(1)  # more threads would wait for each other


class FeedbackAlignment(OTTT):
    """Errors go down through fixed random weights between the hidden layers (Lillicrap et al. 2016)."""

    def __init__(self, network, *, seed=0):
        super().__init__(network)
        generator = torch.Generator().manual_seed(seed)
        weights = {layer.index: layer.synapses.weight.detach() for layer in list_layers(network)[1:-1]}
        self.feedback = {i: torch.randn(w.shape, generator=generator) * w.std() for i, w in weights.items()}

    def run_module(self, index, x):
        if index not in self.feedback:
            return super().run_module(index, x)
        down = x @ self.feedback[index].T
        return super().run_module(index, x.detach()) + down - down.detach()


# %%
# The toy as a network: with tau = dt, neurons have no memory, so OTTT equals backpropagation. The surrogate "arctan" of
# slope :math:`4 / \pi` is the s above.


def first_gradient(network):
    """Return the gradient of the weights of the first layer."""
    return list_layers(network)[0].synapses.weight.grad


def learn_toy(rule):
    """Return the gradient of W1 by a rule; the inputs are OFF and ON of one pixel."""
    config = NetworkConfig(
        network="mlp",
        channels=(2, 2),
        tau_mem_s=1,
        tau_readout_s=1,
        reset="subtract",
        surrogate="arctan",
        slope=4 / np.pi,
    )
    network = build_network(config, (2, 1, 1), classes=2, dt=1)
    for layer, values in zip(list_layers(network), (W1, W2, np.eye(2)), strict=True):
        layer.synapses.weight.data = torch.tensor(values, dtype=torch.float32)
        layer.synapses.bias.data.zero_()

    learner = rule(network)
    if rule is FeedbackAlignment:
        learner.feedback[3] = torch.tensor(B, dtype=torch.float32)  # module 3: the second linear layer
    spikes = torch.tensor(x, dtype=torch.float32).reshape(1, 1, 2, 1, 1)  # [T, B, C, H, W]
    learner.update(spikes, lambda outputs: (outputs[:, :, 0] - outputs[:, :, 1]).mean())
    return first_gradient(network).numpy()


assert np.allclose(learn_toy(OTTT), np.outer(exact, x))
assert np.allclose(learn_toy(FeedbackAlignment), np.outer(aligned, x))
print("dvspipe: the same gradients as by hand")

# %%
# Now a task that needs hidden layers, XOR: is *one* half of the picture busy (class 1), or both or none (class 0)?
# Three rules train the same network: OTTT, feedback alignment, and a rule that leaves the learning to the readout.


class ReadoutOnly(OTTT):
    """Hidden layers stay as they are."""

    def pass_on(self, _index, outputs, _loss):
        return outputs.detach()


def draw(count, generator):
    """Return spikes [T, B, C, H, W] of 8 steps of 5 ms, and labels [B]."""
    left, right = torch.randint(2, (2, count), generator=generator)
    rates = torch.full((count, 2, 4, 8), 0.05)
    rates[:, :, :, :4] += 0.5 * left.reshape(-1, 1, 1, 1)
    rates[:, :, :, 4:] += 0.5 * right.reshape(-1, 1, 1, 1)
    return (torch.rand((8, *rates.shape), generator=generator) < rates).float(), left ^ right


def learn(rule, spikes, labels):
    """Compute the gradients of the mean cross-entropy over the steps; return the first layer's."""
    rule.network.zero_grad()
    cross_entropy = torch.nn.functional.cross_entropy
    rule.update(spikes, lambda outputs: sum(cross_entropy(y, labels) for y in outputs) / len(outputs))
    return first_gradient(rule.network)


def train(kind, seed):
    """Return the accuracy before each of 10 passes; for feedback alignment, also the cosine with OTTT's gradient."""
    torch.manual_seed(seed)
    config = NetworkConfig(network="mlp", channels=(30, 20), reset="subtract", slope=2)
    network = build_network(config, (2, 4, 8), classes=2, dt=0.005)
    for parameter in network.parameters():
        parameter.data *= 6  # PyTorch's random weights are too small for spikes
    rule, optimiser = kind(network), torch.optim.Adam(network.parameters(), lr=0.05)
    accuracies, cosines = [], []
    parts = [*zip(training[0].split(32, dim=1), training[1].split(32), strict=True)]
    for _ in range(10):
        with torch.no_grad():
            outputs, _ = run_network(network, test[0])
            accuracies.append((outputs.mean(0).argmax(1) == test[1]).float().mean().item())
        if kind is FeedbackAlignment:
            exact, aligned = learn(OTTT(network), *parts[0]), learn(rule, *parts[0])
            cosines.append(torch.cosine_similarity(exact.flatten(), aligned.flatten(), dim=0).item())
        for part in parts:
            learn(rule, *part)
            optimiser.step()
    return accuracies, cosines


generator = torch.Generator().manual_seed(0)
training, test = draw(128, generator), draw(256, generator)
results = {kind: [train(kind, seed) for seed in range(2)] for kind in (OTTT, FeedbackAlignment, ReadoutOnly)}
for kind, runs in results.items():
    print(f"{kind.__name__:18} accuracy at the end: {', '.join(f'{accuracies[-1]:.0%}' for accuracies, _ in runs)}")
print("cosines at the end:", ", ".join(f"{cosines[-1]:.2f}" for _, cosines in results[FeedbackAlignment]))

# %%
# Left, a line per seed: feedback alignment learns XOR like OTTT. If only the readout learns, the network stays near
# chance. Right: at first, its gradient has nothing to do with OTTT's; at the end, the cosine is 0.60 and 0.50 (other
# seeds can end lower). So errors need not go down through the forward weights between the hidden layers.

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
#    and :math:`e_1` = (0, 1/2). The rule is feedback alignment with weights that follow the forward weights:
#
#    .. code-block:: pycon
#
#       >>> class SignSymmetry(FeedbackAlignment):
#       ...     def update(self, spikes, loss):
#       ...         self.feedback = {i: self.network[i].weight.detach().sign() for i in self.feedback}
#       ...         return super().update(spikes, loss)
#       >>> learn_toy(SignSymmetry)[:, 0].tolist()
#       [0.0, 0.5]
#
# Next: :doc:`plot_10_four_libraries`. :doc:`/concepts/architecture` says how to offer your rule in ``dvspipe train``.
