"""
Charts of events
================

Charts of events without binning, drawn by ``dvspipe.plot``.

``xyt``
    Each event at its pixel and time; ON is red, OFF is blue. Movement appears as a surface, periodic movement as a
    spiral.
``rate``
    ON and OFF events per second. Fast movement and high contrast cause more events.
"""

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=800_000))
space_time = dvspipe.plot(events, "xyt")
rate = dvspipe.plot(events, "rate")
