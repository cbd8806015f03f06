"""
Raster of pixels
================

Each event at its time and the number of its pixel, row by row: which pixels fire together, and when.
"""

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=800_000))
figure = dvspipe.plot(events, "raster")
