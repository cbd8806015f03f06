r"""
7. Two spikes are enough: STDP
==============================

**Question.** A synapse knows two things: when its input spiked, and when its neuron spiked. There are no labels and no
errors. What can it learn?
"""

# %%
# Derivation
# ----------
#
# Measured synapses grow if the input spikes a little before the neuron, and shrink if it spikes a little after (Bi and
# Poo 1998). *Spike-timing-dependent plasticity* (STDP) describes the change by a pair of spikes with the lag :math:`d =
# t_{\mathrm{post}} - t_{\mathrm{pre}}` as a window (Song, Miller and Abbott 2000):
#
# .. math:: W(d) = A_+ e^{-d / \tau_+} \quad (d > 0), \qquad W(d) = - A_- e^{d / \tau_-} \quad (d < 0)
#
# All pairs of spikes count. A *trace* x of the input jumps by 1 at each of its spikes and decays, so it holds the sum
# over pairs (Morrison, Diesmann and Gerstner 2008); y is the trace of the neuron:
#
# .. math:: x(t) = \sum_{t_{\mathrm{pre}} < t} e^{-(t - t_{\mathrm{pre}}) / \tau_+}, \qquad
#    y(t) = \sum_{t_{\mathrm{post}} < t} e^{-(t - t_{\mathrm{post}}) / \tau_-}
#
# .. math:: w \leftarrow w + A_+ \, x \;\; \textrm{at a spike of the neuron}, \qquad
#    w \leftarrow w - A_- \, y \;\; \textrm{at a spike of the input}
#
# Inputs that spike independently of the neuron have all lags equally often: with the rates r, their mean change per
# second is
#
# .. math:: \frac{dw}{dt} = r_{\mathrm{pre}} \, r_{\mathrm{post}} \, (A_+ \tau_+ - A_- \tau_-)
#
# The area is chosen a little below 0, so these inputs shrink on average. Inputs that help the neuron to spike come
# before it more often than by chance, and grow.
#
# By hand
# -------
#
# Let a trace halve in each step. The input spikes in steps 0, 2 and 4, the neuron in step 3; :math:`A_+` = 0.16 and
# :math:`A_-` = 0.08. At the spike of the neuron, x = 1/8 + 1/2 = 5/8, so w grows by 0.10. At the last spike of the
# input, y = 1/2, so w shrinks by 0.04. From 0.5, the weight becomes 0.56.

import numpy as np

pre, post = [1, 0, 1, 0, 1], [0, 0, 0, 1, 0]
w, x, y = 0.5, 0.0, 0.0
for step in range(5):
    x, y = x / 2, y / 2
    w += 0.16 * x * post[step] - 0.08 * y * pre[step]
    x, y = x + pre[step], y + post[step]  # a pair in the same step changes nothing
    print(f"step {step}: x = {x:.4f}, y = {y:.4f}, w = {w:.2f}")

# %%
# With dvspipe
# ------------
#
# ``PairRule`` has the constants; ``apply_stdp`` returns the changed weights and the traces.

import torch

from dvspipe.rules import PairRule, apply_stdp

half_s = 1e-3 / np.log(2)  # a trace halves in 1 ms
rule = PairRule(increase=0.16, decrease=0.08, tau_plus_s=half_s, tau_minus_s=half_s)
trains = torch.tensor([pre, post])[:, :, None]  # [T, 1] each
changed, traces = apply_stdp(torch.tensor([[0.5]], dtype=torch.float64), *trains, rule, dt_s=1e-3)
assert np.isclose(changed.item(), w)
assert np.allclose([traces.pre[0].item(), traces.post[0].item()], [x, y])
print(f"dvspipe: w = {changed.item():.2f}, the same as by hand")

# %%
# Now a neuron with 60 inputs. Every 50 ms, the first 20 spike in sequence, one per millisecond; the other 40 spike at
# random. All weights are 0.5 at the start. The rule clips them to 0 and 1.

rng = np.random.default_rng(0)
rule = PairRule()  # A+ = 0.01, A- = 0.0105, both time constants 20 ms
weights, traces = torch.full((1, 60), 0.5, dtype=torch.float64), None
latencies = []
for _ in range(120):
    spikes = torch.tensor(rng.random((50, 60)) < 0.005)
    spikes[:, :20] = torch.eye(50, 20)
    potential, fired_ms = 0.0, []
    for ms, now in enumerate(spikes):
        potential = 0.95 * potential + 0.2 * weights[0, now].sum().item()
        fires = potential > 1
        if fires:
            potential = 0.0
            fired_ms.append(ms)
        weights, traces = apply_stdp(weights, now[None], torch.tensor([[fires]]), rule, dt_s=1e-3, traces=traces)
    latencies.append(fired_ms[0])
first, last = np.mean(latencies[:10]), np.mean(latencies[-10:])
print(f"first spike of the neuron: at {first:.1f} ms in the first ten sequences, {last:.1f} ms in the last ten")

# %%
# Left: the weights before (line) and after (bars). The inputs at the start of the sequence spike just before the neuron
# and grow to 1; later ones fall to 0; the random inputs have hardly moved. Right: so the neuron spikes earlier and
# earlier. It has learned to predict the sequence from its start (Song, Miller and Abbott 2000).

import matplotlib.pyplot as plt

figure, (bars, curve) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
bars.bar(range(60), weights[0].numpy(), color=["#c62f2d"] * 20 + ["#b0b7c3"] * 40)
bars.axhline(0.5, color="black", linewidth=1)
bars.set(xlabel="input (red: the sequence)", title="weights (line: before)", ylim=(0, 1.05))
curve.plot(latencies, ".", color="#c62f2d")
curve.set(xlabel="sequence", ylabel="ms", title="first spike of the neuron", ylim=(0, None))
plt.show()

# %%
# Neurons that inhibit each other learn different patterns: :doc:`/concepts/learning-rules` has the window of the rule,
# and what such neurons learn from digits without labels.
#
# Exercise
# --------
#
# The *multiplicative* rule scales increases by 1 - w and decreases by w. What weight does it give an input that spikes
# independently of the neuron, with the constants of ``PairRule()``?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    The mean change is 0 where :math:`A_+ \tau_+ (1 - w) = A_- \tau_- w`, so
#    :math:`w = A_+ \tau_+ / (A_+ \tau_+ + A_- \tau_-)` = 0.01 / 0.0205 = 0.488. A simulation of 200 inputs agrees:
#
#    .. code-block:: pycon
#
#       >>> generator = torch.Generator().manual_seed(0)
#       >>> trains = torch.rand(100_000, 201, generator=generator) < 0.05
#       >>> start, rule = torch.zeros(1, 200, dtype=torch.float64), PairRule(bound="multiplicative")
#       >>> end, _ = apply_stdp(start, trains[:, :200], trains[:, 200:], rule, dt_s=1e-3)
#       >>> round(0.01 / 0.0205, 2), round(end.mean().item(), 2)
#       (0.49, 0.49)
#
# Next: :doc:`plot_8_synthetic_and_real`.
