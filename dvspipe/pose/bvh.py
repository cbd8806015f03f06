"""BVH motion capture: skeleton and movement in one file (Meredith and Maddock, "Motion capture file formats", 2001).

A joint lists its channels; its rotations are multiplied in this order. Positions of the root are not used, because a
track is relative to the person; positions of other joints repeat their offsets, and are not used either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..base.errors import FormatError
from ..base.files import read_bytes
from .network import Floats
from .skeletons import Skeleton, rotate_about, to_track
from .track import Track

_CHANNELS = ("xrotation", "yrotation", "zrotation", "xposition", "yposition", "zposition")
_ROTATIONS = 3  # the first channels
_MAX_INTERVAL_S = 10.0


@dataclass(eq=False)
class _Joints:
    """Joints of a hierarchy: names, parents, offsets [J, 3], and the channels of each, as indices in `_CHANNELS`."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[int]] = field(default_factory=list)


def read_bvh(path: Path) -> Track:
    """Read a track from a BVH file.

    Raises:
        FileError: If the file is missing or cannot be read.
        FormatError: If the file is not valid, or its skeleton is not a person.
    """
    words = iter(read_bytes(path).decode("latin-1").split())
    try:
        joints = _read_hierarchy(words)
        values, interval_s = _read_motion(words, sum(map(len, joints.channels)))
    except StopIteration as error:
        raise FormatError(f"{path}: truncated (found the end of the file inside the header)") from error
    except ValueError as error:
        raise FormatError(f"{path}: not a valid BVH file ({error})") from error

    radians = np.deg2rad(values)
    rotations = np.tile(np.eye(3), (len(values), len(joints.names), 1, 1))
    column = 0
    for joint, channels in enumerate(joints.channels):
        for channel in channels:
            if channel < _ROTATIONS:
                rotations[:, joint] = rotations[:, joint] @ rotate_about(channel, radians[:, column])
            column += 1

    skeleton = Skeleton(tuple(joints.names), tuple(joints.parents), np.array(joints.offsets))
    return to_track(path, skeleton, rotations, 1 / interval_s)


def _expect(words: Iterator[str], expected: str) -> None:
    word = next(words)
    if word.lower() != expected:
        raise ValueError(f"found {word[:40]!r}, expected {expected!r}")


def _read_number(words: Iterator[str]) -> float:
    number = float(next(words))
    if not np.isfinite(number):
        raise ValueError(f"found {number}, expected a finite number")
    return number


def _read_channel(words: Iterator[str]) -> int:
    name = next(words)
    if name.lower() not in _CHANNELS:
        raise ValueError(f"found channel {name[:40]!r}, expected {', '.join(_CHANNELS)}")
    return _CHANNELS.index(name.lower())


def _read_hierarchy(words: Iterator[str]) -> _Joints:
    """Read joints until MOTION; a ValueError names what is wrong."""
    joints = _Joints()
    open_joints = list[int]()
    _expect(words, "hierarchy")

    while (word := next(words).lower()) != "motion":
        if word in ("root", "joint", "end"):
            name = next(words)
            parent = open_joints[-1] if open_joints else -1
            joints.names.append(f"{joints.names[parent]} end" if word == "end" else name)
            joints.parents.append(parent)
            joints.channels.append([])
            _expect(words, "{")
            open_joints.append(len(joints.names) - 1)

            _expect(words, "offset")
            joints.offsets.append([_read_number(words) for _ in range(3)])
        elif word == "channels" and open_joints:
            count = int(next(words))
            joints.channels[open_joints[-1]] = [_read_channel(words) for _ in range(count)]
        elif word == "}" and open_joints:
            open_joints.pop()
        else:
            raise ValueError(f"found {word[:40]!r}, expected a joint or MOTION")

    if open_joints or joints.parents.count(-1) != 1:
        raise ValueError(f"found {joints.parents.count(-1)} roots, {len(open_joints)} open joints, expected 1 and 0")
    return joints


def _read_motion(words: Iterator[str], channels: int) -> tuple[Floats, float]:
    """Return the values [N, channels] and the time between pictures in seconds."""
    _expect(words, "frames:")
    pictures = int(next(words))
    _expect(words, "frame")
    _expect(words, "time:")
    interval_s = _read_number(words)
    if pictures < 1 or channels == 0 or not 0 < interval_s < _MAX_INTERVAL_S:
        raise ValueError(f"found {pictures} pictures of {channels} channels every {interval_s:g} s")

    values = np.array([float(word) for word in words])
    if len(values) != pictures * channels or not np.isfinite(values).all():
        raise ValueError(f"found {len(values)} numbers, expected {channels} finite ones in each of {pictures} pictures")
    return values.reshape(pictures, channels), interval_s
