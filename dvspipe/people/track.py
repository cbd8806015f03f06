"""Track of a person: joints over time, as a value and as a CSV file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, DataError, FormatError
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
_INTEGER_COLUMNS = 4  # the first columns
_MAX_VALUE = 2**62
_SHOULDERS = [JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")]


def find_runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and the stop (exclusive) of each run of True values."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def cumulate(values: Floats) -> Floats:
    """Return sums [T + 1, ...] of the first rows of values [T, ...]: a range has the difference of two of them."""
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])


def shows_shoulders(confidence: Floats) -> NDArray[np.bool_]:
    """Return whether the joints of a person are really seen, [...]: patterns can look like a person without shoulders.

    Of the confidence of the joints, [..., J], NaN counts as unseen.
    """
    return np.asarray(confidence[..., _SHOULDERS].mean(axis=-1) >= MIN_CONFIDENCE)


@dataclass(frozen=True)
class Gap:
    """Interval without a person.

    Args:
        start_us: Time of the first picture without a person, in microseconds.
        stop_us: Time of the next picture with a person, or of the last picture, in microseconds.
    """

    start_us: int
    stop_us: int


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
        missing_s = sum(gap.stop_us - gap.start_us for gap in self.gaps) / 1e6
        pictures = f"{len(self.times_us):,} pictures in {lasts_s:.1f} s"
        return f"{pictures}, a person in {self.present.mean():.0%} of them, {len(self.gaps)} gaps ({missing_s:.1f} s)"

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each picture shows the person, bool [N]."""
        return np.asarray(self.presence >= PRESENT)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Intervals without a person."""
        last = len(self.times_us) - 1
        return tuple(
            Gap(int(self.times_us[start]), int(self.times_us[min(stop, last)]))
            for start, stop in find_runs(~self.present)
        )

    @property
    def rate_hz(self) -> float:
        """Median picture rate in Hz; 0 for a single picture."""
        return float(1e6 / np.median(np.diff(self.times_us))) if len(self.times_us) > 1 else 0.0

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
        try:
            rows = list(csv.reader(io.StringIO(read_bytes(Path(path)).decode(), newline="")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise FormatError(f"{path}: not a CSV file of joints ({error})") from error
        if not rows or tuple(rows[0]) != COLUMNS:
            raise FormatError(f"{path}: wrong header (expected the {len(COLUMNS)} columns of tracked joints)")

        cells = [_read_row(f"{path}: line {line}", row) for line, row in enumerate(rows[1:], start=2)]
        integers = np.array([row[0] for row in cells], np.int64).reshape(-1, _INTEGER_COLUMNS)
        numbers = np.array([row[1] for row in cells], np.float64).reshape(len(cells), len(COLUMNS) - _INTEGER_COLUMNS)
        if len(cells) == 0 or len(np.unique(integers[:, 1:3], axis=0)) != 1:
            counts = f"{len(np.unique(integers[:, 1:3], axis=0))} picture sizes in {len(cells)} rows"
            raise FormatError(f"{path}: wrong rows (found {counts}, expected one size)")

        joints = numbers[:, 2:].reshape(len(cells), len(JOINTS), len(COORDINATES))
        try:
            return cls(
                times_us=integers[:, 0],
                points_m=joints[..., 2:5],
                points_px=joints[..., :2],
                confidence=joints[..., 5],
                presence=numbers[:, 0],
                yaw=numbers[:, 1],
                people=integers[:, 3],
                size=SensorSize(width=int(integers[0, 1]), height=int(integers[0, 2])),
            )
        except DataError as error:
            raise FormatError(f"{path}: {error}") from error


def _read_row(where: str, row: list[str]) -> tuple[list[int], list[float]]:
    """Return the integers and the floating-point numbers of a row; empty cells become NaN."""
    if len(row) != len(COLUMNS):
        raise FormatError(f"{where}: wrong number of cells (found {len(row)}, expected {len(COLUMNS)})")

    integers = list[int]()
    numbers = list[float]()
    for name, cell in zip(COLUMNS, row, strict=True):
        try:
            if len(integers) < _INTEGER_COLUMNS:
                integers.append(int(cell))
            else:
                numbers.append(float(cell) if cell else np.nan)
        except ValueError as error:
            raise FormatError(f"{where}: wrong {name} (found {cell[:40]!r}, expected a number)") from error
        if cell and not abs(integers[-1] if not numbers else numbers[-1]) < _MAX_VALUE:
            raise FormatError(f"{where}: wrong {name} (found {cell[:40]!r}, expected a finite number)")

    if min(integers[1:3]) < 1 or integers[3] < 0:
        raise FormatError(f"{where}: wrong size or number of people (found {','.join(row[1:4])})")
    return integers, numbers
