"""
3. Codes
========

**Question.** How do you send a number from 0 to 1 with spikes, and how exactly can the receiver read it?
"""

# %%
# Derivation
# ----------
#
# Let x be the number, and T the number of steps.
#
# *Rate* (Adrian 1926): a spike in each step with probability x. The receiver counts n spikes in T steps and estimates x
# by n / T. The count is binomial, so the standard deviation (sd) falls with the square root of the time:
#
# .. math:: \mathrm{sd}(n / T) = \sqrt{x (1 - x) / T}
#
# *Time to first spike* (Thorpe 1990): one spike, earlier for a larger value. The value 0 sends no spike. Rounding costs
# at most half a step:
#
# .. math:: t = \mathrm{round}((1 - x) (T - 1)), \qquad |\mathrm{error}| \leq \frac{1}{2 (T - 1)}
#
# *Rank order* (Thorpe and Gautrais 1998): only the order of N neurons counts. N different values have N! orders, so N
# spikes carry :math:`\log_2 N!` bits. The values are lost: 0.1 and 0.2 send the same spikes as 0.1 and 0.9.
#
# *Population* (Bohte, La Poutré and Kok 2002): M ≥ 3 neurons with Gaussian receptive fields of width :math:`\sigma` at
# the centres :math:`c_i`. Each sends its response r as the time to first spike; below 0.1, it is silent:
#
# .. math:: r_i = e^{-(x - c_i)^2 / 2 \sigma^2}, \qquad
#           c_i = \frac{2 i - 3}{2 (M - 2)}, \quad i = 1 \ldots M, \qquad \sigma = \frac{1}{1.5 \, (M - 2)}
#
# The two neurons that spike first, a and b, have the largest responses. The receiver reads a response back from its
# step, :math:`r = 1 - t / (T - 1)`. The logarithm of the ratio of two responses is linear in x, so
#
# .. math:: x = \frac{c_a + c_b}{2} + \sigma^2 \frac{\ln(r_a / r_b)}{c_a - c_b}
#
# By hand
# -------
#
# Four values, 0, 0.2, 0.5 and 1, in T = 21 steps. The value 0 sends no spike; the first spikes of the others are in
# steps 0.8 · 20 = 16, 10 and 0, and their ranks are 2, 1 and 0. A rate of 0.5 has an error of sqrt(0.25 / 21) = 0.11,
# the first spike at most 1 / 40 = 0.025.
#
# For a population of M = 4 neurons, the centres are -1/4, 1/4, 3/4 and 5/4, and the width is 1/3.
#
# - The value 0.5 is in the middle of two centres. Both have the response exp(-(0.25 · 3)^2 / 2) = 0.755, in step
#   round(0.245 · 20) = 5; the outer two, 0.080, send no spike. So x = (1/4 + 3/4) / 2 = 0.5.
# - The value 0.2 has the responses 0.402, 0.989 and 0.256, in steps 12, 0 and 15. Read back, the first two are 0.4 and
#   1. So x = (1/4 - 1/4) / 2 + (1/9) ln(1 / 0.4) / (1/2) = 0.204.
# - The value 0 is in the middle of the first two centres: two spikes, as for 0.5. No value is silent.

import numpy as np

values, T = np.array([0, 0.2, 0.5, 1]), 21
first_step = np.where(values > 0, np.rint((1 - values) * (T - 1)), -1).astype(int)  # -1: no spike
rank = np.where(values > 0, np.unique(-values, return_inverse=True)[1], -1)  # equal values share a rank

centres, width = np.array([-0.25, 0.25, 0.75, 1.25]), 1 / 3
response = np.exp(-(((values[:, None] - centres) / width) ** 2) / 2)  # [values, neurons]
response_step = np.where(response < 0.1, -1, np.rint((1 - response) * (T - 1))).astype(int)


def read_population(steps):
    """Return the value of the two neurons that spike first."""
    read = np.where(steps < 0, 0, 1 - steps / (T - 1))
    a, b = np.argsort(-read, kind="stable")[:2]
    return (centres[a] + centres[b]) / 2 + width**2 * np.log(read[a] / read[b]) / (centres[a] - centres[b])


print("time to first spike:", first_step)
print("rank order:         ", rank)
print("population:         ", *response_step)
print("population, read:   ", np.array([read_population(steps) for steps in response_step]).round(3))

# %%
# With dvspipe
# ------------
#
# A code in ``dvspipe.encoding`` turns N values into a spike tensor [T, C, N], with C neurons for each value.

from dvspipe.encoding import Latency, Poisson, Population, RankOrder


def steps_of(spikes):
    """Return the step of the first spike of each train [C, N]; -1: no spike."""
    return np.where(spikes.any(0), spikes.argmax(0), -1)


latency, population = Latency(steps=T), Population(steps=T, neurons=4)
assert (steps_of(latency.encode(values))[0] == first_step).all()
assert (steps_of(RankOrder(steps=T).encode(values))[0] == rank).all()
assert np.allclose(population.centres, centres)
assert (response_step == steps_of(population.encode(values)).T).all()

poisson, rng = Poisson(steps=T), np.random.default_rng(0)
decoded = poisson.decode(poisson.encode(np.full(10_000, 0.5), rng))  # one value, sent 10,000 times
assert abs(decoded.std() - np.sqrt(0.25 / T)) < 0.002
assert np.allclose(latency.decode(latency.encode(values)), values)
assert np.allclose(population.decode(population.encode(values)), [read_population(steps) for steps in response_step])
print("dvspipe: the same spikes and values as by hand")
print(f"rate: error {decoded.std():.3f}, law {np.sqrt(0.25 / T):.3f}")

# %%
# On the left, one trial of the four codes: the lowest row of each is the value 0. On the right, the error of the value
# 0.3 for longer and longer codes. Counting needs 100 times the steps for a tenth of the error; the time of a spike
# needs 10 times. In return, a rate survives the loss of a spike.

import matplotlib.pyplot as plt

codes = {"rate": poisson, "first spike": latency, "rank order": RankOrder(steps=T), "population": population}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(3, 2), layout="constrained")
for row, (code, colour) in enumerate(zip(codes.values(), ("black", "#c62f2d", "#2f6db5", "#1b9e77"), strict=True)):
    step, channel, index = code.encode(values, np.random.default_rng(3)).nonzero()
    left.scatter(step, 4.6 * row + index + channel / code.channels, marker="|", s=60, color=colour)
left.set(
    xlabel="step",
    xticks=range(0, T, 5),
    yticks=4.6 * np.arange(4) + 1.5,
    yticklabels=codes,
    title="0, 0.2, 0.5 and 1, bottom to top",
)

lengths = np.array([5, 10, 20, 50, 100, 200, 500])
sent = np.full(2000, 0.3)
for make, name, colour in ((Poisson, "rate", "black"), (Latency, "first spike", "#c62f2d")):
    codes_of_length = [make(steps=int(length)) for length in lengths]
    errors = [np.sqrt(np.mean((code.decode(code.encode(sent, rng)) - sent) ** 2)) for code in codes_of_length]
    right.loglog(lengths, errors, "o", color=colour, label=name)
right.loglog(lengths, np.sqrt(0.3 * 0.7 / lengths), color="black", label="its law")
right.loglog(lengths, 0.5 / (lengths - 1), color="#c62f2d", label="its bound")
right.set(xlabel="steps", ylabel="error of 0.3")
right.legend(fontsize=8)
plt.show()

# %%
# Exercise
# --------
#
# How many steps does a rate code need for the value 0.5, if its error should be the bound of time to first spike with
# 21 steps?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    The bound of 21 steps is 1 / 40 = 0.025. Solve sqrt(0.25 / T) = 0.025: T = 400 steps, 19 times as many.
#
#    .. code-block:: pycon
#
#       >>> code = Poisson(steps=400)
#       >>> decoded = code.decode(code.encode(np.full(10_000, 0.5), np.random.default_rng(0)))
#       >>> print(decoded.std().round(3))
#       0.025
#
# Next: :doc:`plot_4_first_network`. :doc:`/concepts/encoding` has all codes and their decoders.
