"""Classify a recording, cell by cell, and write label.html: `python examples/notebook_label.py`.

VS Code and Spyder run the cells that start with `# %%`; for Jupyter, paste them. A notebook shows the last line of a
cell.
"""

# %% A recording: a rendered person who performs a gesture, as a simulated DVS128 sees it (synthetic)
from pathlib import Path

import dvspipe
from dvspipe.report.notebook import describe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(1, person=0, clip=0, seed=0))
events  # noqa: B018, sensor, rates and a picture

# %% Its label, with the probabilities over time
classifier = dvspipe.Classifier.load("gesture-synthetic")
prediction = classifier.predict(events)
prediction  # noqa: B018

# %% Pictures: matplotlib figures, to change and save
dvspipe.plot(prediction).savefig("timeline.png")
dvspipe.plot(events, "rate").savefig("rate.png")

# %% The notebook's display as a page
Path("label.html").write_text(f"<!doctype html>{describe(events)}{describe(prediction)}", encoding="utf-8")
print(f"{prediction.class_name}, probability {prediction.probability:.0%}: label.html")
