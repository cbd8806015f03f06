"""Classify gestures in videos by the joints of the person's arms, and combine the result with events.

The pose network finds the joints in the pictures of the video. The trajectories of elbows, wrists and hands during a
window are resampled to JOINT_STEPS steps and classified by a 1-D convolutional network. Its log probabilities and the
log probabilities by events are averaged. A joint network belongs to one classifier: its weight in this average, and the
probability from which a class is certain, were chosen together and are stored with it. `scripts/weights/joints.py`
trains the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from torch import nn

from ..base.errors import CheckpointError
from ..base.gestures import GESTURES
from ..checkpoints.checkpoint import SHIPPED, read_tensors, shipped_checkpoints, write_tensors
from ..inference.segments import ENTER
from ..results import RunFolder
from .body import OUTWARDS, from_shoulder, measure_arms
from .network import JOINTS
from .track import Track

Float32s = NDArray[np.float32]

JOINT_STEPS = 24
JOINT_STEP_US = 60_000
JOINT_WINDOW_US = JOINT_STEPS * JOINT_STEP_US
MAX_AWAY_US = 350_000  # maximum distance between a step and the nearest picture with a person
MIN_KNOWN = 0.7  # minimum share of steps with such a picture in a window
POSITIONS = 21  # 3 coordinates each: elbow, wrist and hand of both arms, and left wrist relative to right wrist
CURVES = POSITIONS + 4  # positions, and the confidence of elbows and wrists
WRISTS = np.r_[3:6, 9:12]  # positions of both wrists
_SWAPPED = np.r_[6:12, 0:6, 12:15, 18:21, 15:18, 23:25, 21:23]
_BETWEEN_WRISTS = slice(13, 15)  # up and forwards; outwards, both the direction and the order change
JOINT_CHANNELS = (64, 96, 96)  # output channels of each convolution
JOINT_LAYERS = ((5, 1), (5, 2), (3, 2))  # kernel and stride of each
DROPOUT = 0.1
TYPICAL_STEP = 0.25  # typical movement per step in arm lengths, to scale velocities
MIN_PROBABILITY = 1e-9  # against the logarithm of 0
FORMAT = "dvspipe joints 1"
JOINTS_FOLDER = "joints"  # below the folder of the included checkpoints
CLASSES = TypeAdapter(Annotated[tuple[str, ...], Field(min_length=2, max_length=10_000)])


class JointNetwork(nn.Module):
    """1-D convolutional network from curves [N, JOINT_STEPS, CURVES] to logits [N, K]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = CURVES + POSITIONS  # curves and velocities
        for outputs, (kernel, stride) in zip(JOINT_CHANNELS, JOINT_LAYERS, strict=True):
            convolution = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
            layers += [convolution, nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(DROPOUT)]
            inputs = outputs

        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(2 * inputs, classes)

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Return the logits [N, K]."""
        return torch.as_tensor(self.linear(self.find_features(curves)))

    def find_features(self, curves: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the last layer, [N, F]; velocities are computed from the positions."""
        positions = curves[..., :POSITIONS]
        velocities = torch.diff(positions, dim=1, prepend=positions[:, :1]) / TYPICAL_STEP

        features = self.convolutions(torch.cat([curves, velocities], dim=-1).transpose(1, 2))

        # Pool over time: mean and maximum of each feature.
        return torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)


@dataclass(frozen=True, eq=False)
class JointClassifier:
    """Joint network of a classifier.

    Args:
        network: Network in evaluation mode.
        weight: Weight of its log probabilities, 0 to 1; events have the rest.
        classes: Class names.
        enter: Probability that starts a certain segment of a film; see `SegmentConfig.enter`.
    """

    network: JointNetwork
    weight: float
    classes: tuple[str, ...] = GESTURES
    enter: float = ENTER

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a joint network."""
        metadata, tensors = read_tensors(path, "a joint network")

        try:
            # A file without classes has the gestures of DVS128 Gesture.
            stored = metadata.get("classes")
            classes = GESTURES if stored is None else CLASSES.validate_json(stored)
            network = JointNetwork(len(classes))
            network.load_state_dict(tensors)
            weight = float(metadata.get("weight", ""))
            enter = float(metadata.get("enter", ENTER))
            if not (0 <= weight <= 1 and 0 <= enter <= 1):
                raise ValueError(f"found weight {weight:g} and threshold {enter:g}, expected 0 to 1")
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: not a joint network ({' '.join(str(error).split())})") from error

        return cls(network.eval(), weight, classes, enter)

    def save(self, path: Path) -> None:
        """Write network, weight and threshold to a file."""
        metadata = {
            "format": FORMAT,
            "weight": str(self.weight),
            "enter": str(self.enter),
            "classes": CLASSES.dump_json(self.classes).decode(),
        }
        write_tensors(path, metadata, self.network.state_dict())

    def combine(
        self, probabilities: Float32s, track: Track, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
    ) -> Float32s:
        """Combine the probabilities of N windows by events, float32 [N, K], with the probabilities by joints.

        In windows without a visible person, joints know nothing: events keep their order, but become less certain. If
        no window shows a person, the probabilities by events are returned.
        """
        curves, visible = sample_curves(track, start_us, end_us)
        if not visible.any():
            return probabilities

        with torch.no_grad():
            by_joints = self.network(torch.from_numpy(curves)).log_softmax(dim=1).numpy()

        unknown = np.zeros_like(by_joints)
        return average_logs(probabilities, np.where(visible[:, None], by_joints, unknown), self.weight)


def find_joints(checkpoint: str) -> JointClassifier | None:
    """Load the joint network of an included classifier, of a run, or of a checkpoint file; None if it has none."""
    path = Path(checkpoint)
    if checkpoint in shipped_checkpoints():
        joints = SHIPPED / JOINTS_FOLDER / f"{checkpoint}.safetensors"
    elif path.is_dir():
        joints = RunFolder(path).joints
    else:
        joints = path.with_name(RunFolder(path).joints.name)

    return JointClassifier.load(joints) if joints.is_file() else None


def average_logs(probabilities: Float32s, others: Float32s, weight: float) -> Float32s:
    """Return the normalised weighted geometric mean of two sets of probabilities, float32 [N, K].

    `others` are natural logarithms, [N, K]; their weight is `weight`, 0 to 1.

    Example:
        >>> one = np.array([[0.8, 0.2]], np.float32)
        >>> average_logs(one, np.log(one[:, ::-1]), 0.5).round(3).tolist()
        [[0.5, 0.5]]
    """
    logs = (1 - weight) * np.log(np.maximum(probabilities, MIN_PROBABILITY)) + weight * others
    return torch.from_numpy(logs.astype(np.float32)).softmax(dim=1).numpy()


def trace_arms(track: Track) -> NDArray[np.float64]:
    """Return positions and confidences of the arms in each picture with a person, [N, CURVES].

    Positions are in the body frame in units of the arm length. Columns, three coordinates each:
    elbow and wrist relative to the shoulder (outwards, up, forwards), right arm then left arm;
    left wrist relative to the right wrist; hand relative to the wrist, right then left.
    The last four columns are the confidences of elbow and wrist, right then left.
    """
    arms = measure_arms(track)

    # A hand is the middle between index finger and little finger.
    hands = []
    for side in OUTWARDS:
        wrist, index, pinky = from_shoulder(track, side, ("wrist", "index", "pinky"))
        hands.append(((index + pinky) / 2 - wrist) / arms.arm_m)

    between_wrists = (track.point("left_wrist") - track.point("right_wrist")) / arms.arm_m
    positions = [arms.right.elbow, arms.right.wrist, arms.left.elbow, arms.left.wrist, between_wrists, *hands]
    joints = [JOINTS.index(f"{side}_{joint}") for side in OUTWARDS for joint in ("elbow", "wrist")]

    return np.concatenate([*positions, track.confidence[:, joints]], axis=1)[track.present]


def mirror_curves(curves: Float32s) -> Float32s:
    """Swap the right and the left arm in curves, [..., CURVES]."""
    mirrored = curves[..., _SWAPPED]
    mirrored[..., _BETWEEN_WRISTS] *= -1
    return mirrored


def sample_curves(
    track: Track, start_us: NDArray[np.int64], end_us: NDArray[np.int64]
) -> tuple[Float32s, NDArray[np.bool_]]:
    """Resample the curves of the arms around the centre of each of N windows, int64 [N] start and end times.

    Returns the curves, float32 [N, JOINT_STEPS, CURVES], and whether the person is visible in the window, bool [N].
    """
    curves = trace_arms(track)
    visible_us = track.times_us[track.present]

    # The steps are symmetric about the centre of the window.
    centers_us = (start_us + end_us) // 2
    offsets_us = JOINT_STEP_US * np.arange(JOINT_STEPS) - JOINT_STEP_US * (JOINT_STEPS - 1) // 2
    steps_us = centers_us[:, None] + offsets_us

    starts = np.searchsorted(visible_us, steps_us - MAX_AWAY_US)
    stops = np.searchsorted(visible_us, steps_us + MAX_AWAY_US, side="right")
    visible = (stops > starts).mean(axis=1) >= MIN_KNOWN  # share of steps with a nearby picture of the person

    sampled = np.stack([np.interp(steps_us, visible_us, curve) for curve in curves.T], axis=-1)
    return sampled.astype(np.float32), visible
