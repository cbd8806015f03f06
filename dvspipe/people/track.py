"""Track of a person: joints over time, as a value and as a CSV file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, DataError, DvspipeError, FormatError
from ..base.files import read_bytes, require_suffix, write_text
from ..events import SensorSize
from .network import JOINTS, Floats

PRESENT = 0.5  # minimum presence of a visible person
MIN_CONFIDENCE = 0.3  # minimum mean confidence of the shoulders; in patterns that look like a person, it is below 0.2
COORDINATES = ("x_px", "y_px", "x_m", "y_m", "z_m", "confidence")
COLUMNS = (
    "time_us",
    "width",
    "height",
    "people",
    "presence",
    "yaw_rad",
    *(f"{joint}_{name}" for joint in JOINTS for name in COORDINATES),
)
_WHOLE_COLUMNS = 4  # the first columns
_MAX_WHOLE = 2**53  # larger numbers are not exact in float64
_SHOULDERS = [JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")]


def find_runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and the stop (exclusive) of each run of True values."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def shows_shoulders(confidence: Floats) -> NDArray[np.bool_]:
    """Return whether the joints of a person are really seen, [...]: patterns can look like a person without shoulders.

    Of the confidence of the joints, [..., J], NaN counts as unseen.
    """
    return np.asarray(confidence[..., _SHOULDERS].mean(axis=-1) >= MIN_CONFIDENCE)


@dataclass(frozen=True, eq=False, repr=False)
class Track(Brief):
    """Joints of one person in N pictures of a video; the J joints are named in `JOINTS`.

    While the person is missing, `presence` is below 0.5, and points, yaw and confidence are NaN.

    Args:
        times_us: Increasing times in microseconds, int64 [N].
        points_m: Joints in metres in body coordinates, [N, J, 3]. The origin is midway between the shoulders; x points
            horizontally from the right to the left shoulder, y up, z forwards. Outwards is +x for the left arm and
            -x for the right arm.
        points_px: Column and row of each joint in the picture, [N, J, 2].
        confidence: Probability that the joint is visible, 0 to 1, [N, J].
        presence: Probability that the person is visible, 0 to 1, [N].
        yaw: Rotation of the person in radians, [N]. The person faces the camera at 0; a positive yaw turns the left
            shoulder away from the camera.
        people: Number of people in the foreground found by the last search, int64 [N]; the largest is tracked.
        size: Picture size.

    Raises:
        DataError: If shapes are inconsistent, times do not increase, or values are out of range.
    """

    times_us: NDArray[np.int64]
    points_m: Floats
    points_px: Floats
    confidence: Floats
    presence: Floats
    yaw: Floats
    people: NDArray[np.int64]
    size: SensorSize

    def __post_init__(self) -> None:
        N = len(self.times_us)
        J = len(JOINTS)
        shapes = {
            "points_m": (N, J, 3),
            "points_px": (N, J, 2),
            "confidence": (N, J),
            "presence": (N,),
            "yaw": (N,),
            "people": (N,),
        }

        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"wrong shape of {name} (found {getattr(self, name).shape}, expected {shape})")

        if N == 0:
            raise DataError("a track has no pictures (found 0, expected 1 or more)")
        if not (np.diff(self.times_us) > 0).all():
            raise DataError(
                f"wrong times (row {np.argmin(np.diff(self.times_us) > 0) + 1}: not after the previous row)"
            )

        if not ((self.presence >= 0) & (self.presence <= 1)).all():
            raise DataError("wrong presence (expected 0 to 1)")

        # Pictures without a person have no joints, and all others have all of them.
        for name in ("points_m", "points_px", "confidence", "yaw"):
            known = np.isfinite(getattr(self, name)).reshape(N, -1)
            if not known[self.present].all() or known[~self.present].any():
                raise DataError(f"wrong {name} (expected numbers if presence is at least {PRESENT}, otherwise none)")
        if not ((self.confidence >= 0) & (self.confidence <= 1))[self.present].all():
            raise DataError("wrong confidence (expected 0 to 1)")

    def __str__(self) -> str:
        lasts_s = (self.times_us[-1] - self.times_us[0]) / 1e6
        return f"{len(self.times_us):,} pictures in {lasts_s:.1f} s, a person in {self.present.mean():.0%} of them"

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each picture shows the person, bool [N]."""
        return np.asarray(self.presence >= PRESENT)

    def select(self, pictures: NDArray[np.bool_]) -> Self:
        """Return the track in some of its pictures, bool [N], at least one."""
        return replace(
            self,
            **{name: getattr(self, name)[pictures] for name in self.__dataclass_fields__ if name != "size"},
        )

    def pixel(self, joint: str) -> Floats:
        """Return column and row of a joint in pixels, [N, 2]; `joint` is a name in `JOINTS`."""
        return self.points_px[:, JOINTS.index(joint)]

    def point(self, joint: str) -> Floats:
        """Return the positions of a joint in metres in body coordinates, [N, 3]; `joint` is a name in `JOINTS`."""
        return self.points_m[:, JOINTS.index(joint)]

    def write(self, path: str | Path) -> None:
        """Write the track as CSV: a header, and a row per picture. Unknown values are empty cells.

        Raises:
            FileError: If the suffix is not `.csv`, or the file cannot be written.
        """
        path = Path(path)
        require_suffix(path, "joints", ".csv")

        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        joints = np.concatenate([self.points_px, self.points_m, self.confidence[..., None]], axis=-1)

        for row in range(len(self.times_us)):
            integers = (self.times_us[row], self.size.width, self.size.height, self.people[row])
            numbers = ("" if np.isnan(number) else f"{number:.6g}" for number in (self.yaw[row], *joints[row].ravel()))
            # Presence is not rounded: rounding could move it across 0.5.
            writer.writerow([*integers, float(self.presence[row]), *numbers])

        write_text(path, table.getvalue())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a track written by `write`; numbers have six significant digits.

        Raises:
            FileError: If the file is missing or cannot be read.
            FormatError: If the file is not a valid CSV file of a track.
        """
        content = read_bytes(Path(path))
        try:
            rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
            if not rows or tuple(rows.pop(0)) != COLUMNS:
                raise ValueError(f"found another header, expected the {len(COLUMNS)} columns of tracked joints")
            for line, row in enumerate(rows, start=2):
                if len(row) != len(COLUMNS):
                    raise ValueError(f"line {line}: found {len(row)} cells, expected {len(COLUMNS)}")

            table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(-1, len(COLUMNS))
            whole = table[:, :_WHOLE_COLUMNS]
            if not (np.abs(whole) < _MAX_WHOLE).all() or (whole % 1).any():
                raise ValueError(f"expected whole numbers of {', '.join(COLUMNS[:_WHOLE_COLUMNS])}")

            integers = whole.astype(np.int64)
            if len(np.unique(integers[:, 1:3], axis=0)) != 1:
                raise ValueError("found no pictures, or pictures of several sizes, expected one size")

            joints = table[:, -len(JOINTS) * len(COORDINATES) :].reshape(-1, len(JOINTS), len(COORDINATES))
            return cls(
                times_us=integers[:, 0],
                points_m=joints[..., 2:5],
                points_px=joints[..., :2],
                confidence=joints[..., 5],
                presence=table[:, _WHOLE_COLUMNS],
                yaw=table[:, _WHOLE_COLUMNS + 1],
                people=integers[:, 3],
                size=SensorSize(width=int(integers[0, 1]), height=int(integers[0, 2])),
            )
        except (DvspipeError, ValueError, csv.Error) as error:
            raise FormatError(f"{path}: not a CSV file of joints ({error})") from error
