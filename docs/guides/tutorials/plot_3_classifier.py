"""
3. A classifier on your own recordings
======================================

``dvspipe train`` needs only a folder with a folder per class. This page makes such a folder, trains on it, gets a bad
result on purpose, and finds out why.
"""

# %%
# The recordings
# --------------
#
# A soft bar moves right, left or down, at random places and speeds, in front of a simulated sensor of 24 x 18 pixels.
# Your own recordings are ``clips/<class>/<name>.h5``, ``.raw``, ``.mp4``, ...

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.recordings.config import FilmConfig
from dvspipe.results import wilson_interval

H, W = 18, 24
rng = np.random.default_rng(0)


def record(label: str) -> dvspipe.Events:
    """Return the events of a bar that moves for 200 ms."""
    rows, columns = np.indices((H, W))
    place, length = (rows, H) if label == "down" else (columns, W)
    moved = (rng.uniform(0.4, 0.6) + rng.uniform(0.6, 0.9) * np.linspace(-0.5, 0.5, 25)) * length
    if label == "left":
        moved = length - 1 - moved
    frames = 60 + 150 * np.exp(-((place - moved[:, None, None]) ** 2) / 4)
    config = FilmConfig(fps=125, shot_noise_rate_hz=2, noise_seed=int(rng.integers(1000)))
    return dvspipe.events_from_video(frames.astype(np.uint8), config)


folder = Path(tempfile.mkdtemp())
for label in ("right", "left", "down"):
    for number in range(24):
        dvspipe.write(folder / "clips" / label / f"{number:02}.h5", record(label))

figure, panels = plt.subplots(1, 3, figsize=(8, 2.4), layout="constrained")
for axes, label in zip(panels, ("right", "left", "down"), strict=True):
    events = dvspipe.read(folder / "clips" / label / "00.h5")
    axes.scatter(events.x, events.y, c=events.t, s=8, cmap="viridis")
    axes.set(title=f"{label}: {len(events)} events, later is brighter", xlim=(0, W), ylim=(H, 0), aspect="equal")
    axes.title.set_fontsize(9)
plt.show()

# %%
# Let dvspipe choose
# ------------------
#
# ``choose_settings`` reads all recordings, and chooses steps, network and training from their durations and event
# rates. ``dvspipe train clips`` does the same, and then trains. Your own settings take precedence: here a small
# network, few varied copies and few epochs, because this page should build in a minute.

small = {"cache": folder / "cache", "views": 2, "channels": (8, 16), "jobs": 1, "epochs": 15}
chosen = dvspipe.choose_settings(folder / "clips", dvspipe.TrainConfig(**small))
print(f"{chosen.steps} steps of {chosen.step_us / 1000:g} ms, batches of {chosen.batch}, {chosen.epochs} epochs")

# %%
# A bad result
# ------------
#
# To see what a bad training looks like, we use one step for the complete recording and do not distinguish ON from OFF:
# a picture of all events.

one_step = dvspipe.TrainConfig(
    **small, by="recording", steps=1, step_us=20000, polarity="merged", tau_mem_s=0.04, tau_readout_s=0.1
)
bad = dvspipe.choose_settings(folder / "clips", one_step)
run = dvspipe.train(bad, out=folder / "bad")
print(f"test accuracy {run.test.accuracy:.0%}")
for finding in run.test.findings:
    print(f"- {finding}")

# %%
# The *diagnosis* names what limits the result. First ask whether the network recognises the training part itself:
#
# ===================  ==========================  ==================================================
# training part        test part                   what limits
# ===================  ==========================  ==================================================
# bad                  bad                         too few epochs, silent layers, wrong steps
# good                 bad                         too few recordings, or people: augment, record more
# good                 good, but bad in use        another sensor, light, or movements of no class
# ===================  ==========================  ==================================================
#
# Then look at the confusions in the figure below: most are between "left" and "right". Only the order in time
# distinguishes these two, and one step has no order; more recordings, or more updates, would help little.
#
# A better one
# ------------
#
# Now with the chosen steps:

good = dvspipe.train(chosen, out=folder / "good")
low, high = wilson_interval(good.test.correct, good.test.samples)
print(f"test accuracy {good.test.accuracy:.0%}, {good.test.correct} of {good.test.samples}: {low:.0%} to {high:.0%}")
for finding in good.test.findings:
    print(f"- {finding}")

figure, panels = plt.subplots(1, 3, figsize=(9.5, 3), width_ratios=(1.4, 1, 1), layout="constrained")
for each, name, colour in ((run, "one step", "#c62f2d"), (good, "chosen", "#1b9e77")):
    panels[0].plot(
        [row.epoch for row in each.epochs], [row.val_accuracy for row in each.epochs], "o-", label=name, color=colour
    )
panels[0].set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1.05))
panels[0].legend()
classes = good.test.classes
for axes, each, name in zip(panels[1:], (run, good), ("one step", "chosen"), strict=True):
    axes.imshow(each.test.confusion, cmap="Blues")
    for (row, column), count in np.ndenumerate(np.array(each.test.confusion)):
        axes.text(column, row, count, ha="center", va="center", color="black" if count < 3 else "white")
    axes.set(
        title=name, xticks=range(3), xticklabels=classes, yticks=range(3), yticklabels=classes, xlabel="prediction"
    )
panels[1].set_ylabel("class")
plt.show()

# %%
# With so few test recordings, the accuracy is uncertain: the interval is Wilson's, 95 %. Repeat with another ``seed``
# before you believe in a small difference.
#
# Use it
# ------

classifier = dvspipe.Classifier.load(good.checkpoint)
prediction = classifier.predict(record("left"))
print(prediction.class_name, f"{prediction.probability:.0%}")

# %%
# :doc:`/guides/troubleshooting` lists other remedies for a low accuracy, in the order of how often they help. All
# settings are in :doc:`/reference/settings`. Next: :doc:`plot_4_long_recording`.
