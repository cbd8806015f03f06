"""Classify a recording, cell by cell: `python examples/notebook_label.py`.

VS Code and Spyder run the cells that start with `# %%`. For Jupyter, paste them into cells. A notebook displays the
last line of a cell.
"""

# %% A synthetic recording: a rendered person performs a gesture in front of a simulated DVS128
import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(1, person=0, clip=0, seed=0))
events  # noqa: B018

# %% The label, with probabilities over time
classifier = dvspipe.Classifier.load("gesture")
prediction = classifier.predict(events)
prediction  # noqa: B018

# %% Charts: matplotlib figures to edit and save
dvspipe.plot(prediction).savefig("timeline.png")
dvspipe.plot(events, "rate").savefig("rate.png")

print(f"{prediction.class_name}, probability {prediction.probability:.0%}: timeline.png, rate.png")
