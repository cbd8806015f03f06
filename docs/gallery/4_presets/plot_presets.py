"""
Sensor presets
==============

The same gesture recorded by each sensor of ``configs/sensors``: ON minus OFF events in 40 ms.

============  ======================================================================================================
preset        sensor
============  ======================================================================================================
``clean``     an ideal sensor with v2e's thresholds for clean recordings
``davis346``  a DAVIS346, measured in a recording by ``dvspipe calibrate``
``dvs128``    the DVS128 of Lichtsteiner, Posch and Delbruck (2008), the sensor of DVS128 Gesture
``gen4``      a Prophesee Gen4, from its specifications
``noisy``     v2e's settings for strong noise: shot noise of both polarities, leak events, and a slow photoreceptor
``v2e``       the defaults of v2e
============  ======================================================================================================
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

PRESETS = ("clean", "davis346", "dvs128", "gen4", "noisy", "v2e")

figure, panels = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for axes, preset in zip(panels.flat, PRESETS, strict=True):
    sensor = dvspipe.SimulatorConfig().with_preset(preset)
    events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=500_000), sensor=sensor)
    off, on = dvspipe.encode(events, dvspipe.BinConfig(steps=12, step_us=40_000))[10].astype(int)
    axes.imshow(on - off, cmap="RdBu_r", vmin=-3, vmax=3)
    axes.set(title=f"{preset}: {len(events):,} events in 0.5 s", xticks=[], yticks=[])
plt.show()
