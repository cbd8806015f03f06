"""What the joints of the person in a live film say about region and gesture, from the past alone.

`infer` tracks the person in a complete film, and looks at the joints around the centre of each window. A live stream
knows only the past: each prediction uses the joints of the time before it.
"""

from __future__ import annotations

import numpy as np

from ..events import SensorSize
from ..hooks import SquarePath
from ..video.frames import Frame
from ..video.pictures import to_colours
from .films import JOINT_LOOKS
from .joints import JOINT_WINDOW_US, Float32s, JointClassifier
from .network import Look, PoseNetwork
from .region import frame_person
from .track import Track
from .tracking import PersonTracker, find_people

KEPT_US = 5_000_000  # joints are measured in lengths of the arm, which is the median over this time
LOCATING_LOOKS = 5  # pictures with a person before the region is decided: half a second


class LiveJoints:
    """Joints of the person in a live film; see `Watcher`.

    Args:
        network: Joint network.
        look: Pose network; default: the network included in dvspipe.
    """

    def __init__(self, network: JointClassifier, look: Look | None = None) -> None:
        self._network = network
        self._look = look or PoseNetwork()
        self._tracker = PersonTracker(self._look, JOINT_LOOKS)
        self._size: SensorSize | None = None
        self._region: SquarePath | None = None
        self._framed_us: int | None = None  # time of the look that the region is from

    def warm_up(self) -> None:
        """Search an empty picture, because the first looks take longer."""
        find_people(np.zeros((64, 64, 3), np.uint8), self._look)

    def add(self, frame: Frame) -> None:
        """Look at the next frame, if it is time for a look."""
        self._size = frame.size
        self._tracker.add(frame.t_us, to_colours(frame.image))
        self._tracker.forget(frame.t_us - KEPT_US)

    def combine(self, probabilities: Float32s, t_us: int) -> Float32s:
        """Combine the probabilities by events at a time, float32 [K], with those by joints until then."""
        track = self._find_track()
        if track is None:
            return probabilities

        end_us = np.array([t_us], np.int64)
        combined = self._network.combine(probabilities[None], track, end_us - JOINT_WINDOW_US, end_us)
        return combined.reshape(-1)

    @property
    def region(self) -> SquarePath | None:
        """Square around the person at the last look; None if nobody was seen for long enough."""
        if self._framed_us != self._tracker.looked_us:
            self._framed_us = self._tracker.looked_us
            track = self._find_track()
            is_seen = track is not None and track.present.sum() >= LOCATING_LOOKS
            path = frame_person(track) if track is not None and is_seen else None
            self._region = None if path is None else SquarePath(path.t_us[-1:], path.center[-1:], path.side)
        return self._region

    def _find_track(self) -> Track | None:
        return None if self._size is None else self._tracker.track(self._size)
