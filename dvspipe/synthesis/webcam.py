"""Simulate a webcam or phone that films a rendered person.

Each row of a frame is the mean of the light during its exposure, slightly later than the row above (rolling shutter).
The camera adapts its exposure, adds noise, sharpens, and may be hand-held. The video is compressed as H.264 or VP8. The
ranges of camera properties are guesses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..video.frames import Frame
from ..video.opencv import cv2
from ..video.writing import open_h264, open_webm
from .motion import wander
from .people import Floats
from .scenes import to_srgb

_SIZES = ((160, 120), (320, 240), (360, 640), (640, 360), (640, 480), (1280, 720), (1920, 1080))
_SIZE_SHARES = (0.30, 0.34, 0.05, 0.12, 0.15, 0.03, 0.01)
_RATES = (10.0, 12.5, 15.0, 24.0, 25.0, 30.0, 50.0, 60.0)
_RATE_SHARES = (0.06, 0.04, 0.08, 0.12, 0.2, 0.38, 0.03, 0.09)
CURVE_CELLS = 1 << 14  # linear pieces of the transfer curve
_PICTURES_HZ = 150.0  # minimum rendering rate; a frame averages several pictures


@dataclass(frozen=True)
class Webcam:
    """Frame camera: a webcam or phone.

    Args:
        size: Frame size.
        fps: Frames per second.
        exposure_s: Exposure time of a row.
        readout_s: Delay between the exposures of the first and the last row (rolling shutter).
        drift: Amplitude of exposure changes over time, in log brightness.
        shot: Noise variance per unit of linear brightness (1 = white).
        read: Standard deviation of the noise in the dark.
        contrast: Exponent applied after the transfer curve.
        sharpen: Strength of sharpening: factor of the added details.
        shake_px: Amplitude of camera shake in pixels.
        crf: Constant rate factor of H.264 (larger is coarser); None: VP8.
    """

    size: SensorSize
    fps: float
    exposure_s: float
    readout_s: float
    drift: float
    shot: float
    read: float
    contrast: float
    sharpen: float
    shake_px: float
    crf: float | None

    @property
    def suffix(self) -> str:
        """Suffix of videos from this camera."""
        return ".webm" if self.crf is None else ".mp4"

    def picture_times(self, duration_us: int) -> Floats:
        """Return the times in seconds at which to render pictures for a video of `duration_us`."""
        per_frame = max(1, round(_PICTURES_HZ / self.fps))
        last_s = duration_us * 1e-6 + self.readout_s + self.exposure_s
        return np.arange(int(np.ceil(last_s * self.fps * per_frame)) + 1) / (self.fps * per_frame)


def draw_webcam(rng: np.random.Generator) -> Webcam:
    """Draw a random webcam or phone."""
    width, height = _SIZES[rng.choice(len(_SIZES), p=_SIZE_SHARES)]
    fps = _RATES[rng.choice(len(_RATES), p=_RATE_SHARES)]
    noise = float(np.exp(rng.uniform(np.log(0.0007), np.log(0.008))))

    return Webcam(
        size=SensorSize(width=width, height=height),
        fps=fps,
        exposure_s=min(float(np.exp(rng.uniform(np.log(0.002), np.log(0.04)))), 0.95 / fps),
        readout_s=rng.uniform(0.0, 0.9) / fps,
        drift=rng.uniform(0.0, 0.06) if rng.random() < 0.5 else 0.0,
        shot=noise**2 * 10,
        read=noise,
        contrast=rng.uniform(0.75, 1.25),
        sharpen=rng.uniform(0.0, 0.8) if rng.random() < 0.6 else 0.0,
        shake_px=rng.uniform(0.001, 0.008) * height if rng.random() < 0.25 else 0.0,
        crf=rng.uniform(16, 36) if height > 480 or rng.random() < 0.8 else None,
    )


def film(
    pictures: Iterable[NDArray[np.uint16]], times_s: Floats, duration_us: int, webcam: Webcam, rng: np.random.Generator
) -> Iterator[Frame]:
    """Film rendered pictures; yield uint8 frames in sRGB (IEC 61966-2-1).

    Args:
        pictures: Pictures of the webcam's size, proportional to light, uint16 [H, W].
        times_s: Times of the pictures: `webcam.picture_times(duration_us)`.
        duration_us: Maximum frame time in microseconds.
        webcam: Camera.
        rng: Random generator for noise and shake.
    """
    starts_s = np.arange(int(duration_us * 1e-6 * webcam.fps) + 1) / webcam.fps
    gains = np.exp(webcam.drift * wander(starts_s, rng))
    curve = (to_srgb(np.linspace(0, 1, CURVE_CELLS + 1)) ** webcam.contrast).astype(np.float32)
    slow = [webcam.shake_px * (wander(4 * starts_s, rng) + 0.3 * wander(20 * starts_s, rng)) for _ in range(2)]

    for start_s, light, gain, dx, dy in zip(
        starts_s, _expose(pictures, times_s, starts_s, webcam), gains, *slow, strict=True
    ):
        if webcam.shake_px:
            move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
            light = cv2.warpAffine(light, move, light.shape[::-1], borderMode=cv2.BORDER_REFLECT)

        noise = rng.standard_normal(light.shape, np.float32)
        yield Frame(round(start_s * 1e6), _develop(light, noise, gain, curve, webcam))


def _expose(
    pictures: Iterable[NDArray[np.uint16]], times_s: Floats, starts_s: Floats, webcam: Webcam
) -> Iterator[NDArray[np.float32]]:
    """Yield the mean light during each exposure, [H, W], 1 = white; a picture lasts until the next picture."""
    interval_s = float(times_s[1] - times_s[0])
    row_s = webcam.readout_s * np.arange(webcam.size.height) / webcam.size.height

    held: deque[tuple[float, NDArray[np.uint16]]] = deque()
    upcoming = zip(times_s, pictures, strict=True)
    for start_s in starts_s:
        end_s = start_s + webcam.readout_s + webcam.exposure_s

        # Hold the pictures that are visible during this exposure, from its first row to its last.
        while not held or held[-1][0] + interval_s < end_s:
            held.append(next(upcoming))
        while held[0][0] + interval_s <= start_s:
            held.popleft()

        total = np.zeros((webcam.size.height, webcam.size.width), np.float32)

        # Rolling shutter: each row is exposed later than the one above. A row weighs a picture by
        # the time that both share.
        for time_s, picture in held:
            opened = start_s + row_s
            open_s = np.minimum(opened + webcam.exposure_s, time_s + interval_s) - np.maximum(opened, time_s)
            weights = (np.maximum(open_s, 0) / webcam.exposure_s / 65535).astype(np.float32)
            total += weights.astype(np.float64)[:, None] * picture  # rounded once

        yield total


def _develop(
    light: NDArray[np.float32], noise: NDArray[np.float32], gain: float, curve: NDArray[np.float32], webcam: Webcam
) -> NDArray[np.uint8]:
    """Convert light and standard normal noise to an 8-bit frame."""
    # Shot noise has a variance proportional to the light, read noise a constant one.
    seen = np.float32(gain) * light
    seen += np.sqrt(np.float32(webcam.shot) * seen + np.float32(webcam.read**2)) * noise

    # The curve [CURVE_CELLS + 1] is sampled at equal distances of light.
    position = np.clip(seen, 0, 1) * np.float32(CURVE_CELLS)
    cell = np.minimum(position.astype(np.int32), CURVE_CELLS - 1)
    grey = curve[cell] + (position - cell.astype(np.float32)) * (curve[cell + 1] - curve[cell])

    sharp = grey + np.float32(webcam.sharpen) * (grey - cv2.GaussianBlur(grey, (0, 0), 1.0))
    return np.asarray(np.float32(255) * np.clip(sharp, 0, 1) + np.float32(0.5)).astype(np.uint8)


def compress(path: Path, frames: Iterable[Frame], webcam: Webcam) -> None:
    """Write frames as a compressed video; `path` has the suffix `webcam.suffix`."""
    writer = (
        open_webm(path, webcam.size, webcam.fps)
        if webcam.crf is None
        else open_h264(path, webcam.size, webcam.fps, webcam.crf)
    )
    with writer as write:
        for frame in frames:
            write(cv2.cvtColor(frame.image, cv2.COLOR_GRAY2BGR))
