"""Advice on the gestures of a film: joints change the probabilities of events, and tell why nothing is certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..base.errors import CheckpointError
from ..hooks import Film
from .films import track_person
from .joints import Float32s, JointClassifier, find_joints
from .live import LiveJoints
from .track import Track

MIN_SHOULDERS_PX = 12  # distance of the shoulders; the smallest person whose claps were found in a film has 14
MAX_OUTSIDE = 0.3  # share of the pictures in which a hand may be outside


@dataclass(frozen=True)
class JointAdviser:
    """Adviser of a classifier that has a joint network."""

    joints: JointClassifier

    @classmethod
    def find(cls, checkpoint: str, classes: tuple[str, ...]) -> Self | None:
        """Return the adviser of a checkpoint; None if it has no joint network.

        Raises:
            CheckpointError: If the joint network has other classes.
        """
        joints = find_joints(checkpoint)
        if joints is not None and joints.classes != classes:
            raise CheckpointError(
                f"{checkpoint}: its joint network has other classes (found {', '.join(joints.classes)}, expected "
                f"{', '.join(classes)})"
            )
        return None if joints is None else cls(joints)

    @property
    def enter(self) -> float:
        """Probability that starts a certain segment of a film."""
        return self.joints.enter

    @property
    def is_alone(self) -> bool:
        """Whether the probabilities by events have no weight."""
        return self.joints.weight == 1

    def combine(
        self, film: Film, probabilities: Float32s, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
    ) -> Float32s:
        """Combine the probabilities of N windows by events, [N, K], with the probabilities by joints."""
        track = track_person(film)
        return probabilities if track is None else self.joints.combine(probabilities, track, start_us, end_us)

    def watch(self) -> LiveJoints:
        """Start to look at the joints in a live film."""
        return LiveJoints(self.joints)

    def explain(self, film: Film, class_name: str, start_us: int, end_us: int) -> str:
        """Return why a gesture is not certain, from the person in the pictures."""
        return find_film_reason(track_person(film), class_name, start_us, end_us)


def find_film_reason(track: Track | None, class_name: str, start_us: int, end_us: int) -> str:
    """Return why a film has no certain gesture, from the person in its pictures; empty if nothing is wrong with them.

    Args:
        track: Joints of the person; None if nobody was recognised.
        class_name: First guess; the hand of a gesture of one hand has to be in the picture, otherwise both.
        start_us: Start of the window in which the guess is most probable, in microseconds.
        end_us: End of this window, exclusive.
    """
    if track is None or track.present.mean() < 0.5:
        return "nobody was recognised in most pictures"

    seen = track.select(track.present)
    shoulders_px = np.linalg.norm(seen.pixel("left_shoulder") - seen.pixel("right_shoulder"), axis=1)
    widest_px = float(np.percentile(shoulders_px, 90))  # people who turn aside have narrow shoulders
    if widest_px < MIN_SHOULDERS_PX:
        return f"the person is too small (shoulders of {widest_px:.0f} px, expected {MIN_SHOULDERS_PX} or more)"

    picture = (seen.size.width, seen.size.height)
    shown = (seen.times_us >= start_us) & (seen.times_us < end_us)
    for side in ("right", "left"):
        is_used = class_name.startswith(side) or not class_name.startswith(("right", "left"))
        wrist_px = seen.pixel(f"{side}_wrist")[shown]
        outside = ((wrist_px < 0) | (wrist_px >= picture)).any(axis=1)
        if is_used and outside.sum() > MAX_OUTSIDE * shown.sum():
            return f"the {side} hand is outside the picture"

    return ""
