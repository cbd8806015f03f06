"""
Charts of events
================

Events that are not binned, as ``dvspipe.plot`` draws them.

``xyt``
    Each event at its pixel and time, ON red and OFF blue. Movement is a surface, a periodic movement a spiral.
``raster``
    Each event at its time and the number of its pixel, row by row: which pixels fire together, and when.
``rate``
    Events per second, ON and OFF. What moves quickly, or has much contrast, causes more events.
"""

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=800_000))
space_time = dvspipe.plot(events, "xyt")
raster = dvspipe.plot(events, "raster")
rate = dvspipe.plot(events, "rate")
