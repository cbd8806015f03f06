"""
4. A long recording over time
=============================

A recording of a minute has no single label. This page asks the included network what a person does, and when. It covers
windows, segments, uncertainty, and classification while the events arrive.
"""

# %%
# The recording
# -------------
#
# A rendered person rests, claps, rests, and rolls the arms. ``record_session`` also returns what was performed, for
# comparison. With your own recording: ``dvspipe infer gesture RECORDING.h5 -o answers``.

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.base.gestures import GESTURES
from dvspipe.inference import InferConfig
from dvspipe.synthesis import record_session

events, performed = record_session([0, 7], person=901, session=1, seed=0)
for each in performed:
    print(f"{each.start_us / 1e6:5.1f} to {each.end_us / 1e6:4.1f} s: {GESTURES[each.label]}")

figure = dvspipe.plot(events, "rate")

# %%
# The rate already shows *when* something moves, but not what.
#
# Windows
# -------
#
# The network was trained on clips of about 1.4 s. It slides over the recording in windows of this length; ``hop_us`` is
# the time from one window to the next. Overlapping windows share their work: each step is encoded once.

classifier = dvspipe.Classifier.load("gesture")
prediction = classifier.predict(events, InferConfig(hop_us=240000))
timeline = prediction.timeline
print(len(timeline), "windows of", timeline.window_us / 1e6, "s")

top = np.argsort(timeline.probabilities.mean(0))[-4:][::-1]
middle_s = (timeline.t_start_us + timeline.t_end_us) / 2e6
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
for label in top:
    axes.plot(middle_s, timeline.probabilities[:, label], label=GESTURES[label].replace("_", " "))
for each in performed:
    axes.axvspan(each.start_us / 1e6, each.end_us / 1e6, color="lightgrey", alpha=0.5)
    axes.text(each.start_us / 1e6, 1.03, GESTURES[each.label].replace("_", " "), fontsize=8)
axes.set(xlabel="s, middle of the window", ylabel="probability", ylim=(0, 1.12))
axes.legend(loc="center right", fontsize=8)
plt.show()

# %%
# The performed gestures are grey. A window that contains the end of a gesture and the following rest is half of each,
# so the edges are uncertain by about half a window.
#
# Segments
# --------
#
# Single windows flicker. A *segment* starts when a class is sure enough (``enter``) and ends when it is not
# any more (``leave``). Segments that are too short are left out, and pauses become *quiet*.

for segment in prediction.segments:
    print(f"{segment.t_start_us / 1e6:5.1f} to {segment.t_end_us / 1e6:4.1f} s: {segment.class_name}")

figure = dvspipe.plot(prediction)

# %%
# Uncertainty
# -----------
#
# A network names one of its classes for everything. Two things warn you: the field ``certain`` of a prediction, and
# segments called *uncertain*. If a wrong label is worse than none, be stricter:

strict = classifier.predict(events, InferConfig(hop_us=240000, enter=0.9))
for name, each in (("as it is", prediction), ("strict", strict)):
    named = sum(s.t_end_us - s.t_start_us for s in each.segments if s.label is not None)
    print(f"{name}: {named / 1e6:.1f} s with a class")

# %%
# While events arrive
# -------------------
#
# With ``stateful``, the network keeps its membranes from step to step and predicts at each step, without windows. The
# prediction is a running mean of the outputs, so it is smooth and follows with a delay. Note the different axis: the
# time at which the prediction is known. The prediction of a window is known half a window after its middle.

stateful = classifier.predict(events, InferConfig(stateful=True))
figure, axes = plt.subplots(figsize=(9, 2.6), layout="constrained")
for label in top[:3]:
    name = GESTURES[label].replace("_", " ")
    axes.plot(stateful.timeline.t_end_us / 1e6, stateful.timeline.probabilities[:, label], label=name)
for each in performed:
    axes.axvspan(each.start_us / 1e6, each.end_us / 1e6, color="lightgrey", alpha=0.5)
axes.set(xlabel="s, when the prediction is known", ylabel="probability", ylim=(0, 1.05))
axes.legend(fontsize=8)
plt.show()

# %%
# A recording on disk is read in chunks of about a million events, so its length does not matter for memory:
# ``classifier.predict("hours.raw")``. In your own loop, :func:`dvspipe.encode_stream` yields steps, and
# ``examples/long_recording.py`` keeps the state of neurons between them.
#
# Next: :doc:`plot_5_simulated_and_real`. Everything about windows is in :doc:`/guides/inference`.
