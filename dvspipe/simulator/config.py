"""Settings of the pixel model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from ..base.errors import escape_controls
from ..base.settings import Settings
from ..base.yaml_files import shipped_configs

DERIVED_SEED_BITS = 53  # integers of 53 bits are exact in every JSON reader


class SimulatorConfig(Settings):
    """Settings of the pixel model, named as in v2e where possible (Hu, Liu and Delbruck 2021, section 3).

    The defaults describe an ideal sensor: no mismatch, no noise, no bandwidth limit, no refractory period.

    Example:
        >>> SimulatorConfig(pos_thres=0.3, neg_thres=0.3, shot_noise_rate_hz=1).noisy
        True
    """

    sensor_size: str = Field(default="keep", pattern=r"^(keep|\d+x\d+)$")
    """Size of the sensor, WIDTHxHEIGHT: a video that is converted is cropped to its shape, in the middle, and scaled to
    it; `resize` takes precedence over the size, but does not distort the picture. `keep`: all pixels of the video."""
    pos_thres: float = Field(default=0.2, ge=0.001, le=10)
    """ON contrast threshold: rise of the log intensity per ON event, 0.001 to 10."""
    neg_thres: float = Field(default=0.2, ge=0.001, le=10)
    """OFF contrast threshold: fall of the log intensity per OFF event, 0.001 to 10."""
    sigma_thres: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of the thresholds over the pixels, in log intensity; each threshold is at least 0.01."""
    intensity_map: Literal["log", "linlog"] = "log"
    """Map from intensity I in [0, 1] to level L. `log`: L = ln(I + log_offset). `linlog`, as in v2e: ln(255 I) above
    255 I = 20, and a straight line through the origin below (Hu et al. 2021, section 3.2)."""
    log_offset: float = Field(default=1 / 255, gt=0, le=1)
    """Epsilon in L = ln(I + epsilon): intensity added to the light, like a dark current."""
    cutoff_hz: float = Field(default=0.0, ge=0)
    """Photoreceptor bandwidth at white in Hz; 0: unlimited. The low-pass has tau = 1 / (2 pi cutoff_hz) at white. At
    intensity I the bandwidth is multiplied by (I + 0.1) / 1.1: dark pixels are slower (after Hu et al. 2021, section
    3.3)."""
    leak_rate_hz: float = Field(default=0.0, ge=0, le=1000)
    """Leak events (always ON) per pixel and second, caused by drift of the reference (Nozaki and Delbruck 2017)."""
    leak_jitter_fraction: float = Field(default=0.1, ge=0, le=0.3)
    """Standard deviation of the interval between two leak events, as a fraction of its mean."""
    shot_noise_rate_hz: float = Field(default=0.0, ge=0, le=10_000)
    """Shot noise events (ON and OFF) per pixel and second in the dark; at white, a quarter of this (factor of v2e)."""
    hot_pixel_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of randomly chosen pixels that fire ON events without input."""
    hot_pixel_rate_hz: float = Field(default=100.0, ge=0, le=100_000)
    """Events per second of each hot pixel."""
    refractory_period: float = Field(default=0.0, ge=0, le=1)
    """Dead time of a pixel after an event: a crossing during this time fires no event, but still moves the reference.
    In seconds."""
    sensor_seed: int = Field(default=0, ge=0, lt=2**63)
    """Random seed of the sensor: mismatch and hot pixels. Together with `noise_seed`, also of the noise."""
    noise_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Random seed of the noise in a recording: phase and jitter of leak events, shot noise, events of hot pixels.
    Default: derived from the name of a video; 0 for frames and arrays."""

    def with_preset(self, preset: str | Path | None) -> Self:
        """Return these settings with those that are not given from a sensor preset.

        Args:
            preset: Name of an included preset (see `list_presets`), or a YAML file; None: return the same settings.

        Raises:
            ConfigError: If the preset or file does not exist, or has a wrong setting.

        Example:
            >>> config = SimulatorConfig(pos_thres=0.3).with_preset("davis346")
            >>> config.pos_thres, config.neg_thres
            (0.3, 0.157)
        """
        return self if preset is None else type(self).read(preset, self.given, kind="sensors")

    def for_recording(self, name: str) -> Self:
        """Return the settings for a recording: its noise seed is derived from its name, unless it is set.

        Recordings of one sensor share `sensor_seed`, and with it mismatch and hot pixels, but not the noise.

        Args:
            name: Path of the video, relative to the folder that is converted, with forward slashes; for a single video,
                its file name.

        Example:
            >>> noisy = SimulatorConfig(shot_noise_rate_hz=1)
            >>> noisy.for_recording("wave/a.mp4").noise_seed == noisy.for_recording("wave/b.mp4").noise_seed
            False
            >>> SimulatorConfig().for_recording("wave/a.mp4").noise_seed is None
            True
        """
        if not self.noisy or self.noise_seed is not None:
            return self

        digest = hashlib.blake2b(escape_controls(name).encode(), digest_size=8).digest()
        derived = int.from_bytes(digest) >> (64 - DERIVED_SEED_BITS)
        return self.model_copy(update={"noise_seed": derived})

    @property
    def noisy(self) -> bool:
        """Whether any noise source is enabled."""
        return bool(
            self.leak_rate_hz or self.shot_noise_rate_hz or (self.hot_pixel_fraction and self.hot_pixel_rate_hz)
        )

    @property
    def refractory_period_us(self) -> int:
        """Refractory period in microseconds."""
        return round(self.refractory_period * 1e6)


def list_presets() -> list[str]:
    """List the names of the included sensor presets, sorted."""
    return shipped_configs("sensors")
