"""What the joints of the person in a live video say about the gesture, from the past alone.

`infer` tracks the person in a complete film, and looks at the joints around the centre of each window. A live stream
knows only the past: each prediction uses the joints of the time before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..people.films import JOINT_LOOKS
from ..people.joints import JOINT_WINDOW_US, JointClassifier
from ..people.network import Look, PoseNetwork
from ..people.tracking import PersonTracker, find_people
from ..results import Basis
from ..video.frames import Frame
from ..video.pictures import to_colours

KEPT_US = 5_000_000  # joints are measured in lengths of the arm, which is the median over this time


class LiveJoints:
    """Joints of the person in a live video.

    Args:
        network: Joint network.
        look: Pose network; default: the network included in dvspipe.

    Attributes:
        tracker: Tracker of the person.
    """

    def __init__(self, network: JointClassifier, look: Look | None = None) -> None:
        self._network = network
        self._look = look or PoseNetwork()
        self.tracker = PersonTracker(self._look, JOINT_LOOKS)
        self._size: SensorSize | None = None

    def warm_up(self) -> None:
        """Search an empty picture, because the first looks take longer."""
        find_people(np.zeros((64, 64, 3), np.uint8), self._look)

    def add(self, frame: Frame) -> None:
        """Look at the next frame, if it is time for a look."""
        self._size = frame.size
        self.tracker.add(frame.t_us, to_colours(frame.image))
        self.tracker.forget(frame.t_us - KEPT_US)

    def combine(self, probabilities: NDArray[np.float32], t_us: int) -> tuple[NDArray[np.float32], Basis]:
        """Combine the probabilities by events at a time, float32 [K], with those by joints until then.

        Without a visible person, the probabilities by events are returned.
        """
        track = None if self._size is None else self.tracker.track(self._size)
        if track is None:
            return probabilities, "events"

        end_us = np.array([t_us], np.int64)
        (combined,) = self._network.combine(probabilities[None], track, end_us - JOINT_WINDOW_US, end_us)
        return combined, "events" if np.array_equal(combined, probabilities) else "joints and events"
