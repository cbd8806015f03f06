"""
noisy
=====

v2e's settings for much noise: shot noise of both polarities, leak events, and a slow photoreceptor.
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.simulator import read_preset
from dvspipe.synthesis import GestureClip, record_gesture

sensor = dvspipe.SimulatorConfig(**read_preset("noisy"))
events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=500_000), sensor=sensor)
off, on = dvspipe.encode_events(events, dvspipe.BinConfig(steps=12, step_us=40_000))[10].astype(int)

plt.figure(figsize=(5, 4), layout="constrained")
plt.imshow(on - off, cmap="RdBu_r", vmin=-3, vmax=3)
plt.title(f"40 ms of 0.5 s, in which are {len(events):,} events")
plt.axis("off")
plt.show()
