"""
Events in space and time
========================

Each event at its pixel and time, ON red and OFF blue. Movement is a surface, a periodic movement a spiral.
"""

from dvspipe.synthesis import record_gesture

events = record_gesture(7, person=3, clip=0, seed=0, duration_us=800_000)
figure = events.plot("xyt")
