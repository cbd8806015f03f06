"""
Event rate
==========

Events per second, ON and OFF. What moves quickly, or has much contrast, causes more events.
"""

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=800_000))
figure = dvspipe.plot(events, "rate")
