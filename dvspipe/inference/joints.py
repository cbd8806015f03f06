"""A second opinion on videos: a small network classifies the arms of the person, from joints over time.

The pose network (`dvspipe.pose`) looks at the pictures of a video. Elbows, wrists and hands during a window of the
classifier are resampled to JOINT_STEPS steps, and a 1-D convolution classifies them. Its log probabilities and those of
the events are averaged with a weight that is stored with the network. `scripts/studies/joints.py` trains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..checkpoints.checkpoint import read_tensors, write_tensors
from ..labels import GESTURES
from ..pose import JOINTS, OUTWARDS, Track, from_shoulder, measure_arms

Float32s = NDArray[np.float32]

JOINT_STEPS, JOINT_STEP_US = 24, 60_000
MAX_AWAY_US = 350_000  # between a step and the nearest picture with a person
MIN_KNOWN = 0.7  # share of the steps of a window with such a picture
JOINT_LOOKS_HZ = 20.0  # pictures per second that the pose network looks at, at most
POSITIONS = 21  # elbow, wrist, hand of both arms, and from the right wrist to the left one; 3 coordinates each
CURVES = POSITIONS + 4  # and the confidence of elbows and wrists
TYPICAL_STEP = 0.25  # of a position between two steps, in arm lengths
WEIGHTS = Path(__file__).with_name("joints.safetensors")
FORMAT = "dvspipe joints 1"


class JointNetwork(nn.Module):
    """A 1-D convolution over curves [N, JOINT_STEPS, CURVES] to logits [N, K]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = CURVES + POSITIONS
        for channels, kernel, stride in ((40, 5, 1), (56, 5, 2), (56, 3, 2)):
            convolution = nn.Conv1d(before, channels, kernel, stride=stride, padding=kernel // 2)
            layers += [convolution, nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(0.1)]
            before = channels
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(2 * before, classes)

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Return the logits; velocities are the differences of positions."""
        positions = curves[..., :POSITIONS]
        velocities = torch.diff(positions, dim=1, prepend=positions[:, :1]) / TYPICAL_STEP
        features = self.convolutions(torch.cat([curves, velocities], dim=-1).transpose(1, 2))
        return torch.as_tensor(self.linear(torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)))


@dataclass(frozen=True, eq=False)
class JointClassifier:
    """The network for joints, and how much it counts.

    Args:
        network: The network, in evaluation mode, for the classes in `GESTURES`.
        weight: Weight of its log probabilities; that of the events is the rest to 1.
    """

    network: JointNetwork
    weight: float

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Read the network, by default the included one.

        Raises:
            CheckpointError: The file is something else, or is corrupted.
        """
        metadata, tensors = read_tensors(path, "a network for joints")
        network = JointNetwork(len(GESTURES))
        network.load_state_dict(tensors)
        return cls(network.eval(), float(metadata.get("weight", "nan")))

    def save(self, path: Path) -> None:
        """Write the network.

        Raises:
            FileError: The file cannot be written.
        """
        write_tensors(path, {"format": FORMAT, "weight": str(self.weight)}, self.network.state_dict())

    def combine(
        self, probabilities: Float32s, track: Track, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
    ) -> Float32s:
        """Return the probabilities of windows by joints and events.

        Args:
            probabilities: float32 [N, K], by events.
            track: The person in the video.
            start_us: [N] start of each window.
            end_us: [N] its end.

        Returns:
            float32 [N, K]; a window without a person keeps its probabilities.
        """
        curves, known = sample_curves(track, start_us, end_us)
        with torch.no_grad():
            by_joints = self.network(torch.from_numpy(curves)).log_softmax(dim=1).numpy()
        combined = average_logs(probabilities, by_joints, self.weight)
        return np.where(known[:, None], combined, probabilities)


@cache
def included_classifier() -> JointClassifier:
    """Return the included network, which is read once."""
    return JointClassifier.load()


def average_logs(probabilities: Float32s, others: Float32s, weight: float) -> Float32s:
    """Return the normalised weighted geometric mean of probabilities [N, K].

    Args:
        probabilities: Probabilities with the weight 1 - `weight`.
        others: Logarithms of the others.
        weight: Weight of the others, 0 to 1.

    Example:
        >>> one = np.array([[0.8, 0.2]], np.float32)
        >>> average_logs(one, np.log(one[:, ::-1]), 0.5).round(3).tolist()
        [[0.5, 0.5]]
    """
    logs = (1 - weight) * np.log(np.maximum(probabilities, 1e-9)) + weight * others
    return torch.from_numpy(logs.astype(np.float32)).softmax(dim=1).numpy()


def trace_arms(track: Track) -> NDArray[np.float64]:
    """Return the curves of the arms in the pictures with a person, [N, CURVES].

    Positions are in the body's frame in units of the arm's length: elbow and wrist from the shoulder (outwards, up,
    forwards), right then left; from the right wrist to the left one; the hand from the wrist, right then left.

    Raises:
        DataError: The track has no person at any time.
    """
    arms = measure_arms(track)
    hands = []
    for side in OUTWARDS:
        wrist, index, pinky = from_shoulder(track, side, ("wrist", "index", "pinky"))
        hands.append(((index + pinky) / 2 - wrist) / arms.arm_m)
    apart = (track.point("left_wrist") - track.point("right_wrist")) / arms.arm_m
    positions = [arms.right.elbow, arms.right.wrist, arms.left.elbow, arms.left.wrist, apart, *hands]
    joints = [JOINTS.index(f"{side}_{joint}") for side in OUTWARDS for joint in ("elbow", "wrist")]
    return np.concatenate([*positions, track.confidence[:, joints]], axis=1)[track.present]


def sample_curves(
    track: Track, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
) -> tuple[Float32s, NDArray[np.bool_]]:
    """Return the curves of the arms around the middle of each window, and in which windows the person is seen.

    Args:
        track: The person.
        start_us: [N] start of each window.
        end_us: [N] its end.

    Returns:
        float32 [N, JOINT_STEPS, CURVES] and bool [N].
    """
    curves, seen_us = trace_arms(track), track.times_us[track.present]
    at_us = (
        ((start_us + end_us) // 2)[:, None]
        + JOINT_STEP_US * np.arange(JOINT_STEPS)
        - JOINT_STEP_US * (JOINT_STEPS - 1) // 2
    )
    first = np.searchsorted(seen_us, at_us - MAX_AWAY_US)
    stop = np.searchsorted(seen_us, at_us + MAX_AWAY_US, side="right")
    known = (stop > first).mean(axis=1) >= MIN_KNOWN  # a picture with a person is near
    return np.stack([np.interp(at_us, seen_us, curve) for curve in curves.T], axis=-1).astype(np.float32), known
