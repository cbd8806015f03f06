"""
File formats
============

The same events in each format that dvspipe writes, read back and compared. The file suffix selects the format.

====================  ================  ================================================================================
suffix                format            description
====================  ================  ================================================================================
``.h5``               HDF5              the default: the layout of DSEC with gzip compression, supported by most event
                                        camera tools; attributes contain settings and source
``.npz``              NumPy             compressed arrays for ``numpy.load``
``.csv``              CSV               text with the columns t, x, y, p, for spreadsheets and reading
``.aedat4``           AEDAT 4           the format of iniVation's DV software
``.raw``              EVT 2.0           Prophesee's RAW, one word per event
``.bin``              N-MNIST's 40 bit  five bytes per event, for sensors of up to 256 x 240 pixels; the sensor is not
                                        in the file
====================  ================  ================================================================================
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.formats import Hints
from dvspipe.synthesis import GestureClip, record_gesture

SUFFIXES = (".h5", ".npz", ".csv", ".aedat4", ".raw", ".bin")

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=300_000))
figure, panels = plt.subplots(3, 3, figsize=(9, 8), layout="constrained")
shown, title = {"events": events}, {"events": f"before\n{len(events):,} events"}
with TemporaryDirectory() as folder:
    for suffix in SUFFIXES:
        path = Path(folder, f"recording{suffix}")
        dvspipe.write(path, events)
        again = dvspipe.read(path, hints=Hints(sensor="128x128"))
        same = all(np.array_equal(getattr(events, name), getattr(again, name)) for name in "txyp")
        size = path.stat().st_size / len(events)
        shown[suffix] = again
        title[suffix] = f"{suffix}: {size:.1f} bytes per event\n{'all events equal' if same else 'events differ'}"
for axes in panels.flat[len(shown) :]:
    axes.axis("off")
for axes, (name, one) in zip(panels.flat, shown.items(), strict=False):
    axes.scatter(one.x, one.y, c=one.p, cmap="bwr", s=0.3)
    axes.set_title(title[name], fontsize=9)
    axes.set(xticks=[], yticks=[], xlim=(0, 127), ylim=(127, 0), aspect="equal")
plt.show()
