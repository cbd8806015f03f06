"""
Codes of signals
================

The spikes of a signal over time, and the decoded signal for codes with a decoder.

``delta``
    A spike if the signal changes by at least a threshold from one step to the next. Slow changes cause no spikes, so
    the signal cannot be decoded.
``step_forward``
    An ON spike if the signal is a threshold above a reference, an OFF spike if it is below; the reference then moves by
    the threshold. A pixel of an event camera does the same with the logarithm of the light.
``hsa``
    Hough spiker algorithm: a spike if a complete copy of a filter fits below the residual signal. The decoded signal is
    the convolution of the spikes with the filter. It never exceeds the signal.
``bsa``
    Ben's spiker algorithm: like HSA, but a spike is set if subtracting the filter reduces the sum of absolute errors.
    The decoded signal has errors of both signs.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import BensSpiker, Delta, HoughSpiker, StepForward

codes = {
    "delta": Delta(steps=200, threshold=0.03),
    "step_forward": StepForward(steps=200, threshold=0.06),
    "hsa": HoughSpiker(steps=200, taps=16, cutoff=0.15),
    "bsa": BensSpiker(steps=200, taps=16, cutoff=0.15),
}

steps = np.arange(200)
signal = 0.5 + 0.35 * np.sin(2 * np.pi * steps / 90) + 0.1 * np.sin(2 * np.pi * steps / 37)
figure, panels = plt.subplots(
    2 * len(codes), 1, figsize=(8, 13), height_ratios=(3, 1) * len(codes), sharex=True, layout="constrained"
)
for (above, below), (name, code) in zip(panels.reshape(-1, 2), codes.items(), strict=True):
    spikes = code.encode_signal(signal)  # uint8 [T, C]
    above.plot(steps, signal, label="signal", color="black")
    if name == "delta":
        above.fill_between(steps, 0, 1, where=spikes.any(1), alpha=0.15, label="step with a spike")
    else:
        above.plot(steps, code.decode_signal(spikes), label="decoded signal", color="#c62f2d")
    above.set_title(name)
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    names, colours = (["OFF", "ON"], ["#2f6db5", "#c62f2d"]) if code.channels == 2 else (["spikes"], ["black"])
    trains = [np.flatnonzero(train) for train in spikes.T]
    below.eventplot(trains, colors=colours, lineoffsets=range(len(names)), linelengths=0.8)
    below.set(yticks=range(len(names)), yticklabels=names)
below.set_xlabel("step")
plt.show()
