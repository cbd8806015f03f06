"""
CSV
===

Text with the columns t, x, y, p: for spreadsheets, and for the eye.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=300_000))
with TemporaryDirectory() as folder:
    path = Path(folder, "recording.csv")
    dvspipe.write(path, events)
    size = path.stat().st_size
    again = dvspipe.read(path, sensor="128x128")

same = all(np.array_equal(getattr(events, name), getattr(again, name)) for name in "txyp")
figure, panels = plt.subplots(1, 2, figsize=(7, 3.8), layout="constrained")
for axes, shown, name in zip(panels, (events, again), ("written", "read back"), strict=True):
    axes.scatter(shown.x, shown.y, c=shown.p, cmap="bwr", s=1)
    axes.set(title=f"{name}: {len(shown):,} events", xticks=[], yticks=[], xlim=(0, 127), ylim=(127, 0), aspect="equal")
figure.suptitle(f"{size / len(events):.1f} bytes per event; {'every event is equal' if same else 'events differ'}")
plt.show()
