"""
Events in space and time
========================

Each event at its pixel and time, ON red and OFF blue. Movement is a surface, a periodic movement a spiral.
"""

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=800_000))
figure = dvspipe.plot(events, "xyt")
